//! The module inside processes that do unusual things: each test is a program of
//! its own, whose root is a folder with the module in it and nothing else. Run as root.

mod built;

use std::ffi::{CStr, c_int};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, chroot};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;
use std::{env, thread};

use built::{ByName, function, look_up};
use common::account::{AbsolutePath, Field, Gid, Name, Uid, User};
use common::frame::{self, REQUEST_HEADER};
use common::protocol::Response;
use common::table::writer::{Fact, Heartbeat, Room, Writer};
use common::table::{Key, NEVER, Now};
use tempfile::TempDir;

/// Set in the processes that are guests' hosts, to their root folder.
const ROOT: &str = "NSS_TEST_ROOT";
const GETPWNAM: &CStr = c"_nss_ldap_getpwnam_r";
const GETGRNAM: &CStr = c"_nss_ldap_getgrnam_r";
const FOUND: (c_int, c_int) = (1, 0);
const TABLE: &str = "/run/rollcall/table";
const NOT_FOUND: (c_int, c_int) = (0, libc::ENOENT);
const UNAVAILABLE: (c_int, c_int) = (-1, libc::EAGAIN);

/// Prepares a root folder, and runs the body with it as the root of a process
/// of its own: this test's own program once more, with this test alone.
fn in_a_host(test: &str, prepare: impl FnOnce(&Root), body: impl FnOnce()) {
    if let Some(root) = env::var_os(ROOT) {
        go_into(Path::new(&root));
        return body();
    }
    let root = Root::new();
    prepare(&root);
    let status = host(test, root.path());
    assert!(status.success(), "the host ended with {status}");
}

fn host(test: &str, root: &Path) -> ExitStatus {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ROOT, root);
    command.status().unwrap()
}

fn go_into(folder: &Path) {
    chroot(folder).expect("run as root: this test changes its root folder");
    env::set_current_dir("/").unwrap();
}

/// A root folder with the module in it.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(root.path().join("lib")).unwrap();
        fs::copy(built::module(), root.path().join("lib/libnss_ldap.so.2")).unwrap();
        root
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a `direct.so` where the module looks for it, under the root or a folder of it.
    fn with_direct(&self, folder: &str) -> PathBuf {
        let folder = self.path().join(folder).join("lib/rollcall");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("direct.so");
        fs::copy(built::fixture("direct"), &file).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        file
    }

    /// Puts a complete table of these users where the module looks for it, below a
    /// folder of the root. Its writer is let go of, as if it had been killed.
    fn with_table(&self, folder: &str, users: &[&str]) {
        let folder = self.path().join(folder).join("run/rollcall");
        fs::create_dir_all(&folder).unwrap();
        publish(&folder.join("table"), users);
    }

    /// Serves each connection in the daemon's place, for as long as this process lives.
    fn with_daemon(&self, serve: fn(UnixStream)) {
        fs::create_dir_all(self.path().join("run/rollcall")).unwrap();
        let listener = UnixListener::bind(self.path().join("run/rollcall/socket")).unwrap();
        thread::spawn(move || listener.incoming().flatten().for_each(serve));
    }
}

fn module(name: &CStr) -> ByName {
    function(Path::new("/lib/libnss_ldap.so.2"), name)
}

#[test]
fn without_a_daemon_direct_so_beside_the_module_answers() {
    let test = "without_a_daemon_direct_so_beside_the_module_answers";
    in_a_host(
        test,
        |root| drop(root.with_direct("")),
        || assert_eq!(look_up(module(GETPWNAM), c"alice"), NOT_FOUND),
    );
}

/// Docker's CVE-2019-14271: a library of the container, in a process of the host's root.
#[test]
fn a_direct_so_of_another_root_is_not_loaded() {
    in_a_host(
        "a_direct_so_of_another_root_is_not_loaded",
        |root| {
            root.with_direct("container");
            let lib = root.path().join("lib");
            let module = "libnss_ldap.so.2";
            fs::copy(lib.join(module), root.path().join("container/lib").join(module)).unwrap();
        },
        || {
            let getpwnam = module(GETPWNAM);
            assert_eq!(look_up(getpwnam, c"alice"), UNAVAILABLE);
            go_into(Path::new("/container"));
            assert_eq!(look_up(getpwnam, c"alice"), UNAVAILABLE);
        },
    );
}

#[test]
fn a_direct_so_that_others_can_write_to_is_not_loaded() {
    in_a_host(
        "a_direct_so_that_others_can_write_to_is_not_loaded",
        |root| drop(root.with_direct("")),
        || {
            let file = "/lib/rollcall/direct.so";
            let getpwnam = module(GETPWNAM);
            for mode in [0o775, 0o757] {
                fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
                assert_eq!(look_up(getpwnam, c"alice"), UNAVAILABLE, "{mode:o}");
            }
            fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
            chown(file, Some(1000), None).unwrap();
            assert_eq!(look_up(getpwnam, c"alice"), UNAVAILABLE, "another owner");
        },
    );
}

