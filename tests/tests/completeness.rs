//! Part of an answer is no answer, and one asker's haste is not everybody's.

use std::time::Duration;

use common::account::Name;
use common::client::Client;
use common::deadline::{self, Deadline};
use common::protocol::{Context, Request, Response, Unavailable};
use common::secret::Secret;
use harness::{BASE, Directory, DirectoryBuilder, Host, User};

fn people() -> DirectoryBuilder {
    let alice = User::new("alice").uid(10_001).gid(20_001);
    (0..150).fold(Directory::new().user(alice), |directory, n| {
        directory.group(&format!("team{n}"), 30_000 + n, ["alice"])
    })
}

fn alice() -> Name {
    Name::parse("alice").expect("a name")
}

/// Asks the daemon of a host, as root.
fn ask(host: &Host, request: &Request, budget: Duration) -> Response {
    Client::Socket(&host.path("/run/rollcall/socket")).ask(request, Deadline::after(budget))
}

fn is_unavailable(response: &Response) -> bool {
    matches!(response, Response::Unavailable(Unavailable::Directory(_)))
}

#[test]
fn a_user_has_all_groups() {
    let host = Host::new().directory(people()).start();
    let response = ask(&host, &Request::GroupsOf(alice()), deadline::LOOKUP);
    assert!(matches!(&response, Response::Gids(gids) if gids.len() == 150), "{response:?}");
}

#[test]
fn some_of_a_users_groups_are_never_taken_for_all() {
    let limited = people().configuration("limits anonymous size=100");
    let host = Host::new().directory(limited).start();
    let response = ask(&host, &Request::GroupsOf(alice()), deadline::LOOKUP);
    assert!(is_unavailable(&response), "{response:?}");
}

#[test]
fn a_base_that_does_not_exist_is_no_empty_directory() {
    let host = Host::new().directory(people()).start();
    let text = host.run(["cat", "/etc/rollcall.toml"]).success();
    host.write("/etc/rollcall.toml", &text.replace("base = \"", "base = \"ou=nowhere,"));
    let mut host = host;
    host.daemon().reload();
    host.wait_for_log("the configuration was read again", harness::PATIENCE);
    let response = ask(&host, &Request::UserByName(alice()), deadline::LOOKUP);
    assert!(is_unavailable(&response), "{response:?}");
}

#[test]
fn an_asker_with_no_time_costs_others_no_connection() {
    let mut host = Host::new().directory(people()).start();
    let lookup = |host: &Host, budget| ask(host, &Request::UserByName(alice()), budget);
    assert!(matches!(lookup(&host, deadline::LOOKUP), Response::User(_)));
    let before = host.directory().counts().connections;
    for _ in 0..200 {
        lookup(&host, Duration::from_millis(1));
    }
    assert!(matches!(lookup(&host, deadline::LOOKUP), Response::User(_)));
    assert_eq!(host.directory().counts().connections, before);
}

/// Of eleven entries that a directory takes for the same name, two are exactly
/// this name's. The first ten show perhaps one of them.
#[test]
fn a_name_is_never_taken_for_unique_after_looking_at_some_of_its_entries() {
    let twin = |n: u32, name: &str| {
        format!(
            "dn: cn=twin{n},ou=people,{BASE}\nobjectClass: account\nobjectClass: posixAccount\n\
             objectClass: simpleSecurityObject\nuid: {name}\ncn: twin{n}\nuidNumber: {}\n\
             gidNumber: 20001\nhomeDirectory: /home/x\nuserPassword: secret\n",
            11_000 + n
        )
    };
    let spellings =
        ["alan", "Alan", "aLan", "alAn", "alaN", "ALan", "AlAn", "AlaN", "aLAn", "aLaN", "alan"];
    let directory = (0..)
        .zip(spellings)
        .fold(Directory::new(), |directory, (n, name)| directory.ldif(&twin(n, name)));
    let host = Host::new().directory(directory).start();
    let request = Request::Authenticate {
        name: Name::parse("alan").expect("a name"),
        password: Secret::new("secret".into()),
        context: Context::default(),
    };
    let response = ask(&host, &request, deadline::LOGIN);
    assert!(is_unavailable(&response), "{response:?}");
}
