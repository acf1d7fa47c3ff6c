//! The harness's instruments for outages: what the tests of outages stand on.

use std::time::{Duration, Instant};

use harness::{BASE, Directory, Host, Names, Output, PATIENCE, READER, User, until};

/// Asks a server of a host, as the reader and over StartTLS; a second at most.
fn ask(host: &Host, address: &str, rest: &[&str]) -> Output {
    let uri = format!("ldap://{address}");
    let script = r#"LDAPTLS_REQCERT=never exec timeout 1 ldapsearch -LLL -o ldif-wrap=no "$@""#;
    let words = ["sh", "-c", script, "sh", "-x", "-ZZ", "-H", &uri];
    let reader = ["-D", READER.0, "-w", READER.1];
    host.run(words.into_iter().chain(reader).chain(rest.iter().copied()))
}

fn knows(host: &Host, address: &str, name: &str) -> bool {
    let filter = format!("uid={name}");
    ask(host, address, &["-b", BASE, &filter, "uidNumber"]).stdout.contains("uidNumber")
}

fn people() -> harness::DirectoryBuilder {
    Directory::new().user(User::new("alice").uid(10_001).password("a password"))
}

#[test]
fn a_replica_follows_the_first() {
    let mut host = Host::new()
        .plain()
        .directory(people().syncprov())
        .replica(Directory::new().listen("127.0.0.2").syncprov())
        .start();
    assert!(knows(&host, "127.0.0.2", "alice"));
    host.directory().add_user(&User::new("bob"));
    until(PATIENCE, || knows(&host, "127.0.0.2", "bob").then_some(())).expect("it follows");
    let [first, replica] = host.directories() else { panic!("there are two") };
    replica.wait_until_like(first);
    first.kill();
    assert!(knows(&host, "127.0.0.2", "bob"));
}

#[test]
fn a_replica_on_this_machine_follows_a_directory() {
    let directory = people().start();
    let replica = Directory::new().replica_of(&directory).start();
    replica.wait_until_like(&directory);
}

#[test]
fn a_wiped_directory_has_other_people() {
    let mut host = Host::new().plain().directory(people()).start();
    host.directory().wipe(Directory::new().user(User::new("carol")));
    assert!(knows(&host, "127.0.0.1", "carol"));
    assert!(!knows(&host, "127.0.0.1", "alice"));
}

#[test]
fn a_blackhole_says_nothing_until_it_is_healed() {
    let host = Host::new()
        .plain()
        .directory(people())
        .directory(people().listen("127.0.0.2"))
        .directory(people().listen("10.77.0.1"))
        .start();
    host.blackhole("127.0.0.1");
    // `timeout` ends it: nobody refused.
    assert_eq!(ask(&host, "127.0.0.1", &["-b", ""]).status, Some(124));
    assert!(knows(&host, "127.0.0.2", "alice"));
    host.blackhole("10.77.0.1");
    assert_eq!(ask(&host, "10.77.0.1", &["-b", ""]).status, Some(124));
    host.heal();
    assert!(knows(&host, "127.0.0.1", "alice"));
    assert!(knows(&host, "10.77.0.1", "alice"));
}

#[test]
fn a_host_without_a_network_is_told_so() {
    let address = "10.77.0.1";
    let host = Host::new().plain().directory(people().listen(address)).start();
    host.remove_address(address);
    let said = ask(&host, address, &["-b", ""]);
    assert!(said.stderr.contains("Can't contact LDAP server"), "{said:?}");
    host.add_address(address);
    assert!(knows(&host, address, "alice"));
}

#[test]
fn a_relay_delays_what_it_is_told_to() {
    let host = Host::new().plain().directory(people()).relay("127.0.0.9").start();
    assert!(knows(&host, "127.0.0.9", "alice"));
    let each_way = Duration::from_millis(20);
    host.relay().delay(each_way);
    let start = Instant::now();
    assert!(knows(&host, "127.0.0.9", "alice"));
    // StartTLS, the handshake, the bind and the search.
    assert!(start.elapsed() > each_way * 8);
}

#[test]
fn a_reading_relay_delays_binds_alone() {
    let host = Host::new().plain().directory(people()).reading_relay("127.0.0.9").start();
    assert!(knows(&host, "127.0.0.9", "alice"));
    host.relay().delay_binds(PATIENCE);
    assert_eq!(ask(&host, "127.0.0.9", &["-b", BASE]).status, Some(124));
    let anonymous = ["ldapsearch", "-x", "-H", "ldap://127.0.0.9", "-b", "", "-s", "base"];
    assert_ne!(host.run(anonymous).status, Some(124));
    assert_eq!(host.relay().most_binds_at_once(), 1);
}

#[test]
fn names_are_served_on_a_host() {
    let names = Names::new()
        .server("example.org", "one.example.org", 389, 10, 0)
        .address("one.example.org", "127.0.0.7");
    let mut host = Host::new().plain().names(names.clone()).start();
    // A question for _ldap._tcp.example.org, IN SRV (RFC 1035 section 4.1).
    let script = "
import socket
name = b''.join(bytes([len(p)]) + p for p in b'_ldap._tcp.example.org'.split(b'.')) + b'\\0'
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(b'\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0' + name + b'\\0\\x21\\0\\1', ('127.0.0.53', 53))
answer = s.recv(4096)
print(int.from_bytes(answer[6:8], 'big'), b'one' in answer, b'two' in answer)
";
    let ask = |host: &Host| host.run(["python3", "-c", script]).success();
    assert_eq!(ask(&host), "1 True False\n");
    host.serve_names(&names.server("example.org", "two.example.org", 389, 20, 0));
    assert_eq!(ask(&host), "2 True True\n");
}

mod ds389 {
    use super::*;

    fn host() -> Host {
        Host::new().plain().directory(people().group("crew", 20_001, ["alice"]).ds389()).start()
    }

    #[test]
    fn it_synchronizes_content() {
        let host = host();
        let root = ask(&host, "127.0.0.1", &["-b", "", "-s", "base", "supportedControl"]);
        assert!(root.stdout.contains("1.3.6.1.4.1.4203.1.9.1.1"), "{root:?}");
        let words = ["-E", "!sync=ro", "-b", BASE, "uid=alice", "uidNumber"];
        let sync = ask(&host, "127.0.0.1", &words);
        assert!(sync.stdout.contains("uidNumber: 10001"), "{sync:?}");
    }

    #[test]
    fn it_can_be_changed_killed_and_wiped() {
        let mut host = host();
        assert!(knows(&host, "127.0.0.1", "alice"));
        host.directory().add_user(&User::new("bob"));
        assert!(knows(&host, "127.0.0.1", "bob"));
        host.directory().kill();
        assert!(!knows(&host, "127.0.0.1", "bob"));
        host.directory().start();
        assert!(knows(&host, "127.0.0.1", "bob"));
        host.directory().wipe(Directory::new().user(User::new("carol")));
        assert!(knows(&host, "127.0.0.1", "carol"));
        assert!(!knows(&host, "127.0.0.1", "alice"));
    }

    #[test]
    fn it_gives_its_reader_more_than_its_usual_limit() {
        let many = (0..2500).map(|n| User::new(&format!("u{n}")).uid(20_000 + n));
        let host = Host::new().plain().directory(Directory::new().people(many).ds389()).start();
        let all = ask(&host, "127.0.0.1", &["-b", BASE, "uid=u*", "1.1"]);
        assert_eq!(all.success().matches("dn: uid=u").count(), 2500);
    }
}
