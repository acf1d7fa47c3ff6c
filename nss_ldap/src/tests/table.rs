//! Lookups and enumerations with a table.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use common::table::writer::{Fact, Heartbeat, Room, Writer};
use common::table::{Heart, Key, NEVER, Now};
use tempfile::TempDir;

use super::*;

mod enumeration;

/// A host with a folder for tables, as a process of it has it.
struct Host {
    folder: TempDir,
    shared: &'static Shared,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> &'static str {
            Box::leak(folder.path().join(name).to_str().unwrap().to_owned().into_boxed_str())
        };
        let shared = Box::leak(Box::new(Shared::new(path("table"), path("sealed"))));
        Self { folder, shared }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("table")
    }

    /// Puts a complete table in place, with these users and groups.
    fn publish(&self, users: &[User], groups: &[Group]) -> Writer {
        let mut writer = Writer::create(&self.path(), Room::default()).unwrap();
        let mut change = writer.change();
        for user in users {
            let keys = [Key::UserName(user.name.as_str().as_bytes()), Key::Uid(user.uid.get())];
            change.put(Fact::User(user, None), &keys, NEVER).unwrap();
        }
        for group in groups {
            let keys = [Key::GroupName(group.name.as_str().as_bytes()), Key::Gid(group.gid.get())];
            change.put(Fact::Group(group), &keys, NEVER).unwrap();
        }
        change.commit().unwrap();
        beat(&mut writer, 60);
        writer.publish().unwrap();
        writer
    }

    /// The main name, if a lookup finds something. Nobody may be asked.
    fn name(&self, asked: Asked<'_>) -> Result<String, Failure> {
        self.name_or(asked, 1024, &|_| panic!("the daemon was asked"))
    }

    fn name_or(
        &self,
        asked: Asked<'_>,
        size: usize,
        ask: &dyn Fn(&Request) -> Response,
    ) -> Result<String, Failure> {
        call::<User, _>(
            size,
            |mut target| {
                let ask = |request: &Request, _: Wait<'_>| ask(request);
                answer::lookup::<User>(asked, &mut target, self.shared, ask)
            },
            |user| text(user.pw_name),
        )
    }

    fn group(&self, size: usize) -> Result<(String, Vec<String>), Failure> {
        call::<Group, _>(
            size,
            |mut target| {
                let ask = |_: &Request, _: Wait<'_>| panic!("the daemon was asked");
                answer::lookup::<Group>(by_name("staff"), &mut target, self.shared, ask)
            },
            |group| (text(group.gr_name) + &text(group.gr_passwd), texts(group.gr_mem)),
        )
    }

    fn maps(&self) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains(self.folder.path().to_str().unwrap())).count()
    }
}

/// A heartbeat that lasts this long.
fn beat(writer: &mut Writer, seconds: u32) {
    let alive_until = Now(Now::read().0 + seconds);
    let heard = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    writer.beat(Heartbeat { alive_until, complete_until: alive_until, heard, max_stale: 3600 });
}

fn numbered(number: u32) -> User {
    User { uid: Uid::new(2000 + number).unwrap(), ..user(&format!("user{number}")) }
}

fn nobody(_: &Request) -> Response {
    Response::Unavailable(Unavailable::NoDaemon)
}

#[test]
fn a_user_of_the_table_arrives_as_the_directory_has_it() {
    let host = Host::new();
    let _writer = host.publish(&[user("alice")], &[]);
    for asked in [by_name("alice"), Asked::Id(2000)] {
        let fields = call::<User, _>(
            1024,
            |mut target| {
                let ask = |_: &Request, _: Wait<'_>| panic!("the daemon was asked");
                answer::lookup::<User>(asked, &mut target, host.shared, ask)
            },
            |u| {
                let texts = [u.pw_name, u.pw_passwd, u.pw_gecos, u.pw_dir, u.pw_shell].map(text);
                (texts.join(":"), u.pw_uid, u.pw_gid)
            },
        );
        assert_eq!(fields, Ok(("alice:x:Alice Ä.:/home/alice:/bin/sh".into(), 2000, 3000)));
    }
}

#[test]
fn a_buffer_for_a_user_of_the_table_fits_exactly_from_the_size_that_is_needed() {
    let host = Host::new();
    let _writer = host.publish(&[user("alice")], &[]);
    let needed = "alice\0x\0Alice Ä.\0/home/alice\0/bin/sh\0".len();
    let ask = |_: &Request| panic!("the daemon was asked");
    let short = host.name_or(by_name("alice"), needed - 1, &ask);
    assert_eq!(short, Err(Failure::ShortBuffer));
    assert_eq!(host.name_or(by_name("alice"), needed, &ask), Ok("alice".into()));
}

