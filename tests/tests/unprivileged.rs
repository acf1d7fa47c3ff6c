//! PAM without root: a stack in a folder of its own (`pam_start_confdir(3)`),
//! a directory on a free loopback port, and `direct.so` instead of a daemon.

mod pam;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{BASE, Directory, Policy, READER, User, until};
use pam::{
    AUTH_ERR, AUTHINFO_UNAVAIL, NEW_AUTHTOK_REQD, PERM_DENIED, SUCCESS, Said, TRY_AGAIN,
    USER_UNKNOWN, probe_here,
};
use tempfile::TempDir;

const OLD: &str = "alice's secret";
const ANSWER_OLD: &str = "answer=alice's secret";
const ANSWER_NEW: &str = "answer=another secret";

fn directory() -> Directory {
    directory_of(User::new("alice").uid(10_001).gid(20_001).password(OLD), Policy::new())
}

fn directory_of(user: User, policy: Policy) -> Directory {
    Directory::new().user(user).policy(policy).group("crew", 20_001, ["alice"]).start()
}

/// A folder with a stack and a configuration.
struct Stack(TempDir);

impl Stack {
    fn new(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let config = folder.path().join("rollcall.toml");
        fs::write(&config, configuration).expect("the folder can be written");
        let module = built("pam_ldap.so");
        let line =
            |phase| format!("{phase} required {} config={}\n", module.display(), config.display());
        let stack: String = ["auth", "account", "password", "session"].map(line).concat();
        fs::write(folder.path().join("alone"), stack).expect("the folder can be written");
        Self(folder)
    }

    fn of(directory: &Directory) -> Self {
        Self::new(&configuration(directory))
    }

    #[track_caller]
    fn probe(&self, user: &str, words: &[&str]) -> Said {
        let folder = format!("confdir={}", self.0.path().display());
        let words: Vec<&str> = [folder.as_str()].into_iter().chain(words.iter().copied()).collect();
        probe_here(pam::ALONE, user, &words)
    }
}

fn configuration(directory: &Directory) -> String {
    let (uri, ca_file) = (directory.uri(), directory.ca_file());
    let ca_file = ca_file.display();
    format!("[directory]\nuri = [\"{uri}\"]\nbase = \"{BASE}\"\nca_file = \"{ca_file}\"\n")
}

/// What `make build` has made; `direct.so` is looked for beside the module.
fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("build").join(name);
    assert!(path.exists(), "{} is missing: run \"make build\" first", path.display());
    path
}

#[test]
fn the_right_password_is_success() {
    let directory = directory();
    let said = Stack::of(&directory).probe("alice", &[ANSWER_OLD, "auth", "account", "cred"]);
    assert_eq!(said.codes, [SUCCESS; 3]);
}

#[test]
fn a_wrong_password_is_an_authentication_error() {
    let directory = directory();
    assert_eq!(Stack::of(&directory).probe("alice", &["answer=wrong", "auth"]).codes, [AUTH_ERR]);
}

#[test]
fn an_empty_password_is_not_sent() {
    let directory = directory();
    assert_eq!(Stack::of(&directory).probe("alice", &["answer=", "auth"]).codes, [AUTH_ERR]);
    assert_eq!(directory.counts().connections, 0);
}

#[test]
fn an_application_that_gives_no_answer_is_not_let_in() {
    let directory = directory();
    assert_ne!(Stack::of(&directory).probe("alice", &["auth"]).codes, [SUCCESS]);
    assert_eq!(directory.counts().connections, 0);
}

/// nslcd CVE-2011-0438
#[test]
fn an_unknown_user_is_unknown_in_each_phase() {
    let directory = directory();
    let words = [ANSWER_OLD, "auth", "account", "change-expired"];
    let said = Stack::of(&directory).probe("nobody-here", &words);
    assert_eq!(said.codes, [USER_UNKNOWN; 3]);
}

#[test]
fn a_server_that_is_not_there_is_an_outage() {
    let mut directory = directory();
    directory.stop();
    let words = [ANSWER_OLD, "auth", "account", "change-expired"];
    let said = Stack::of(&directory).probe("alice", &words);
    assert_eq!(said.codes, [AUTHINFO_UNAVAIL, AUTHINFO_UNAVAIL, TRY_AGAIN]);
}

#[test]
fn a_server_that_went_away_and_came_back_answers_again() {
    let mut directory = directory();
    let stack = Stack::of(&directory);
    directory.kill();
    assert_eq!(stack.probe("alice", &[ANSWER_OLD, "auth"]).codes, [AUTHINFO_UNAVAIL]);
    directory.start();
    until(Duration::from_secs(60), || {
        (stack.probe("alice", &[ANSWER_OLD, "auth"]).codes == [SUCCESS]).then_some(())
    })
    .expect("alice gets in again");
}

