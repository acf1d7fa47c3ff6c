use super::*;
use crate::fake::{Case, alice, must_change, outage, says, verdict};
use crate::handle::{Handle, Tone};
use common::account::Gid;
use common::protocol::{Refused, Unavailable, Verdict};
use pamsm::PamFlags;

#[test]
fn the_right_password_is_success() {
    let mut case = Case::new().types(&[b"secret"]).answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authenticate), PamError::SUCCESS);
    assert_eq!(case.asked(), ["authenticate alice secret at sshd"]);
    assert_eq!(case.handle.prompts, ["Password: "]);
}

#[test]
fn a_wrong_password_is_an_authentication_error() {
    let mut case = Case::new().types(&[b"guess"]).answered([verdict(Verdict::WrongPassword)]);
    assert_eq!(case.run(authenticate), PamError::AUTH_ERR);
}

#[test]
fn the_log_says_who_failed_why_and_from_where_but_not_with_what() {
    let mut case = Case::new()
        .options(&["debug"])
        .types(&[b"guess"])
        .answered([verdict(Verdict::WrongPassword)]);
    case.run(authenticate);
    assert_eq!(case.log(), "alice: wrong password rhost=10.0.0.1 tty=ssh");
}

/// RFC 4513 section 5.1.2, SSSD CVE-2010-2940: a server answers success to an empty password.
#[test]
fn an_empty_password_is_refused_and_never_sent() {
    for flags in [0, PamFlags::DISALLOW_NULL_AUTHTOK.bits()] {
        let mut case = Case::new().flags(flags).types(&[b""]);
        assert_eq!(case.run(authenticate), PamError::AUTH_ERR);
        assert!(case.asked().is_empty());
    }
    let mut case = Case::new().token(Token::Password, b"");
    assert_eq!(case.run(authenticate), PamError::AUTH_ERR);
    assert!(case.asked().is_empty());
}

#[test]
fn what_cannot_be_a_password_is_never_sent() {
    for bytes in [&[b'x'; 513][..], b"\xff\xfe"] {
        let mut case = Case::new().types(&[bytes]);
        assert_eq!(case.run(authenticate), PamError::AUTH_ERR);
        assert!(case.asked().is_empty());
    }
}

/// It would count as a wrong password, and lock users out whom sshd keeps out.
#[test]
fn what_sshd_sends_for_a_user_whom_it_has_refused_is_never_sent() {
    let fakes =
        [&b"\x08\n\r\x7fINCORRECT"[..], b"\x08\n\r\x7fINCO", b"\x08\n\r\x7fINCORRECT\x08\n\r"];
    for fake in fakes {
        let mut case = Case::new().types(&[fake]).answered([alice(10_001)]);
        assert_eq!(case.run(authenticate), PamError::AUTH_ERR);
        assert_eq!(case.asked(), ["user alice"], "no password is among what is asked");
    }
}

/// While nobody can be asked, getpwnam(3) finds nobody, and sshd refuses everybody.
#[test]
fn an_outage_behind_a_refusal_of_sshds_is_called_an_outage() {
    let fake = b"\x08\n\r\x7fINCORRECT";
    let mut case = Case::new().types(&[fake]).answered([outage()]);
    assert_eq!(case.run(authenticate), PamError::AUTHINFO_UNAVAIL);
    let mut case = Case::new().types(&[fake]).answered([Response::NotFound]);
    assert_eq!(case.run(authenticate), PamError::USER_UNKNOWN);
}

#[test]
fn a_password_that_only_resembles_sshds_is_sent() {
    for password in [&b"INCORRECT"[..], b"\x08\n\r\x7fINCORRECT!"] {
        let mut case = Case::new().types(&[password]).answered([verdict(Verdict::Accepted)]);
        assert_eq!(case.run(authenticate), PamError::SUCCESS);
    }
}

#[test]
fn a_broken_option_is_not_excused_as_an_outage() {
    let why = Unavailable::Configuration("option".into());
    let mut case = Case::new()
        .options(&["minimum_uid=1O00", "ignore_authinfo_unavail"])
        .types(&[b"x"])
        .answered([Response::Unavailable(why)]);
    assert_eq!(case.run(authenticate), PamError::AUTHINFO_UNAVAIL);
}