#[test]
fn a_group_of_the_table_has_all_members_in_every_buffer_that_is_large_enough() {
    for count in [0, 1, 7, 8, 9, 16, 1000] {
        let host = Host::new();
        let staff = group(count);
        let _writer = host.publish(&[], std::slice::from_ref(&staff));
        let members: Vec<String> = staff.members.iter().map(str::to_owned).collect();
        let strings = "staff\0*\0".len() + staff.members.as_run().len();
        let size = (1 + count) * 8 + strings;
        assert_eq!(host.group(size - 1), Err(Failure::ShortBuffer), "{count}");
        // A buffer may begin anywhere, and pointers not.
        assert_eq!(host.group(size + 7), Ok(("staff*".into(), members)), "{count}");
    }
}

#[test]
fn who_is_not_in_a_complete_table_is_not_found() {
    let host = Host::new();
    let _writer = host.publish(&[user("alice")], &[]);
    assert_eq!(host.name(by_name("bob")), Err(Failure::NotFound));
    assert_eq!(host.name(Asked::Id(2001)), Err(Failure::NotFound));
}

#[test]
fn another_name_of_a_user_gives_the_main_one() {
    let host = Host::new();
    let mut writer = host.publish(&[], &[]);
    let mut change = writer.change();
    let keys = [Key::UserName(b"alice"), Key::UserName(b"Alice"), Key::UserName(b"al")];
    change.put(Fact::User(&user("alice"), None), &keys, NEVER).unwrap();
    change.commit().unwrap();
    for name in ["alice", "Alice", "al"] {
        assert_eq!(host.name(by_name(name)), Ok("alice".into()));
    }
}

#[test]
fn names_and_ids_of_this_host_never_reach_table_or_daemon() {
    let host = Host::new();
    let _writer = host.publish(&[], &[]);
    let long = "x".repeat(256);
    for name in ["root", "rollcall", "", &long] {
        assert!(!by_name(name).may_be_there(), "{name}");
        assert_eq!(host.name(by_name(name)), Err(Failure::NotFound));
    }
    assert!(by_name(&long[1..]).may_be_there());
    for id in [0, 61184, 65534, 65535, u32::MAX] {
        assert!(!Asked::Id(id).may_be_there(), "{id}");
        assert_eq!(host.name(Asked::Id(id)), Err(Failure::NotFound));
    }
}

#[test]
fn whom_the_table_does_not_know_the_daemon_is_asked_about() {
    let host = Host::new();
    let mut writer = host.publish(&[user("alice")], &[]);
    let alive_until = Now(Now::read().0 + 60);
    let incomplete = Heartbeat { alive_until, complete_until: Now(0), heard: 1, max_stale: 1 };
    writer.beat(incomplete);
    let ask = |_: &Request| Response::User(user("bob"));
    assert_eq!(host.name(by_name("alice")), Ok("alice".into()));
    assert_eq!(host.name_or(by_name("bob"), 1024, &ask), Ok("bob".into()));
}

#[test]
fn a_table_that_is_not_fresh_counts_only_where_nobody_answers() {
    let host = Host::new();
    let mut writer = host.publish(&[user("alice")], &[]);
    beat(&mut writer, 0);
    let directory = |_: &Request| Response::Unavailable(Unavailable::Directory("down".into()));
    let alice = by_name("alice");
    assert_eq!(host.name_or(alice, 1024, &directory), Err(Failure::Unavailable));
    assert_eq!(host.name_or(alice, 1024, &|_| Response::NotFound), Err(Failure::NotFound));
    for why in [Unavailable::NoDaemon, Unavailable::Daemon(String::new()), Unavailable::TimedOut] {
        let ask = |_: &Request| Response::Unavailable(why.clone());
        assert_eq!(host.name_or(alice, 1024, &ask), Ok("alice".into()));
        assert_eq!(host.name_or(by_name("bob"), 1024, &ask), Err(Failure::Unavailable));
    }
}

/// Whether somebody who asks for this user sees a beating heart, and could do without the daemon.
fn seen(host: &Host, name: &str) -> (bool, bool) {
    let mut seen = None;
    let ask = |_: &Request, wait: Wait<'_>| {
        seen = Some((wait.heart == Heart::Beats, (wait.can_do_without)()));
        Response::Unavailable(Unavailable::Busy)
    };
    let look_up = |mut target: Target<_>| {
        answer::lookup::<User>(by_name(name), &mut target, host.shared, ask)
    };
    assert!(call::<User, _>(1024, look_up, |_| ()).is_err());
    seen.unwrap()
}