#[test]
fn a_direct_so_of_the_modules_owner_is_loaded() {
    in_a_host(
        "a_direct_so_of_the_modules_owner_is_loaded",
        |root| drop(root.with_direct("")),
        || {
            for file in ["/lib/rollcall/direct.so", "/lib/libnss_ldap.so.2"] {
                chown(file, Some(1000), None).unwrap();
            }
            assert_eq!(look_up(module(GETPWNAM), c"alice"), NOT_FOUND);
        },
    );
}

#[test]
fn a_table_answers_though_no_daemon_is_there() {
    in_a_host(
        "a_table_answers_though_no_daemon_is_there",
        |root| root.with_table("", &["alice"]),
        || {
            let getpwnam = module(GETPWNAM);
            assert_eq!(look_up(getpwnam, c"alice"), FOUND);
            assert_eq!(look_up(getpwnam, c"bob"), NOT_FOUND);
        },
    );
}

#[test]
fn a_table_that_others_could_have_written_is_not_believed() {
    in_a_host(
        "a_table_that_others_could_have_written_is_not_believed",
        |root| root.with_table("", &["alice"]),
        || {
            let getpwnam = module(GETPWNAM);
            for mode in [0o664, 0o646] {
                fs::set_permissions(TABLE, Permissions::from_mode(mode)).unwrap();
                assert_eq!(look_up(getpwnam, c"alice"), UNAVAILABLE, "{mode:o}");
            }
            fs::set_permissions(TABLE, Permissions::from_mode(0o644)).unwrap();
            chown(TABLE, Some(1000), None).unwrap();
            assert_eq!(look_up(getpwnam, c"alice"), UNAVAILABLE, "another owner");
            chown("/run/rollcall", Some(1000), None).unwrap();
            assert_eq!(look_up(getpwnam, c"alice"), FOUND, "the daemon's user");
        },
    );
}

#[test]
fn a_table_of_another_root_is_not_mapped_and_a_mapped_one_goes_on_answering() {
    let test = "a_table_of_another_root_is_not_mapped_and_a_mapped_one_goes_on_answering";
    let prepare = |root: &Root| {
        root.with_table("", &[]);
        root.with_table("container", &["mallory"]);
    };
    in_a_host(test, prepare, || {
        let getpwnam = module(GETPWNAM);
        let mut writer = publish(Path::new(TABLE), &["alice"]);
        assert_eq!(look_up(getpwnam, c"alice"), FOUND);
        go_into(Path::new("/container"));
        assert_eq!(look_up(getpwnam, c"alice"), FOUND);
        assert_eq!(look_up(getpwnam, c"mallory"), NOT_FOUND);
        // From now on each lookup looks for another file.
        writer.retire();
        assert_eq!(look_up(getpwnam, c"alice"), FOUND, "of any age, since nobody can be asked");
        assert_eq!(look_up(getpwnam, c"mallory"), UNAVAILABLE);
    });
}

#[test]
fn a_program_may_close_all_descriptors_and_still_gets_the_next_table() {
    in_a_host(
        "a_program_may_close_all_descriptors_and_still_gets_the_next_table",
        |root| root.with_table("", &["alice"]),
        || {
            let getpwnam = module(GETPWNAM);
            assert_eq!(look_up(getpwnam, c"alice"), FOUND);
            // SAFETY: the test's own, but for those of its output.
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
            assert_eq!(look_up(getpwnam, c"alice"), FOUND);
            let mut first = publish(Path::new(TABLE), &["bob"]);
            assert_eq!(look_up(getpwnam, c"bob"), NOT_FOUND, "the first one is fresh still");
            first.retire();
            drop(first);
            assert_eq!(look_up(getpwnam, c"bob"), NOT_FOUND);
        },
    );
}

#[test]
fn a_program_that_can_map_no_more_asks_the_daemon() {
    in_a_host(
        "a_program_that_can_map_no_more_asks_the_daemon",
        |root| {
            root.with_table("", &["alice"]);
            root.with_daemon(|mut stream| {
                read_request(&mut stream);
                answer(&mut stream, &Response::NotFound);
            });
        },
        || {
            let getpwnam = module(GETPWNAM);
            map_nothing_more();
            assert_eq!(look_up(getpwnam, c"alice"), NOT_FOUND, "the daemon's answer");
        },
    );
}

