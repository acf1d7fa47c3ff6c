//! Who is in the demo's directory.

use harness::{Directory, DirectoryBuilder};

/// Login names and full names.
pub(crate) const PEOPLE: [(&str, &str); 12] = [
    ("alice", "Alice Archer"),
    ("bob", "Bob Baker"),
    ("carol", "Carol Cook"),
    ("dave", "Dave Dyer"),
    ("erin", "Erin Ewer"),
    ("frank", "Frank Fisher"),
    ("grace", "Grace Glover"),
    ("heidi", "Heidi Hooper"),
    ("ivan", "Ivan Ingram"),
    ("judy", "Judy Joiner"),
    ("mallory", "Mallory Mason"),
    ("olivia", "Olivia Oxley"),
];

/// The gid of the group `crew`, whose members may log in.
pub(crate) const CREW: u32 = 20_001;
/// The password of `lou`, who is in the host's own `/etc/passwd`.
pub(crate) const LOCAL_PASSWORD: &str = "a local secret";

/// The password of a person before the demo changes it.
pub(crate) fn password(name: &str) -> String {
    format!("{name}'s secret")
}

/// The directory: mallory is in no group that may log in.
pub(crate) fn directory() -> DirectoryBuilder {
    let names = || PEOPLE.iter().map(|(name, _)| *name);
    let users = PEOPLE.iter().zip(10_001..).map(|((name, gecos), uid)| {
        let user = crate::user(name, uid, gecos);
        if *name == "mallory" { user.gid(20_004) } else { user }
    });
    Directory::new()
        .people(users)
        .group("crew", CREW, names().filter(|name| *name != "mallory"))
        .group("editors", 20_002, ["alice", "carol", "erin"])
        .group("printing", 20_003, names())
        .group("visitors", 20_004, ["mallory"])
        .policy(crate::policy())
}
