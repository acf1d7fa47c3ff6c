//! Whole programs, from their start to their end.

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::BASE;

use super::{clock, say};
use crate::people::{MANY, People, Sample};

/// The task that runs a program and says how much memory it took.
pub(super) const PEAK: &str = "peak";

const RUNS: usize = 20;
const FOLDER: &str = "/tmp/owned";

/// `getent passwd USER`, and `id` of a user in many groups.
pub(super) fn programs(people: People) {
    let user = People::user(people.sample(Sample::Owners).start);
    first_and_warm("getent", &["getent", "passwd", &user], |text| text.starts_with(&user));
    first_and_warm("id", &["id", "many"], |text| text.split(',').count() >= MANY as usize);
}

/// `ls -l` of a folder where every file has an owner of its own.
pub(super) fn list(people: People) {
    let owners = people.sample(Sample::Owners);
    fs::create_dir_all(FOLDER).expect("/tmp can be written");
    for i in owners.clone() {
        let path = Path::new(FOLDER).join(i.to_string());
        fs::write(&path, "").expect("/tmp can be written");
        let gid = People::gid(i % people.groups().min(100));
        chown(&path, Some(People::uid(i)), Some(gid)).expect("we are root");
    }
    let named = |line: &&str| line.contains(" user") && line.contains(" group");
    let complete = |text: &str| text.lines().filter(named).count() == owners.len();
    first_and_warm("ls", &["ls", "-l", FOLDER], complete);
}

fn first_and_warm(figure: &str, command: &[&str], is_complete: impl Fn(&str) -> bool) {
    let runs: Vec<()> = vec![(); RUNS];
    let time = |runs: &[()]| {
        clock::each(runs, |()| {
            let text = text(run(command));
            assert!(is_complete(&text), "{command:?}: {text}");
        })
    };
    say(&format!("{figure}.first"), clock::quantile(time(&runs[..1]), 0.5));
    say(&format!("{figure}.warm"), clock::quantile(time(&runs), 0.5));
}

fn run(command: &[&str]) -> Output {
    let (program, rest) = command.split_first().expect("a command has a name");
    let output = Command::new(program).args(rest).stdin(Stdio::null()).output();
    output.expect("it can be started")
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names are ASCII")
}

/// All users, by `getent passwd`: how many in a second, and the memory it took
/// beyond that of looking up one.
pub(super) fn enumerate(people: People) {
    let all = people.0 as usize;
    let mut lines = 0;
    let times = clock::each(&[(); 3], |()| {
        lines = text(run(&["getent", "passwd"])).lines().count();
        assert!(lines >= all, "{lines} of {all}");
    });
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    say("enumerate.rate", lines as f64 * 1e9 / clock::quantile(times, 0.5));
    let one = peak_of(&["getent", "passwd", &People::user(0)]);
    say("enumerate.memory", (peak_of(&["getent", "passwd"]) - one).max(0.0));
}

/// All users and groups, by `ldapsearch`.
pub(super) fn dump() {
    let script = "LDAPTLS_CACERT=\"$1\" ldapsearch -x -LLL -ZZ -H ldap://127.0.0.1 -o ldif-wrap=no \
        -D \"$2\" -w \"$3\" -E pr=1000/noprompt -b \"$4\" \
        '(|(objectClass=posixAccount)(objectClass=posixGroup))' \
        uid cn uidNumber gidNumber gecos homeDirectory loginShell memberUid >/dev/null";
    let (dn, password) = harness::READER;
    let ca_file = crate::providers::CA_FILE;
    let command = ["sh", "-c", script, "sh", ca_file, dn, password, BASE];
    let times = clock::each(&[(); 3], |()| drop(text(run(&command))));
    say("load.time", clock::quantile(times, 0.5));
}

/// The most memory that a program takes, in KiB. A small process in between
/// starts it, since what its parent holds counts for it, too.
fn peak_of(command: &[&str]) -> f64 {
    let output = run(&[&["/proc/self/exe", super::INSIDE, "0", PEAK], command].concat());
    text(output).trim().parse().expect("a number")
}

/// That process.
pub(super) fn peak(command: &[&str]) {
    let (program, rest) = command.split_first().expect("a command has a name");
    let status = Command::new(program).args(rest).stdout(Stdio::null()).status();
    assert!(status.expect("it can be started").success());
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: there is room for the struct.
    let done = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    assert_eq!(done, 0, "getrusage(2) fails only for wrong arguments");
    // SAFETY: the kernel filled it in; zeros would be a valid struct, too.
    println!("{}", unsafe { usage.assume_init() }.ru_maxrss);
}
