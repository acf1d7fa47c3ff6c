//! What the demo shows, in this order.

use harness::Host;

use crate::people::{LOCAL_PASSWORD, PEOPLE, password};
use crate::show::Show;

pub(crate) fn lookups(host: &Host, show: &mut Show) {
    show.heading("People of the directory are users of the host");
    show.run(
        host,
        &["grep", "-c", "alice", "/etc/passwd"],
        |o| o.stdout == "0\n",
        "Alice is not in /etc/passwd …",
    );
    show.run(
        host,
        &["getent", "passwd", "alice"],
        |o| o.stdout.starts_with("alice:") && o.stdout.contains(":10001:20001:Alice Archer:"),
        "… but the host knows her, from the directory.",
    );
    show.run(
        host,
        &["id", "alice"],
        |o| o.stdout.contains("(editors)") && o.stdout.contains("(printing)"),
        "Her groups come from the directory, too.",
    );
    show.run(
        host,
        &["getent", "passwd", "nobody-of-this-name"],
        |o| o.status == Some(2),
        "Exit status 2: the directory is known to have no such user.",
    );
    show.heading("All groups, those of /etc/group and those of the directory");
    show.run(
        host,
        &["sh", "-c", "getent group | tail -n 6"],
        |o| o.stdout.contains("visitors:"),
        "The last four are the directory's, with their members.",
    );
    show.run(
        host,
        &["sh", "-c", "getent passwd | wc -l; wc -l </etc/passwd"],
        |o| difference(&o.stdout) == Some(PEOPLE.len()),
        "getent lists the twelve people besides the users of /etc/passwd.",
    );
}

pub(crate) fn logins(host: &Host, show: &mut Show) {
    show.heading("Logging in over ssh with the directory's password");
    let login = host.login().ssh("alice", &password("alice"));
    show.login("ssh alice@127.0.0.1", &login, login.success, "sshd let her in.");
    show.heading("A wrong password");
    let login = host.login().ssh("alice", "a guess");
    show.login("ssh alice@127.0.0.1", &login, !login.success, "sshd did not let her in …");
    show.log(host, &["pam_ldap", "alice"], "… and the log says why.");
    show.heading("The right password, but no right to log in");
    let login = host.login().ssh("mallory", &password("mallory"));
    show.login(
        "ssh mallory@127.0.0.1",
        &login,
        !login.success,
        "Only the group crew may log in here (login.allow_groups in /etc/rollcall.toml) …",
    );
    show.log(host, &["pam_ldap", "mallory"], "… and the log says that, too.");
    show.heading("su, from a user of /etc/passwd to a user of the directory");
    let login = host.login().su("lou", "bob", &password("bob"));
    show.login("su - bob      (as lou)", &login, login.success, "lou knew Bob's password.");
}

pub(crate) fn passwords(host: &Host, show: &mut Show) {
    show.heading("Changing a password");
    let change = host.login().passwd("alice", &password("alice"), "short");
    show.login(
        "passwd        (as alice)",
        &change,
        !change.success,
        "The directory's password policy refuses a short password, and passwd says so.",
    );
    let change = host.login().passwd("alice", &password("alice"), "a longer secret");
    show.login("passwd        (as alice)", &change, change.success, "It takes a longer one.");
    let old = host.login().ssh("alice", &password("alice"));
    show.login(
        "ssh alice@127.0.0.1",
        &old,
        !old.success,
        "The old password is worth nothing now …",
    );
    let new = host.login().ssh("alice", "a longer secret");
    show.login("ssh alice@127.0.0.1", &new, new.success, "… and the new one is.");
}

pub(crate) fn changes(host: &mut Host, show: &mut Show) {
    show.heading("The host keeps a copy of the directory's users and groups");
    show.run(
        host,
        &["rollcall", "status"],
        |o| o.stdout.contains("in step with the directory"),
        "Lookups read it without asking anybody; passwords are never in it.",
    );
    show.heading("Dave gets another shell in the directory");
    host.directory().replace("uid=dave,ou=people,dc=example,dc=org", "loginShell", &["/bin/sh"]);
    show.run(
        host,
        &["rollcall", "flush", "--user", "dave"],
        |o| o.status == Some(0),
        "Whoever can't wait for the next look at the directory says so …",
    );
    show.run(
        host,
        &["getent", "passwd", "dave"],
        |o| o.stdout.ends_with(":/bin/sh\n"),
        "… and the next lookup has it.",
    );
}

pub(crate) fn outage(host: &mut Host, show: &mut Show) {
    show.heading("The directory stops");
    host.directory().stop();
    show.run(
        host,
        &["getent", "passwd", "carol"],
        |o| o.stdout.starts_with("carol:"),
        "Who is in the host's copy is still known …",
    );
    let unknown = "$! = 0; getpwnam('a-new-user') or print $!";
    let is_told = harness::until(harness::PATIENCE, || {
        let output = host.run(["perl", "-e", unknown]);
        (output.stdout == "Resource temporarily unavailable").then_some(())
    });
    show.run(
        host,
        &["perl", "-e", unknown],
        |_| is_told.is_some(),
        "… and about others programs are told that nobody can be asked: that is not \"no such user\".",
    );
    let login = host.login().ssh("bob", &password("bob"));
    show.login("ssh bob@127.0.0.1", &login, !login.success, "Nobody of the directory gets in …");
    show.log(
        host,
        &["pam_ldap(sshd:auth)", "bob", "service unavailable"],
        "… because nobody can be asked. It isn't called a wrong password.",
    );
    let login = host.login().ssh("lou", LOCAL_PASSWORD);
    show.login("ssh lou@127.0.0.1", &login, login.success, "Users of /etc/passwd don't notice.");
    show.heading("The directory is back");
    host.directory().start();
    let asked = harness::until(harness::PATIENCE, || {
        (host.run(["rollcall", "status"]).stdout.contains("in step with the directory")
            && host.login().ssh("carol", &password("carol")).success)
            .then_some(())
    });
    show.run(host, &["rollcall", "status"], |_| asked.is_some(), "Nothing had to be restarted.");
    let login = host.login().ssh("carol", &password("carol"));
    show.login("ssh carol@127.0.0.1", &login, login.success, "Logins work again.");
}

fn difference(text: &str) -> Option<usize> {
    let mut numbers = text.lines().map(|line| line.trim().parse::<usize>());
    let (all, local) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    all.checked_sub(local)
}
