//! Programs with the set-user-ID bit, in an environment that an attacker made.

mod probe;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::{Host, HostBuilder, Output};
use probe::{UNAVAILABLE, Way, host, people};

const ALICE: &str = "alice:10001:20001:alice:/home/alice:/bin/sh";
const PROGRAM: &str = "/usr/local/bin/privileged-probe";
/// Runs as any other user, and looks nobody up itself.
const NOBODY: [&str; 4] = ["nsenter", "--setgid=2001", "--setuid=2001", "--"];

/// Everything that a library may ask the environment for. What it points to
/// exists, and would change the answer.
const ENVIRONMENT: [&str; 24] = [
    "LD_LIBRARY_PATH=/tmp/attacker",
    "LD_PRELOAD=/tmp/attacker/libnss_ldap.so.2",
    "LD_DEBUG=all",
    "LD_DEBUG_OUTPUT=/tmp/attacker/output",
    "ROLLCALL_CONFIG=/tmp/attacker/rollcall.toml",
    "ROLLCALL_SOCKET=/tmp/attacker/socket",
    "ROLLCALL_LOG=trace",
    "RUST_LOG=trace",
    "RUST_BACKTRACE=full",
    "RUST_MIN_STACK=1",
    "SSL_CERT_FILE=/etc/ssl/rollcall-test-ca.pem",
    "SSL_CERT_DIR=/tmp/attacker",
    "SSLKEYLOGFILE=/tmp/attacker/output",
    "LDAPCONF=/tmp/attacker/ldap.conf",
    "LDAPTLS_CACERT=/tmp/attacker/ca.pem",
    "LDAPTLS_REQCERT=never",
    "RES_OPTIONS=debug",
    "LOCALDOMAIN=attacker.example",
    "HOSTALIASES=/tmp/attacker/hosts",
    "HOME=/tmp/attacker",
    "XDG_CONFIG_HOME=/tmp/attacker",
    "TMPDIR=/tmp/attacker",
    "TOKIO_WORKER_THREADS=0",
    "TZ=/tmp/attacker/zone",
];

/// A host with the privileged program, and what the attacker has prepared.
fn attacked(way: Way, builder: HostBuilder) -> Host {
    let host = host(way, builder);
    host.install(Path::new(env!("CARGO_BIN_EXE_probe")), PROGRAM);
    fs::set_permissions(host.path(PROGRAM), fs::Permissions::from_mode(0o4755)).expect("ours");
    let folder = host.path("/tmp/attacker");
    fs::create_dir(&folder).expect("it can be made");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
    host.write("/tmp/attacker/libnss_ldap.so.2", "not a library");
    let elsewhere = "[directory]\nuri = [\"ldap://127.0.0.9\"]\nbase = \"dc=attacker\"\n";
    host.write("/tmp/attacker/rollcall.toml", elsewhere);
    host
}

fn run(host: &Host, program: &str) -> Output {
    let words = NOBODY.into_iter().chain(["env", "-i"]).chain(ENVIRONMENT);
    host.run(words.chain([program, "user alice", "user nobody-here", "groups alice"]))
}

#[track_caller]
fn assert_untouched(host: &Host) {
    let left: Vec<_> = fs::read_dir(host.path("/tmp/attacker"))
        .expect("it is there")
        .map(|entry| entry.expect("it can be read").file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// The directory is read with a password that only root may read, so that the
/// answer shows as whom `direct.so` works.
fn a_privileged_program_gets_the_right_answer_and_nothing_else(way: Way) {
    let directory = people().access_by_anonymous(false);
    let host = attacked(way, Host::new().directory(directory));
    let output = run(&host, PROGRAM);
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""));
    assert_eq!(output.stdout, format!("{ALICE}\nnone\n1 20001 20002\n"));
    assert_untouched(&host);
}

#[test]
fn a_privileged_program_is_not_led_astray_with_the_daemon() {
    a_privileged_program_gets_the_right_answer_and_nothing_else(Way::Daemon);
}

#[test]
fn a_privileged_program_is_not_led_astray_with_direct_so() {
    a_privileged_program_gets_the_right_answer_and_nothing_else(Way::Direct);
}

/// Nothing else than the environment names the authority of the server's certificate.
#[test]
fn the_environment_of_a_privileged_program_adds_no_authority() {
    let configuration = "[directory]\nuri = [\"ldap://127.0.0.1\"]\nbase = \"dc=example,dc=org\"\n";
    let builder = Host::new().directory(people()).whole_configuration(configuration);
    let output = run(&attacked(Way::Direct, builder), PROGRAM);
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""));
    assert_eq!(output.stdout, format!("{UNAVAILABLE}\n{UNAVAILABLE}\n1\n"));
}

/// Without a daemon an unprivileged program can't read the password with which
/// the directory is read. That is no answer about the user.
#[test]
fn a_bind_password_of_others_is_an_outage_without_a_daemon() {
    let directory = people().access_by_anonymous(false);
    let host = host(Way::Direct, Host::new().directory(directory));
    let output = host.run(NOBODY.into_iter().chain(["/usr/bin/probe", "user alice", "user x"]));
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""));
    assert_eq!(output.stdout, format!("{UNAVAILABLE}\n{UNAVAILABLE}\n"));
}

/// Programs that keep capabilities, as `setpriv(1)` does, would have threads of
/// unlike rights if one of `direct.so`'s outlived the lookup; glibc ends such a
/// program at its next change of ids.
#[test]
fn a_program_that_keeps_capabilities_changes_its_user_after_a_lookup() {
    let host = host(Way::Direct, Host::new().directory(people()));
    let setpriv = ["setpriv", "--reuid=alice", "--regid=crew", "--clear-groups", "true"];
    assert_eq!(host.run(setpriv).status, Some(0));
}