#[test]
fn only_who_is_in_an_old_table_can_do_without_its_daemon() {
    let host = Host::new();
    let mut writer = host.publish(&[user("alice")], &[]);
    beat(&mut writer, 0);
    assert_eq!(seen(&host, "alice"), (false, true));
    assert_eq!(seen(&host, "bob"), (false, false));
}

#[test]
fn nobody_has_to_wait_where_there_is_only_a_sealed_copy_of_everybody() {
    let host = Host::new();
    let mut writer = host.publish(&[user("alice")], &[]);
    beat(&mut writer, 60);
    writer.seal(&host.folder.path().join("sealed")).unwrap();
    fs::remove_file(host.path()).unwrap();
    for name in ["alice", "bob"] {
        assert_eq!(seen(&host, name), (false, true), "{name}");
    }
    assert_eq!(host.name_or(by_name("bob"), 1024, &nobody), Err(Failure::Unavailable));
}

#[test]
fn whom_a_sealed_copy_of_some_does_not_have_the_daemon_is_waited_for() {
    let host = Host::new();
    let mut writer = Writer::create(&host.path(), Room::default()).unwrap();
    let mut change = writer.change();
    change.put(Fact::User(&user("alice"), None), &[Key::UserName(b"alice")], NEVER).unwrap();
    change.commit().unwrap();
    let heard = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (alive_until, complete_until) = (Now(Now::read().0 + 60), Now(0));
    writer.beat(Heartbeat { alive_until, complete_until, heard, max_stale: 3600 });
    writer.seal(&host.folder.path().join("sealed")).unwrap();
    assert_eq!(seen(&host, "alice"), (false, true));
    assert_eq!(seen(&host, "bob"), (false, false));
}

/// Otherwise a daemon that answers nobody costs a deadline for each size that glibc tries.
#[test]
fn an_outage_is_waited_for_once_while_a_buffer_grows() {
    let host = Host::new();
    let mut writer = host.publish(&[user("alice")], &[]);
    beat(&mut writer, 0);
    let asked = Cell::new(0);
    let ask = |request: &Request| {
        asked.set(asked.get() + 1);
        nobody(request)
    };
    let alice = by_name("alice");
    assert_eq!(host.name_or(alice, 1, &ask), Err(Failure::ShortBuffer));
    assert_eq!(host.name_or(alice, 2, &ask), Err(Failure::ShortBuffer));
    assert_eq!(host.name_or(alice, 1024, &ask), Ok("alice".into()));
    assert_eq!(asked.get(), 1);
}

/// Every answer is a state that existed: name, uid and gecos are of one record.
#[test]
fn eight_threads_read_whole_answers_while_tables_change_and_are_replaced() {
    let host = Host::new();
    let state = |uid: u32| User {
        uid: Uid::new(uid).unwrap(),
        gid: Gid::new(uid).unwrap(),
        gecos: Field::cleaned(&format!("{uid} {}", "x".repeat(uid as usize % 200))),
        ..user("alice")
    };
    let over = AtomicBool::new(false);
    let mut writer = host.publish(&[state(2000)], &[]);
    let look = |answered: &mut u32| {
        let read = |u: libc::passwd| (u.pw_uid, u.pw_gid, text(u.pw_gecos), text(u.pw_shell));
        let answer = call::<User, _>(
            1024,
            |mut target| {
                let alice = by_name("alice");
                let glance = answer::glance::<User>(alice, &mut target, host.shared);
                glance.unwrap_or_else(|| {
                    let ask = |_: &Request, _: Wait<'_>| Response::Unavailable(Unavailable::Busy);
                    answer::lookup::<User>(alice, &mut target, host.shared, ask)
                })
            },
            read,
        );
        match answer {
            Ok((uid, gid, gecos, shell)) => {
                assert_eq!((uid, shell.as_str()), (gid, "/bin/sh"));
                assert_eq!(gecos, state(uid).gecos.as_str());
                *answered += 1;
            }
            // While another thread exchanges files.
            Err(failure) => assert_eq!(failure, Failure::Unavailable),
        }
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0;
                    while !over.load(Ordering::Relaxed) || answered == 0 {
                        look(&mut answered);
                    }
                })
            })
            .collect();
        for uid in 2001..4000 {
            let user = state(uid);
            if uid % 10 == 0 {
                let next = host.publish(&[user], &[]);
                writer.retire();
                writer = next;
            } else {
                let mut change = writer.change();
                let keys = [Key::UserName(b"alice"), Key::Uid(uid)];
                change.put(Fact::User(&user, None), &keys, NEVER).unwrap();
                change.commit().unwrap();
                beat(&mut writer, 60);
            }
        }
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(host.maps(), 2, "the writer's and the readers'");
}