#[test]
fn root_and_what_is_no_name_are_unknown_before_anybody_is_asked() {
    for user in [&b"root"[..], b"", b"0", b"a:b", b"a\nb", b"-x", b"\xff"] {
        let mut case = Case::new().user(user);
        assert_eq!(case.run(authenticate), PamError::USER_UNKNOWN, "{user:?}");
        assert!(case.asked().is_empty() && case.handle.prompts.is_empty());
    }
}

/// People type passwords where the name belongs.
#[test]
fn a_name_that_is_not_known_is_not_in_the_log() {
    let mut case = Case::new()
        .user(b"Tr0ub4dor")
        .options(&["debug"])
        .types(&[b"x"])
        .answered([verdict(Verdict::UnknownUser)]);
    assert_eq!(case.run(authenticate), PamError::USER_UNKNOWN);
    assert!(!case.log().contains("Tr0ub4dor"), "{}", case.log());
}

#[test]
fn an_unknown_user_is_asked_for_a_password_like_everybody() {
    for options in [&[][..], &["minimum_uid=1000"]] {
        let lookup = options.iter().map(|_| Response::NotFound);
        let mut case = Case::new()
            .options(options)
            .types(&[b"x"])
            .answered(lookup.chain([verdict(Verdict::UnknownUser)]));
        assert_eq!(case.run(authenticate), PamError::USER_UNKNOWN);
        assert_eq!(case.handle.prompts.len(), 1);
    }
}

#[test]
fn an_outage_is_not_a_wrong_password() {
    let mut case = Case::new().types(&[b"secret"]).answered([outage()]);
    assert_eq!(case.run(authenticate), PamError::AUTHINFO_UNAVAIL);
    assert!(case.log().contains("service unavailable"), "{}", case.log());
}

#[test]
fn an_unknown_user_and_an_outage_are_ignored_when_the_options_say_so() {
    for (option, response) in [
        ("ignore_unknown_user", verdict(Verdict::UnknownUser)),
        ("ignore_authinfo_unavail", outage()),
    ] {
        let mut case = Case::new().options(&[option]).types(&[b"x"]).answered([response]);
        assert_eq!(case.run(authenticate), PamError::IGNORE);
    }
}

/// PADL CVE-2006-5170: an error that fell through to success.
#[test]
fn an_answer_to_another_question_lets_nobody_in_whatever_the_options() {
    for response in [
        alice(2000),
        Response::Gids(vec![Gid::new(1000).unwrap()]),
        Response::Refused(Refused::Malformed),
        verdict(Verdict::NewPasswordRefused),
    ] {
        let mut case = Case::new()
            .options(&["ignore_unknown_user", "ignore_authinfo_unavail"])
            .types(&[b"x"])
            .answered([response]);
        assert_eq!(case.run(authenticate), PamError::SERVICE_ERR);
        assert!(case.handle.memory().is_none());
    }
}

#[test]
fn use_first_pass_never_asks() {
    let mut case = Case::new().options(&["use_first_pass"]);
    assert_eq!(case.run(authenticate), PamError::AUTH_ERR);

    let mut case = Case::new()
        .options(&["use_first_pass", "try_first_pass"])
        .token(Token::Password, b"first")
        .answered([verdict(Verdict::WrongPassword)]);
    assert_eq!(case.run(authenticate), PamError::AUTH_ERR);
    assert!(case.handle.prompts.is_empty());
}

#[test]
fn the_password_of_an_earlier_module_is_used() {
    let mut case =
        Case::new().token(Token::Password, b"first").answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authenticate), PamError::SUCCESS);
    assert!(case.handle.prompts.is_empty());
}

#[test]
fn try_first_pass_asks_when_the_first_password_is_wrong() {
    let mut case = Case::new()
        .options(&["try_first_pass"])
        .token(Token::Password, b"first")
        .types(&[b"second"])
        .answered([verdict(Verdict::WrongPassword), verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authenticate), PamError::SUCCESS);
    assert_eq!(case.asked()[1], "authenticate alice second at sshd");
}

