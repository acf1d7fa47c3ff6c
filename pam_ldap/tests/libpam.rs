//! The built module in the real libpam, without root: a stack in a folder of
//! its own (`pam_start_confdir(3)`), and a socket behind which the test answers.

mod application;
mod daemon;

use application::{Application, CHANGE_EXPIRED, PAM_RHOST, module};
use common::protocol::{LoginAnswer, Request, Response, Ticket, Verdict};
use daemon::{Daemon, alice, login};

// security/_pam_types.h
const SUCCESS: i32 = 0;
const PERM_DENIED: i32 = 6;
const AUTH_ERR: i32 = 7;
const AUTHINFO_UNAVAIL: i32 = 9;
const USER_UNKNOWN: i32 = 10;
const NEW_AUTHTOK_REQD: i32 = 12;
const TRY_AGAIN: i32 = 24;

/// A stack of this module alone.
const ALONE: &str = "auth required MODULE\naccount required MODULE\n\
                     password required MODULE\nsession required MODULE\n";

#[test]
fn a_login_goes_through_all_phases() {
    let daemon = Daemon::start(|_| login(Verdict::Accepted));
    let mut app = Application::start(ALONE, daemon.socket(), "alice", &["secret"]);
    app.set_item(PAM_RHOST, "10.0.0.1");
    assert_eq!(app.authenticate(), SUCCESS);
    assert_eq!(app.account(), SUCCESS);
    assert_eq!(app.setcred(), SUCCESS);
    assert_eq!(app.open_session(), SUCCESS);
    assert_eq!(app.close_session(), SUCCESS);
    let asked = daemon.asked();
    let Request::Authenticate { name, password, context } = &asked[0] else {
        panic!("{:?}", asked[0])
    };
    assert_eq!((name.as_str(), password.expose()), ("alice", "secret"));
    assert_eq!((&*context.service, &*context.rhost), ("login", "10.0.0.1"));
    assert!(matches!(asked[1], Request::Authorize { authenticated: true, .. }));
}

#[test]
fn a_wrong_password_is_an_authentication_error() {
    let daemon = Daemon::start(|_| login(Verdict::WrongPassword));
    let mut app = Application::start(ALONE, daemon.socket(), "alice", &["guess"]);
    assert_eq!(app.authenticate(), AUTH_ERR);
}

#[test]
fn an_empty_password_never_reaches_the_daemon() {
    let daemon = Daemon::start(|_| login(Verdict::Accepted));
    let mut app = Application::start(ALONE, daemon.socket(), "alice", &[""]);
    assert_eq!(app.authenticate(), AUTH_ERR);
    assert!(daemon.asked().is_empty());
}

#[test]
fn an_application_that_answers_null_lets_nobody_in() {
    let daemon = Daemon::start(|_| login(Verdict::Accepted));
    let mut app = Application::start(ALONE, daemon.socket(), "alice", &[]);
    assert_ne!(app.authenticate(), SUCCESS);
    assert!(daemon.asked().is_empty());
}

#[test]
fn root_is_unknown() {
    let daemon = Daemon::start(|_| login(Verdict::Accepted));
    let mut app = Application::start(ALONE, daemon.socket(), "root", &["secret"]);
    assert_eq!(app.authenticate(), USER_UNKNOWN);
    assert!(daemon.asked().is_empty());
}

#[test]
fn without_a_daemon_the_service_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = dir.path().join("socket");
    let mut app = Application::start(ALONE, &nobody, "alice", &["secret"]);
    assert_eq!(app.authenticate(), AUTHINFO_UNAVAIL);
    assert_eq!(app.account(), AUTHINFO_UNAVAIL);
    assert_eq!(app.change_password(0), TRY_AGAIN);
}

#[test]
fn a_forced_change_is_carried_out_in_the_same_login() {
    let daemon = Daemon::start(|request| match request {
        Request::Authenticate { .. } => Response::Login(LoginAnswer {
            verdict: Verdict::MustChange,
            messages: vec!["Your password has expired.".into()],
            ticket: Some(Ticket(7)),
        }),
        Request::UserByName(_) => alice(),
        _ => login(Verdict::Accepted),
    });
    let mut app = Application::start(ALONE, daemon.socket(), "alice", &["old", "new", "new"]);
    assert_eq!(app.authenticate(), SUCCESS);
    assert_eq!(app.account(), NEW_AUTHTOK_REQD);
    assert_eq!(app.change_password(CHANGE_EXPIRED), SUCCESS);
    assert_eq!(app.account(), SUCCESS, "the demand is met");
    assert_eq!(
        app.heard(),
        ["Password: ", "Your password has expired.", "New password: ", "Retype new password: "]
    );
    let changed = daemon.asked().into_iter().any(|request| match request {
        Request::ChangePassword { proof, new, .. } => {
            matches!(proof, common::protocol::Proof::Ticket(Ticket(7))) && new.expose() == "new"
        }
        _ => false,
    });
    assert!(changed);
}