#[test]
fn a_certificate_of_another_authority_is_an_outage_and_no_password_is_sent() {
    let (directory, other) = (directory(), directory());
    let text = configuration(&directory);
    let text = text.replace(
        directory.ca_file().to_str().expect("a path of ours"),
        other.ca_file().to_str().expect("a path of ours"),
    );
    let said = Stack::new(&text).probe("alice", &[ANSWER_OLD, "auth"]);
    assert_eq!(said.codes, [AUTHINFO_UNAVAIL]);
    assert_eq!(directory.counts().binds, 0);
}

#[test]
fn a_password_is_not_sent_in_clear() {
    let directory = directory();
    let text = configuration(&directory);
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("ca_file"))
        .fold(String::new(), |text, line| text + line + "\n");
    let stack = Stack::new(&format!("{text}tls = \"off\"\n"));
    assert_eq!(stack.probe("alice", &[ANSWER_OLD, "auth"]).codes, [AUTHINFO_UNAVAIL]);
    assert_eq!(directory.counts().binds, 0);
    let stack = Stack::new(&format!("{text}tls = \"off\"\nallow_cleartext_passwords = true\n"));
    assert_eq!(stack.probe("alice", &[ANSWER_OLD, "auth"]).codes, [SUCCESS]);
}

#[test]
fn the_unix_socket_of_a_server_needs_no_tls() {
    let directory = directory();
    let uri = directory.ldapi_uri();
    let stack = Stack::new(&format!("[directory]\nuri = [{uri:?}]\nbase = {BASE:?}\n"));
    assert_eq!(stack.probe("alice", &[ANSWER_OLD, "auth"]).codes, [SUCCESS]);
    assert_eq!(stack.probe("alice", &["answer=wrong", "auth"]).codes, [AUTH_ERR]);
}

#[test]
fn a_password_is_changed() {
    let directory = directory();
    let stack = Stack::of(&directory);
    let words = [ANSWER_OLD, ANSWER_NEW, ANSWER_NEW, "change-expired"];
    assert_eq!(stack.probe("alice", &words).codes, [SUCCESS]);
    assert_eq!(stack.probe("alice", &[ANSWER_NEW, "auth"]).codes, [SUCCESS]);
    assert_eq!(stack.probe("alice", &[ANSWER_OLD, "auth"]).codes, [AUTH_ERR]);
}

/// Without a daemon the ticket of a last grace login lives in this process.
#[test]
fn the_last_grace_login_changes_the_password() {
    let user = User::new("alice").uid(10_001).gid(20_001).password(OLD).password_age(2 * 86_400);
    let directory = directory_of(user, Policy::new().max_age(86_400).grace_logins(1));
    let stack = Stack::of(&directory);
    let words = [ANSWER_OLD, ANSWER_NEW, ANSWER_NEW, "auth", "account", "change-expired"];
    let said = stack.probe("alice", &words);
    assert_eq!(said.codes, [SUCCESS, NEW_AUTHTOK_REQD, SUCCESS], "{said:?}");
    assert_eq!(stack.probe("alice", &[ANSWER_NEW, "auth"]).codes, [SUCCESS]);
}

#[test]
fn an_access_rule_holds_without_a_daemon() {
    let directory = directory();
    let text = configuration(&directory) + "[login]\nallow_groups = [\"no-such-group\"]\n";
    let said = Stack::new(&text).probe("alice", &[ANSWER_OLD, "auth", "account"]);
    assert_eq!(said.codes, [SUCCESS, PERM_DENIED]);
}

#[test]
fn a_configuration_with_a_mistake_lets_nobody_in() {
    let directory = directory();
    let text = configuration(&directory) + "[login]\nallow_group = [\"crew\"]\n";
    let said = Stack::new(&text).probe("alice", &[ANSWER_OLD, "auth", "account"]);
    assert_eq!(said.codes, [AUTHINFO_UNAVAIL; 2]);
}

/// nslcd CVE-2009-1073
#[test]
fn a_bind_password_that_others_can_read_is_not_used() {
    let directory = directory();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("secret");
    fs::write(&file, READER.1).expect("the folder can be written");
    let reader = READER.0;
    let text = format!(
        "{}bind_dn = {reader:?}\nbind_password_file = \"{}\"\n",
        configuration(&directory),
        file.display()
    );
    let stack = Stack::new(&text);
    let try_with = |mode| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("it is ours");
        stack.probe("alice", &[ANSWER_OLD, "auth"]).codes
    };
    assert_eq!(try_with(0o644), [AUTHINFO_UNAVAIL]);
    assert_eq!(directory.counts().binds, 0);
    assert_eq!(try_with(0o600), [SUCCESS]);
}
