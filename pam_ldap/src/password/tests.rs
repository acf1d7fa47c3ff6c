use super::*;
use crate::account::authorize;
use crate::auth::authenticate;
use crate::fake::{Case, alice, must_change, outage, says, verdict};
use crate::handle::Handle;
use common::protocol::LoginAnswer;

const EXPIRED: i32 = PamFlags::CHANGE_EXPIRED_AUTHTOK.bits();

/// alice is in the directory, and PAM makes the preliminary check.
fn checking() -> Case {
    Case::new().flags(Flags::PRELIM).answered([alice(2000)])
}

/// The preliminary check has accepted alice's old password, and PAM updates.
fn updating() -> Case {
    Case::new().flags(Flags::UPDATE).token(Token::Old, b"old").answered([alice(2000)])
}

/// root runs `passwd alice`.
fn resetting() -> Case {
    Case::new().root().flags(Flags::UPDATE).answered([alice(2000)])
}

/// alice was let in on the condition that she changes her password.
fn forced(answer: Response) -> Case {
    let mut case = Case::new().root().types(&[b"old"]).answered([answer]);
    assert_eq!(case.run(authenticate), PamError::SUCCESS);
    let mut case = case.next(0).answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authorize), PamError::NEW_AUTHTOK_REQD);
    case.next(Flags::PRELIM | EXPIRED).answered([alice(2000)])
}

fn last(case: &Case) -> String {
    case.asked().pop().unwrap()
}

#[test]
fn the_check_verifies_the_old_password() {
    let mut case = checking().types(&[b"old"]).answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(case.handle.prompts, ["Current password: "]);
    assert_eq!(last(&case), "authenticate alice old at sshd");
    assert_eq!(case.handle.token(Token::Old).unwrap().unwrap().expose(), "old");
}

#[test]
fn a_wrong_old_password_ends_the_change() {
    let mut case = checking().types(&[b"guess"]).answered([verdict(Verdict::WrongPassword)]);
    assert_eq!(case.run(change), PamError::AUTH_ERR);
    assert_eq!(case.told(), [(Tone::Error, "The current password is wrong.")]);
    assert!(case.handle.token(Token::Old).is_none());
}

#[test]
fn an_empty_old_password_is_never_sent() {
    let mut case = checking().types(&[b""]);
    assert_eq!(case.run(change), PamError::AUTH_ERR);
    assert_eq!(case.asked(), ["user alice"]);
}

#[test]
fn a_user_of_another_module_is_unknown_before_anybody_types() {
    for flags in [Flags::PRELIM, Flags::UPDATE] {
        let mut case = Case::new().flags(flags).answered([Response::NotFound]);
        assert_eq!(case.run(change), PamError::USER_UNKNOWN);
        assert!(case.handle.prompts.is_empty());
    }
}

#[test]
fn in_an_outage_the_check_is_to_be_tried_again_later() {
    let mut case = Case::new().flags(Flags::PRELIM).answered([outage()]);
    assert_eq!(case.run(change), PamError::TRY_AGAIN);
    let mut case = checking().types(&[b"old"]).answered([outage()]);
    assert_eq!(case.run(change), PamError::TRY_AGAIN);
    assert_eq!(case.told(), [(Tone::Error, UNREACHABLE)]);
}

#[test]
fn an_outage_may_be_ignored_in_both_calls() {
    for flags in [Flags::PRELIM, Flags::UPDATE] {
        let mut case =
            Case::new().flags(flags).options(&["ignore_authinfo_unavail"]).answered([outage()]);
        assert_eq!(case.run(change), PamError::IGNORE);
    }
}

#[test]
fn an_outage_during_the_update_is_unavailable() {
    let mut case = updating().types(&[b"new", b"new"]).answered([outage()]);
    assert_eq!(case.run(change), PamError::AUTHINFO_UNAVAIL);
    assert_eq!(case.told(), [(Tone::Error, UNREACHABLE)]);
}

#[test]
fn use_first_pass_does_not_ask_for_the_old_password() {
    let mut case = checking().options(&["use_first_pass"]);
    assert_eq!(case.run(change), PamError::AUTHTOK_RECOVERY_ERR);
}