#[test]
fn the_reason_of_a_refused_new_password_reaches_the_user() {
    let daemon = Daemon::start(|request| match request {
        Request::UserByName(_) => alice(),
        Request::Authenticate { .. } => login(Verdict::Accepted),
        _ => Response::Login(LoginAnswer {
            messages: vec!["Too short".into()],
            ..Verdict::NewPasswordRefused.into()
        }),
    });
    let mut app = Application::start(ALONE, daemon.socket(), "alice", &["old", "new", "new"]);
    assert_ne!(app.change_password(CHANGE_EXPIRED), SUCCESS);
    assert_eq!(app.heard().last().unwrap(), "Too short");
}

#[test]
fn another_user_in_the_same_transaction_inherits_nothing() {
    let daemon = Daemon::start(|_| login(Verdict::Accepted));
    let mut app = Application::start(ALONE, daemon.socket(), "alice", &["secret"]);
    assert_eq!(app.authenticate(), SUCCESS);
    app.set_item(application::PAM_USER, "bob");
    assert_eq!(app.account(), SUCCESS);
    let asked = daemon.asked();
    assert!(matches!(asked.last(), Some(Request::Authorize { authenticated: false, .. })));
}

#[test]
fn an_access_rule_keeps_the_user_out() {
    let daemon = Daemon::start(|_| login(Verdict::Denied));
    let mut app = Application::start(ALONE, daemon.socket(), "alice", &[]);
    assert_eq!(app.account(), PERM_DENIED);
}

#[test]
fn a_second_line_uses_the_password_of_the_first() {
    let stack = "auth optional MODULE\nauth required MODULE use_first_pass\n";
    let daemon = Daemon::start(|_| login(Verdict::Accepted));
    let mut app = Application::start(stack, daemon.socket(), "alice", &["secret"]);
    assert_eq!(app.authenticate(), SUCCESS);
    assert_eq!(daemon.asked().len(), 2);
    assert_eq!(app.heard(), ["Password: "]);
}

/// A cancellation unwinds the stack, and would end the process inside the module.
#[test]
fn a_thread_that_is_cancelled_during_a_login_ends_the_login_and_not_the_process() {
    let daemon = Daemon::start(|_| login(Verdict::WrongPassword));
    let mut app = Application::start(ALONE, daemon.socket(), "alice", &["guess"]);
    app.authenticate_cancelled();
    assert_eq!(daemon.asked().len(), 1);
}

#[test]
fn the_next_module_is_asked_during_an_outage() {
    let dir = tempfile::tempdir().unwrap();
    let stack = "auth [success=ok authinfo_unavail=ignore default=die] MODULE\n\
                 auth required pam_permit.so\n";
    let nobody = dir.path().join("socket");
    let mut app = Application::start(stack, &nobody, "alice", &["secret"]);
    assert_eq!(app.authenticate(), SUCCESS);
}

#[test]
fn transactions_end_and_begin_again_in_one_process() {
    let daemon = Daemon::start(|_| login(Verdict::Accepted));
    for _ in 0..50 {
        let mut app = Application::start(ALONE, daemon.socket(), "alice", &["secret"]);
        assert_eq!(app.authenticate(), SUCCESS);
    }
    assert_eq!(daemon.asked().len(), 50);
}

#[test]
fn the_module_needs_only_libc_and_libpam_and_stays_loaded() {
    let dynamic = std::process::Command::new("readelf").arg("-d").arg(module()).output();
    let dynamic = String::from_utf8(dynamic.expect("readelf, of binutils").stdout).unwrap();
    for line in dynamic.lines().filter(|line| line.contains("NEEDED")) {
        // The dynamic loader itself is in every process: thread-local storage asks for it.
        let known = ["[libpam.so.0]", "[libc.so.6]", "[ld-linux"];
        assert!(known.iter().any(|name| line.contains(name)), "{line}");
    }
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}