/// A child is forked while other threads look up and exchange files: whatever they
/// held, the child looks up as well.
#[test]
fn a_fork_at_any_moment_leaves_a_child_that_can_look_up() {
    let test = "a_fork_at_any_moment_leaves_a_child_that_can_look_up";
    in_a_host(
        test,
        |root| root.with_table("", &["alice"]),
        || {
            static OVER: AtomicBool = AtomicBool::new(false);
            let getpwnam = module(GETPWNAM);
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    thread::spawn(move || {
                        while !OVER.load(Ordering::Relaxed) {
                            // While another thread exchanges files, the daemon is asked, who isn't there.
                            let answer = look_up(getpwnam, c"alice");
                            assert!([FOUND, UNAVAILABLE].contains(&answer), "{answer:?}");
                        }
                    })
                })
                .collect();
            let writer = thread::spawn(|| {
                let mut before = publish(Path::new(TABLE), &["alice"]);
                while !OVER.load(Ordering::Relaxed) {
                    let next = publish(Path::new(TABLE), &["alice"]);
                    before.retire();
                    before = next;
                }
            });
            for _ in 0..200 {
                // SAFETY: the child calls the module only, as the programs do that are meant.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    let found = (0..1000).filter(|_| look_up(getpwnam, c"alice") == FOUND).count();
                    // SAFETY: it ends the child at once.
                    unsafe { libc::_exit(c_int::from(found < 990)) };
                }
                let mut status = 0;
                // SAFETY: it writes to `status`.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert_eq!(status, 0, "the child's status");
            }
            OVER.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().unwrap();
            }
            writer.join().unwrap();
        },
    );
}

/// Otherwise the program's next line on its stderr goes to the daemon.
#[test]
fn a_program_without_standard_descriptors_does_not_get_the_connection_in_their_place() {
    let test = "a_program_without_standard_descriptors_does_not_get_the_connection_in_their_place";
    let prepare = |root: &Root| {
        root.with_daemon(|mut stream| {
            let taken = [0, 1, 2].map(|fd| is_open(&stream, fd));
            read_request(&mut stream);
            // Anything but "not found" fails the test.
            if taken == [false; 3] {
                answer(&mut stream, &Response::NotFound);
            }
        });
    };
    in_a_host(test, prepare, || {
        let getpwnam = module(GETPWNAM);
        // SAFETY: the test's own; nothing is printed any more.
        unsafe { libc::syscall(libc::SYS_close_range, 0, 2, 0) };
        let code = i32::from(look_up(getpwnam, c"alice") != NOT_FOUND);
        // SAFETY: it ends the process at once.
        unsafe { libc::_exit(code) };
    });
}

/// Whether the process at the other end has this descriptor open.
fn is_open(stream: &UnixStream, fd: i32) -> bool {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap();
    // SAFETY: it writes at most `size` bytes to `peer`.
    let code = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    };
    assert_eq!(code, 0);
    let peer = peer.pid;
    fs::symlink_metadata(format!("/proc/{peer}/fd/{fd}")).is_ok()
}

#[test]
fn an_answer_for_which_there_is_no_memory_is_unavailable() {
    let prepare = |root: &Root| {
        root.with_daemon(|mut stream| {
            read_request(&mut stream);
            let mut frame = frame::encode_response(&Response::NotFound).unwrap();
            let length = u32::try_from(frame::MAX_RESPONSE).unwrap();
            frame[4..8].copy_from_slice(&length.to_le_bytes());
            frame.resize(frame::MAX_RESPONSE, 0);
            let _ = stream.write_all(&frame);
        });
    };
    in_a_host("an_answer_for_which_there_is_no_memory_is_unavailable", prepare, || {
        let getgrnam = module(GETGRNAM);
        map_nothing_more();
        assert_eq!(look_up(getgrnam, c"staff"), UNAVAILABLE);
    });
}

/// Puts a complete table of these users in place, whose daemon lives for an hour.
fn publish(path: &Path, users: &[&str]) -> Writer {
    let mut writer = Writer::create(path, Room::default()).unwrap();
    let mut change = writer.change();
    for (number, name) in users.iter().enumerate() {
        let user = User {
            name: Name::parse(name).unwrap(),
            uid: Uid::new(2000 + u32::try_from(number).unwrap()).unwrap(),
            gid: Gid::new(2000).unwrap(),
            gecos: Field::cleaned(""),
            home: AbsolutePath::parse("/").unwrap(),
            shell: AbsolutePath::parse("/bin/sh").unwrap(),
        };
        change.put(Fact::User(&user, None), &[Key::UserName(name.as_bytes())], NEVER).unwrap();
    }
    change.commit().unwrap();
    let alive_until = Now(Now::read().0 + 60);
    let heard = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let complete_until = alive_until;
    writer.beat(Heartbeat { alive_until, complete_until, heard, max_stale: 3600 });
    writer.publish().unwrap();
    writer
}

/// Lets this process map no more. What it has mapped it keeps, and a thread's
/// heap may grow within that, but never to 64 MiB and half of it.
fn map_nothing_more() {
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: it reads the limits above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

fn read_request(stream: &mut UnixStream) {
    let mut header = [0; REQUEST_HEADER];
    stream.read_exact(&mut header).unwrap();
    let (length, _) = frame::request_header(&header).unwrap();
    stream.read_exact(&mut vec![0; length]).unwrap();
}

fn answer(stream: &mut UnixStream, response: &Response) {
    stream.write_all(&frame::encode_response(response).unwrap()).unwrap();
}