#[test]
fn try_first_pass_asks_once_more_for_the_old_password() {
    let mut case = checking()
        .options(&["try_first_pass"])
        .token(Token::Old, b"other")
        .types(&[b"old"])
        .answered([verdict(Verdict::WrongPassword), verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert!(case.told().is_empty());
}

#[test]
fn the_update_asks_twice_and_changes() {
    let mut case = updating().types(&[b"new", b"new"]).answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(case.handle.prompts, ["New password: ", "Retype new password: "]);
    assert_eq!(last(&case), "change alice old new");
    assert_eq!(case.handle.token(Token::Password).unwrap().unwrap().expose(), "new");
    assert!(case.log().contains("alice: password changed"));
}

#[test]
fn two_different_new_passwords_change_nothing() {
    for second in [&b"other"[..], b""] {
        let mut case = updating().types(&[b"new", second]);
        assert_eq!(case.run(change), PamError::AUTHTOK_ERR);
        assert_eq!(case.asked(), ["user alice"]);
        assert_eq!(case.told(), [(Tone::Error, "The passwords don't match.")]);
    }
}

#[test]
fn an_empty_new_password_is_never_sent() {
    let mut typed = updating().types(&[b""]);
    assert_eq!(typed.run(change), PamError::AUTHTOK_ERR);
    assert_eq!(typed.asked(), ["user alice"]);
    let mut stacked = updating().options(&["use_authtok"]).token(Token::Password, b"");
    assert_eq!(stacked.run(change), PamError::AUTHTOK_ERR);
    assert_eq!(stacked.asked(), ["user alice"]);
}

#[test]
fn use_authtok_takes_the_new_password_of_an_earlier_module_only() {
    let mut case = updating()
        .options(&["use_authtok"])
        .token(Token::Password, b"stacked")
        .answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "change alice old stacked");
    let mut case = updating().options(&["use_authtok"]);
    assert_eq!(case.run(change), PamError::AUTHTOK_ERR);
    assert!(case.handle.prompts.is_empty());
}

#[test]
fn an_update_without_a_check_asks_for_the_old_password() {
    let mut case = Case::new()
        .flags(Flags::UPDATE)
        .types(&[b"old", b"new", b"new"])
        .answered([alice(2000), verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "change alice old new");
}

#[test]
fn the_reason_why_a_new_password_is_refused_reaches_the_user() {
    let refused = says(Verdict::NewPasswordRefused, "Password is in the history");
    let mut case = updating().types(&[b"new", b"new"]).answered([refused]);
    assert_eq!(case.run(change), PamError::AUTHTOK_ERR);
    assert_eq!(case.told(), [(Tone::Error, "Password is in the history")]);

    let refused = verdict(Verdict::NewPasswordRefused);
    let mut case = updating().types(&[b"new", b"new"]).answered([refused]);
    case.run(change);
    assert_eq!(case.told(), [(Tone::Error, "The server refuses the new password.")]);
}

#[test]
fn a_demanded_change_does_not_ask_for_the_old_password_again() {
    let mut case = forced(must_change(None));
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(case.handle.token(Token::Old).unwrap().unwrap().expose(), "old");
    let mut case = case
        .next(Flags::UPDATE | EXPIRED)
        .types(&[b"new", b"new"])
        .answered([alice(2000), verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "change alice old new");
    let memory = case.handle.memory().unwrap();
    assert!(!memory.must_change && memory.ticket.is_none() && memory.password.is_none());

    let mut case = case.next(0).answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authorize), PamError::SUCCESS, "the demand is met");
}

#[test]
fn the_ticket_of_a_last_grace_login_is_used() {
    let mut case = forced(must_change(Some(7)));
    assert_eq!(case.run(change), PamError::SUCCESS);
    let mut case = case
        .next(Flags::UPDATE | EXPIRED)
        .types(&[b"new", b"new"])
        .answered([alice(2000), verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "change alice #7 new");
}

/// A last grace login can't be repeated, so a typo must not be the end of it.
#[test]
fn a_demanded_change_may_be_tried_again_with_the_same_ticket() {
    let mut case = forced(must_change(Some(7)));
    assert_eq!(case.run(change), PamError::SUCCESS);
    let typed: [&[u8]; 6] = [b"new", b"mew", b"weak", b"weak", b"better", b"better"];
    let mut case = case.next(Flags::UPDATE | EXPIRED).types(&typed).answered([
        alice(2000),
        verdict(Verdict::NewPasswordRefused),
        verdict(Verdict::Accepted),
    ]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "change alice #7 better");
    assert_eq!(case.handle.token(Token::Password).unwrap().unwrap().expose(), "better");
}

/// The server has refused the first one, and given a new ticket for another try.
#[test]
fn a_refused_new_password_leaves_its_new_ticket_for_the_next_attempt_and_the_next_call() {
    let refused = |ticket| {
        let ticket = Some(Ticket(ticket));
        Response::Login(LoginAnswer { ticket, ..Verdict::NewPasswordRefused.into() })
    };
    let mut case = forced(must_change(Some(7)));
    assert_eq!(case.run(change), PamError::SUCCESS);
    let mut case = case.next(Flags::UPDATE | EXPIRED).types(&[b"weak".as_slice(); 6]).answered([
        alice(2000),
        refused(8),
        refused(9),
        refused(10),
    ]);
    assert_eq!(case.run(change), PamError::AUTHTOK_ERR);
    assert_eq!(last(&case), "change alice #9 weak");
    let mut case = case
        .next(Flags::UPDATE | EXPIRED)
        .types(&[b"better", b"better"])
        .answered([alice(2000), verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "change alice #10 better");
}

#[test]
fn a_demanded_change_is_not_tried_for_ever() {
    let mut case = forced(must_change(None));
    assert_eq!(case.run(change), PamError::SUCCESS);
    let refused = || verdict(Verdict::NewPasswordRefused);
    let mut case = case.next(Flags::UPDATE | EXPIRED).types(&[b"weak".as_slice(); 6]).answered([
        alice(2000),
        refused(),
        refused(),
        refused(),
    ]);
    assert_eq!(case.run(change), PamError::AUTHTOK_ERR);
}

#[test]
fn the_old_password_stands_in_for_a_spent_ticket() {
    let mut case = forced(must_change(Some(7)));
    assert_eq!(case.run(change), PamError::SUCCESS);
    let mut case = case.next(Flags::UPDATE | EXPIRED).types(&[b"new", b"new"]).answered([
        alice(2000),
        verdict(Verdict::WrongPassword),
        verdict(Verdict::Accepted),
    ]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "change alice old new");
}

#[test]
fn another_user_does_not_inherit_the_ticket() {
    let mut case = forced(must_change(Some(7)));
    case.run(change);
    let mut case = case
        .next(Flags::UPDATE | EXPIRED)
        .user(b"bob")
        .types(&[b"bobs", b"new", b"new"])
        .answered([alice(2000), verdict(Verdict::Accepted)]);
    case.run(change);
    assert_eq!(last(&case), "change bob bobs new");
}

#[test]
fn a_login_that_is_root_still_changes_as_the_user() {
    let mut case = Case::new()
        .root()
        .flags(Flags::PRELIM | EXPIRED)
        .types(&[b"old"])
        .answered([alice(2000), verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "authenticate alice old at sshd");
}

#[test]
fn root_resets_without_the_old_password() {
    let mut case = checking().root();
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert!(case.handle.prompts.is_empty());
    let mut case = resetting().types(&[b"new", b"new"]).answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "reset alice new");
}

#[test]
fn a_reset_that_is_not_configured_is_denied_with_a_reason() {
    let refused = verdict(Verdict::ResetNotAllowed);
    let mut case = resetting().types(&[b"new", b"new"]).answered([refused]);
    assert_eq!(case.run(change), PamError::PERM_DENIED);
    assert_eq!(case.told().len(), 1);
}

#[test]
fn an_old_password_that_must_be_changed_leaves_its_ticket_for_the_update() {
    let mut case = checking().types(&[b"old"]).answered([must_change(Some(9))]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    let mut case = case
        .next(Flags::UPDATE)
        .types(&[b"new", b"new"])
        .answered([alice(2000), verdict(Verdict::Accepted)]);
    assert_eq!(case.run(change), PamError::SUCCESS);
    assert_eq!(last(&case), "change alice #9 new");
}

/// PADL CVE-2006-5170: an error that fell through to success.
#[test]
fn an_answer_to_another_question_is_never_success() {
    let mut check = checking().types(&[b"old"]).answered([alice(2000)]);
    assert_eq!(check.run(change), PamError::SERVICE_ERR);
    let mut update = updating().types(&[b"new", b"new"]).answered([alice(2000)]);
    assert_eq!(update.run(change), PamError::SERVICE_ERR);
    let mut update = updating().types(&[b"new", b"new"]).answered([verdict(Verdict::MustChange)]);
    assert_eq!(update.run(change), PamError::SERVICE_ERR);
}

#[test]
fn a_call_that_is_neither_check_nor_update_is_an_error() {
    for flags in [0, Flags::PRELIM | Flags::UPDATE] {
        assert_eq!(Case::new().flags(flags).run(change), PamError::SERVICE_ERR);
    }
}

#[test]
fn silence_covers_the_texts_of_the_module_as_well() {
    let mut case =
        updating().flags(Flags::UPDATE | PamFlags::SILENT.bits()).types(&[b"new", b"other"]);
    assert_eq!(case.run(change), PamError::AUTHTOK_ERR);
    assert!(case.told().is_empty());
}

#[test]
fn no_password_is_ever_in_the_log() {
    let mut case = updating()
        .options(&["debug"])
        .types(&[b"hunter2", b"hunter2"])
        .answered([verdict(Verdict::NewPasswordRefused)]);
    case.run(change);
    assert!(!case.log().contains("hunter2") && !case.log().contains("old"), "{}", case.log());
}
