//! A login through libpam, `pam_ldap.so` and the daemon, against a bare bind
//! by ldap3, which nobody is let in by: it knows the DN beforehand, and asks
//! for no rule and no expiry.

use harness::{Directory, Host, User};

use crate::lib_pam::Transaction;
use crate::plain::Plain;
use crate::report;
use crate::samples::Samples;

/// The argument that makes this program measure, on a host.
pub(crate) const INSIDE: &str = "logins";

const ROUNDS: u32 = 500;
const WARM_UP: u32 = 50;
const PASSWORD: &str = "a password";
const STACK: &str = "auth required pam_ldap.so\naccount required pam_ldap.so\n";
/// What libpam loads besides for every login: here as little as possible.
const OTHER: &str = "auth required pam_deny.so\n";
/// What libpam itself costs: a module that says yes without looking.
const EMPTY_STACK: &str = "auth required pam_permit.so\naccount required pam_permit.so\n";

fn name(number: u32) -> String {
    format!("u{number}")
}

/// Sets a host up, measures there, reports.
pub(crate) fn measure() {
    let user = |i| User::new(&name(i)).uid(20_000 + i).password(PASSWORD);
    let users = (0..2 * (ROUNDS + WARM_UP)).map(user);
    let host = Host::new().directory(Directory::new().people(users));
    let stacks = [("bench", STACK), ("empty", EMPTY_STACK), ("other", OTHER)];
    let host = stacks
        .iter()
        .fold(host, |host, (service, text)| host.file(&format!("/etc/pam.d/{service}"), text))
        .start();
    let samples = Samples::of(&host, &[INSIDE]);
    let ours = samples.median("ours");
    let kept = samples.median("bind");
    report::line("PAM login / a bare bind by ldap3, kept connection", ours, kept, Some(1.3));
    let module = ours.zip(samples.median("empty")).map(|(ours, empty)| ours.saturating_sub(empty));
    report::line("the same without libpam's own work (pam_permit.so)", module, kept, None);
    let anew = samples.median("connect");
    report::line("PAM login / connect, StartTLS and bind by ldap3", ours, anew, None);
}

/// Ours and theirs in turns, in one process.
pub(crate) fn inside() {
    let plain = Plain::connect();
    let mut samples = Samples::default();
    for round in 0..ROUNDS + WARM_UP {
        if round == WARM_UP {
            samples.clear();
        }
        let (one, other) = (name(2 * round), name(2 * round + 1));
        let mut transaction = Transaction::start(c"bench", &one, PASSWORD);
        assert_eq!(samples.time("ours", || transaction.log_in()), (0, 0), "{one} may log in");
        samples.time("bind", || plain.bind(&other, PASSWORD));
        let mut transaction = Transaction::start(c"empty", &other, PASSWORD);
        assert_eq!(samples.time("empty", || transaction.log_in()), (0, 0), "everybody may");
    }
    for round in 0..ROUNDS / 10 {
        samples.time("connect", || plain.connect_and_bind(&name(round), PASSWORD));
    }
    samples.print();
}
