use super::*;
use crate::args::Whom;
use crate::auth::authenticate;
use crate::fake::{Case, alice, must_change, outage, says, verdict};
use crate::handle::{Handle, Tone};
use common::protocol::{Response, Verdict};

/// alice has just authenticated, and was answered this.
fn after(response: Response) -> Case {
    let mut case = Case::new().types(&[b"secret"]).answered([response]);
    assert_eq!(case.run(authenticate), PamError::SUCCESS);
    case.next(0)
}

#[test]
fn whoever_came_by_key_is_judged_as_not_authenticated() {
    let mut case = Case::new().answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authorize), PamError::SUCCESS);
    assert_eq!(case.asked(), ["authorize alice false"]);
}

#[test]
fn whoever_came_by_password_is_judged_as_authenticated() {
    let mut case = after(verdict(Verdict::Accepted)).answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authorize), PamError::SUCCESS);
    assert_eq!(case.asked()[1], "authorize alice true");
}

#[test]
fn another_user_inherits_nothing() {
    let mut case = after(must_change(None)).user(b"bob").answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authorize), PamError::SUCCESS);
    assert_eq!(case.asked()[1], "authorize bob false");
}

#[test]
fn another_source_inherits_nothing() {
    let mut case = after(must_change(None))
        .options(&["socket=/run/other"])
        .answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authorize), PamError::SUCCESS);
    assert_eq!(case.asked()[1], "authorize alice false");
    assert_eq!(case.handle.memory().unwrap().whom, Whom::Socket("/run/other".into()));
}

#[test]
fn a_password_that_must_be_changed_is_demanded_after_the_login() {
    let mut case = after(must_change(None)).answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authorize), PamError::NEW_AUTHTOK_REQD);
}

#[test]
fn a_refusal_comes_before_a_new_password() {
    for (refusal, code) in [
        (Verdict::Denied, PamError::PERM_DENIED),
        (Verdict::Locked, PamError::PERM_DENIED),
        (Verdict::AccountExpired, PamError::ACCT_EXPIRED),
        (Verdict::PasswordExpired, PamError::AUTHTOK_EXPIRED),
        (Verdict::UnknownUser, PamError::USER_UNKNOWN),
    ] {
        let mut case = after(must_change(None)).answered([verdict(refusal)]);
        assert_eq!(case.run(authorize), code);
    }
}

#[test]
fn an_account_may_demand_the_change_by_itself() {
    let mut case = after(verdict(Verdict::Accepted)).answered([verdict(Verdict::MustChange)]);
    assert_eq!(case.run(authorize), PamError::NEW_AUTHTOK_REQD);
    let memory = case.handle.memory().unwrap();
    assert!(memory.must_change && memory.password.is_some());
}

#[test]
fn the_password_is_forgotten_once_no_change_is_needed() {
    let mut case = after(verdict(Verdict::Accepted)).answered([verdict(Verdict::Accepted)]);
    case.run(authorize);
    assert!(case.handle.memory().unwrap().password.is_none());
}

#[test]
fn an_outage_is_unavailable_and_never_success() {
    let mut case = Case::new().answered([outage()]);
    assert_eq!(case.run(authorize), PamError::AUTHINFO_UNAVAIL);
    let mut case = Case::new().options(&["ignore_authinfo_unavail"]).answered([outage()]);
    assert_eq!(case.run(authorize), PamError::IGNORE);
}

#[test]
fn local_users_are_unknown_and_may_be_ignored() {
    let mut case = Case::new().answered([verdict(Verdict::UnknownUser)]);
    assert_eq!(case.run(authorize), PamError::USER_UNKNOWN);
    let mut case =
        Case::new().options(&["ignore_unknown_user"]).answered([verdict(Verdict::UnknownUser)]);
    assert_eq!(case.run(authorize), PamError::IGNORE);
    let mut case = Case::new().user(b"root").options(&["ignore_unknown_user"]);
    assert_eq!(case.run(authorize), PamError::IGNORE);
}

#[test]
fn users_below_minimum_uid_are_ignored() {
    let mut case = Case::new().options(&["minimum_uid=5000"]).answered([alice(4999)]);
    assert_eq!(case.run(authorize), PamError::IGNORE);
}

#[test]
fn an_answer_to_another_question_lets_nobody_in() {
    let mut case = Case::new().answered([alice(2000)]);
    assert_eq!(case.run(authorize), PamError::SERVICE_ERR);
}

#[test]
fn a_warning_is_a_text_and_a_refusal_an_error() {
    let mut case = Case::new().answered([says(Verdict::Accepted, "3 days left")]);
    case.run(authorize);
    assert_eq!(case.told(), [(Tone::Info, "3 days left")]);
    let mut case = Case::new().answered([says(Verdict::Denied, "Not on this host")]);
    case.run(authorize);
    assert_eq!(case.told(), [(Tone::Error, "Not on this host")]);
}
