//! The harness itself: what the other tests stand on.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use harness::{BASE, Directory, Host, PATIENCE, Policy, READER, User, until};

fn ldapsearch(directory: &Directory, rest: &[&str]) -> std::process::Output {
    Command::new("ldapsearch")
        .env("LDAPTLS_CACERT", directory.ca_file())
        .args(["-LLL", "-o", "ldif-wrap=no", "-x", "-H", &directory.uri(), "-b", BASE])
        .args(rest)
        .output()
        .expect("ldapsearch is installed (apt-get install ldap-utils)")
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_directory_answers_over_starttls() {
    let directory = Directory::new().user(User::new("alice").uid(10_001)).start();
    let output = ldapsearch(&directory, &["-ZZ", "uid=alice", "uidNumber"]);
    assert!(text(&output).contains("uidNumber: 10001"), "{output:?}");
}

#[test]
fn a_directory_counts_what_it_is_asked() {
    let directory = Directory::new().start();
    let before = directory.counts();
    let said = ldapsearch(&directory, &["-ZZ", "uid=nobody"]);
    let counts = directory.counts() - before;
    let counted = (counts.connections, counts.searches, counts.binds);
    assert_eq!(counted, (1, 1, 1), "{said:?}\n{}", directory.log());
}

#[test]
fn a_directory_can_refuse_anonymous_readers() {
    let directory = Directory::new().user(User::new("alice")).access_by_anonymous(false).start();
    assert!(!text(&ldapsearch(&directory, &["-ZZ", "uid=alice"])).contains("alice"));
    let reader = ["-ZZ", "-D", READER.0, "-w", READER.1, "uid=alice"];
    assert!(text(&ldapsearch(&directory, &reader)).contains("alice"));
}

#[test]
fn a_password_policy_is_enforced() {
    let directory = Directory::new()
        .user(User::new("alice").password("old").must_change())
        .policy(Policy::new().must_change_after_reset())
        .start();
    let dn = format!("uid=alice,ou=people,{BASE}");
    let output = ldapsearch(&directory, &["-ZZ", "-e", "ppolicy", "-D", &dn, "-w", "old"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("Password must be changed"), "{output:?}");
}

#[test]
fn entries_can_be_changed_while_a_directory_runs() {
    let directory = Directory::new().user(User::new("alice")).start();
    directory.ldapmodify(&format!(
        "dn: uid=alice,ou=people,{BASE}\nchangetype: modify\nreplace: gecos\ngecos: New\n"
    ));
    assert!(text(&ldapsearch(&directory, &["-ZZ", "uid=alice"])).contains("gecos: New"));
}

#[test]
fn a_directory_that_was_killed_starts_again_with_its_entries() {
    let mut directory = Directory::new().user(User::new("alice")).start();
    directory.kill();
    assert!(!ldapsearch(&directory, &["-ZZ"]).status.success());
    directory.start();
    assert!(text(&ldapsearch(&directory, &["-ZZ", "uid=alice"])).contains("alice"));
}

#[test]
fn a_host_keeps_its_files_to_itself() {
    let before = fs::read("/etc/passwd").unwrap();
    let host = Host::new().plain().local_user("lou", 2001, "lou's password").start();
    host.run(["sh", "-c", "echo changed >/etc/hostname; touch /etc/new-file"]).success();
    assert!(host.run(["getent", "passwd", "lou"]).success().starts_with("lou:x:2001:"));
    assert_eq!(fs::read("/etc/passwd").unwrap(), before);
    assert!(!fs::exists("/etc/new-file").unwrap());
}

#[test]
fn a_hosts_processes_and_network_are_its_own() {
    let mut host = Host::new().plain().directory(Directory::new()).start();
    assert_eq!(host.directory().uri(), "ldap://127.0.0.1");
    let second = Host::new().plain().directory(Directory::new()).start();
    let rootdse = ["ldapsearch", "-x", "-H", "ldap://127.0.0.1", "-s", "base", "-b", ""];
    second.run(rootdse).success();
    host.directory().stop();
    assert_ne!(host.run(rootdse).status, Some(0));
    second.run(rootdse).success();
    assert!(fs::read_dir(second.path("/proc/1")).is_ok());
    let processes = second.run(["sh", "-c", "ls -d /proc/[0-9]* | wc -l"]).success();
    assert!(processes.trim().parse::<u32>().unwrap() < 10, "{processes}");
}

#[test]
fn a_local_user_logs_in_over_ssh() {
    let host = Host::new().plain().sshd().local_user("lou", 2001, "lou's password").start();
    let login = host.login().ssh("lou", "lou's password");
    assert!(login.success, "{}\n{}", login.transcript, host.log().join("\n"));
    let login = host.login().ssh_password("lou", "lou's password");
    assert!(login.success, "{}\n{}", login.transcript, host.log().join("\n"));
}

#[test]
fn a_wrong_password_is_refused_over_ssh() {
    let host = Host::new().plain().sshd().local_user("lou", 2001, "lou's password").start();
    assert!(!host.login().ssh("lou", "wrong").success);
    host.wait_for_log("authentication failure", PATIENCE);
}

#[test]
fn su_and_passwd_can_be_driven_on_a_terminal() {
    let host = Host::new()
        .plain()
        .local_user("lou", 2001, "lou's password")
        .local_user("max", 2002, "max's password")
        .start();
    let change = host.login().passwd("max", "max's password", "a new 1 for Max");
    assert!(change.success, "{}", change.transcript);
    let su = host.login().su("lou", "max", "a new 1 for Max");
    assert!(su.success, "{}", su.transcript);
}

#[test]
fn what_is_sent_to_syslog_is_in_the_log() {
    let host = Host::new().plain().start();
    host.run(["logger", "--tag", "tester", "a line for the log"]).success();
    let line = host.wait_for_log("a line for the log", PATIENCE);
    assert!(line.starts_with("syslog: ") && line.contains("tester"), "{line}");
}

#[test]
fn nothing_is_left_of_a_host() {
    let mut host =
        Host::new().plain().sshd().directory(Directory::new()).local_user("lou", 2001, "").start();
    let slapd = host.directory().pid().unwrap();
    let script = ["sh", "-c", "echo up; exec sleep 1000"];
    let mut sleeper = host.command(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut up = [0; 3];
    sleeper.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    let folder = host.directory().ca_file();
    drop(host);
    until(PATIENCE, || sleeper.try_wait().unwrap()).expect("the sleeper ended with the host");
    assert!(!fs::exists(format!("/proc/{slapd}")).unwrap());
    assert!(!fs::exists(folder.parent().unwrap()).unwrap());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("rollcall-host-"), "{mounts}");
}

#[test]
fn a_killed_test_process_leaves_no_server_behind() {
    // This same test binary, told to keep a host until it is killed.
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "keeps_a_host_until_it_is_killed"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut value = |name: &str| {
        lines.find_map(|line| Some(line.unwrap().split_once(name)?.1.to_owned())).unwrap()
    };
    let (slapd, folder) = (value("slapd="), value("folder="));
    child.kill().unwrap();
    child.wait().unwrap();
    until(PATIENCE, || (!fs::exists(format!("/proc/{slapd}")).unwrap()).then_some(()))
        .expect("slapd was ended");
    until(PATIENCE, || (!fs::exists(&folder).unwrap()).then_some(())).expect("its files are gone");
}

#[test]
#[ignore = "part of a_killed_test_process_leaves_no_server_behind"]
fn keeps_a_host_until_it_is_killed() {
    let mut host = Host::new().plain().directory(Directory::new()).start();
    println!("\nslapd={}", host.directory().pid().unwrap());
    println!("folder={}", host.directory().ca_file().parent().unwrap().display());
    loop {
        std::thread::park();
    }
}