#[test]
fn try_first_pass_asks_nobody_twice_in_an_outage() {
    let mut case = Case::new()
        .options(&["try_first_pass"])
        .token(Token::Password, b"first")
        .answered([outage()]);
    assert_eq!(case.run(authenticate), PamError::AUTHINFO_UNAVAIL);
}

#[test]
fn a_typed_password_is_left_for_later_modules() {
    let mut case = Case::new().types(&[b"secret"]).answered([verdict(Verdict::UnknownUser)]);
    case.run(authenticate);
    let token = case.handle.token(Token::Password).unwrap().unwrap();
    assert_eq!(token.expose(), "secret");
}

#[test]
fn a_user_who_gives_no_answer_gets_the_error_of_the_conversation() {
    for code in [PamError::CONV_ERR, PamError::INCOMPLETE] {
        let mut case = Case::new().hangs_up(code);
        assert_eq!(case.run(authenticate), code);
        assert!(case.asked().is_empty());
    }
}

#[test]
fn users_below_minimum_uid_are_ignored_before_they_are_asked() {
    let mut case = Case::new().options(&["minimum_uid=2000"]).answered([alice(1999)]);
    assert_eq!(case.run(authenticate), PamError::IGNORE);

    let mut case = Case::new()
        .options(&["minimum_uid=2000"])
        .types(&[b"x"])
        .answered([alice(2000), verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authenticate), PamError::SUCCESS);
}

#[test]
fn an_outage_does_not_lift_minimum_uid() {
    let mut case = Case::new().options(&["minimum_uid=2000"]).answered([outage()]);
    assert_eq!(case.run(authenticate), PamError::AUTHINFO_UNAVAIL);
}

#[test]
fn texts_reach_the_user_without_control_characters() {
    let mut case = Case::new()
        .types(&[b"x"])
        .answered([says(Verdict::Accepted, "expires\x1b[2J in\n3 days\u{9b}")]);
    case.run(authenticate);
    assert_eq!(case.told(), [(Tone::Info, "expires [2J in 3 days")]);
}

#[test]
fn silent_and_no_warn_keep_texts_back() {
    for case in [Case::new().flags(PamFlags::SILENT.bits()), Case::new().options(&["no_warn"])] {
        let mut case = case.types(&[b"x"]).answered([says(Verdict::Accepted, "hello")]);
        assert_eq!(case.run(authenticate), PamError::SUCCESS);
        assert!(case.told().is_empty());
    }
}

#[test]
fn a_failing_login_is_slowed_down() {
    let mut case = Case::new().types(&[b"x"]).answered([verdict(Verdict::WrongPassword)]);
    case.run(authenticate);
    assert_eq!(case.handle.delay, FAIL_DELAY);
}

#[test]
fn a_second_attempt_forgets_what_the_first_has_shown() {
    let mut case = Case::new()
        .types(&[b"right", b"wrong"])
        .answered([must_change(Some(7)), verdict(Verdict::WrongPassword)]);
    assert_eq!(case.run(authenticate), PamError::SUCCESS);
    let mut case = case.next(0);
    assert_eq!(case.run(authenticate), PamError::AUTH_ERR);
    assert!(case.handle.memory().is_none());
}

#[test]
fn an_unknown_option_is_logged_and_harmless() {
    let mut case =
        Case::new().options(&["nullok"]).types(&[b"x"]).answered([verdict(Verdict::Accepted)]);
    assert_eq!(case.run(authenticate), PamError::SUCCESS);
    assert!(case.log().contains("unknown option \"nullok\""));
}

#[test]
fn options_that_cannot_be_used_make_the_service_unavailable() {
    use crate::args::Args;
    use crate::login::Source;
    let args = Args::parse(["config=relative.toml"]);
    let response = args.ask(&Request::UserByName(Name::parse("alice").unwrap()));
    assert!(matches!(response, Response::Unavailable(_)));
}
