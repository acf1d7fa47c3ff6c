//! Host processes: each test's body runs in a process of its own, because it
//! closes descriptors, forks, changes its user and sets signal handlers.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "one reason for a row of plain C calls")]

use std::ffi::{CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use common::account::Name;
use common::direct::{Handle, SYMBOL};
use common::frame;
use common::protocol::{Request, Response, Unavailable};

/// Set in the processes that are hosts, to the path of the library.
const HOST: &str = "DIRECT_TEST_HOST";
/// After which a host that still runs is taken to hang.
const HANG: Duration = Duration::from_secs(120);
/// A user and group without any rights.
pub const NOBODY: u32 = 65534;

/// Runs the body in an unprivileged process of its own: this test's own program
/// once more, with this test alone.
pub fn in_a_host(test: &str, body: impl FnOnce()) {
    in_a_process(test, || {
        give_up_root();
        body();
    });
}

/// The same, in a process of root's.
pub fn in_a_privileged_host(test: &str, body: impl FnOnce()) {
    // SAFETY: no arguments.
    assert_eq!(unsafe { libc::geteuid() }, 0, "run as root: this test needs its rights");
    in_a_process(test, body);
}

/// Becomes nobody, if this is root, who still sees its own /proc/self (prctl(2)).
fn give_up_root() {
    // A user's library may lie where only its owner can look.
    load();
    // SAFETY: plain numbers, and an empty list.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setgid(NOBODY), 0);
            assert_eq!(libc::setuid(NOBODY), 0);
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
        }
    }
}

fn in_a_process(test: &str, body: impl FnOnce()) {
    if env::var_os(HOST).is_some() {
        return body();
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(HOST, library());
    let mut child = command.process_group(0).stdin(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the host ended with {status}");
            return;
        }
        if started.elapsed() > HANG {
            let group = i32::try_from(child.id()).unwrap();
            // SAFETY: the group is the one that was made for the child.
            unsafe { libc::kill(-group, libc::SIGKILL) };
            panic!("the host hangs");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// A loaded `direct.so` and a configuration for it.
pub struct Direct {
    handle: Handle,
    config: CString,
    dir: tempfile::TempDir,
}

impl Direct {
    /// With a directory that nobody serves.
    pub fn without_a_server() -> Self {
        Self::with_uri("ldap://127.0.0.1:1")
    }

    pub fn with_uri(uri: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rollcall.toml");
        let text = format!("[directory]\nuri = [\"{uri}\"]\nbase = \"dc=example,dc=org\"\n");
        fs::write(&path, text).unwrap();
        // Whoever the test becomes may read it.
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        Self { handle: load(), config: CString::new(path.as_os_str().as_bytes()).unwrap(), dir }
    }

    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub fn ask(&self, budget: Duration) -> Response {
        self.ask_with(&self.config, budget)
    }

    pub fn ask_with(&self, config: &CString, budget: Duration) -> Response {
        let request = Request::UserByName(Name::parse("alice").unwrap());
        let ms = u32::try_from(budget.as_millis()).unwrap();
        let frame = frame::encode_request(&request, ms).unwrap();
        let mut answer: Option<Vec<u8>> = None;
        // SAFETY: all arguments live until it returns, and `take` knows its context.
        let code = unsafe {
            (self.handle)(
                frame.as_ptr(),
                frame.len(),
                config.as_ptr(),
                take,
                (&raw mut answer).cast(),
            )
        };
        assert_eq!(code, 0);
        frame::decode(&answer.expect("an answer")).unwrap()
    }

    /// Asks, and expects what a directory without a server must give.
    pub fn expect_unavailable(&self) {
        let response = self.ask(Duration::from_secs(30));
        let Response::Unavailable(why) = response else { panic!("{response:?}") };
        // Had the time been over, some thread of ours would not have worked at all.
        assert_ne!(why, Unavailable::TimedOut);
        assert!(!why.to_string().contains("direct.so"), "{why}");
    }

    /// What the function returns for these bytes.
    pub fn code_for(&self, frame: &[u8]) -> i32 {
        let mut answer: Option<Vec<u8>> = None;
        let context = (&raw mut answer).cast();
        // SAFETY: as in `ask_with`.
        unsafe { (self.handle)(frame.as_ptr(), frame.len(), self.config.as_ptr(), take, context) }
    }
}

unsafe extern "C" fn take(context: *mut c_void, response: *const u8, length: usize) {
    // SAFETY: the context is the one given above, and so many bytes can be read.
    unsafe {
        *context.cast::<Option<Vec<u8>>>() =
            Some(std::slice::from_raw_parts(response, length).to_vec());
    };
}

/// The library: the one that `DIRECT_SO` names (to test what is shipped), or one
/// that is built here, on its own (see `worker.rs`), since Cargo builds no cdylib
/// for the sake of a test.
fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(shipped) = env::var_os("DIRECT_SO") {
            return shipped.into();
        }
        let test = env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "direct", "--target-dir"]);
        cargo.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
        profile.join("libdirect.so")
    });
    &LIBRARY
}

fn load() -> Handle {
    let library = env::var_os(HOST).expect("only hosts load it");
    let path = CString::new(library.as_bytes()).unwrap();
    // SAFETY: a library of ours, which is never unloaded.
    let symbol = unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        assert!(!library.is_null(), "{path:?}");
        libc::dlsym(library, SYMBOL.as_ptr())
    };
    assert!(!symbol.is_null());
    // SAFETY: the symbol of this name has this type.
    unsafe { std::mem::transmute::<*mut c_void, Handle>(symbol) }
}

/// The threads of this process whose name starts so.
pub fn threads(prefix: &str) -> Vec<PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let named = |path: &PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with(prefix))
    };
    tasks.map(|task| task.unwrap().path()).filter(named).collect()
}

/// What a table of descriptors holds.
pub fn descriptors(task: &Path) -> Vec<(i32, PathBuf)> {
    let mut list: Vec<_> = fs::read_dir(task.join("fd"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let number = path.file_name()?.to_str()?.parse().ok()?;
            Some((number, fs::read_link(path).ok()?))
        })
        // The one that this list is read with.
        .filter(|(_, target)| !target.starts_with("/proc"))
        .collect();
    list.sort();
    list
}

/// Runs the body in a forked child and returns whether it ended well.
pub fn in_a_fork(body: impl FnOnce()) -> bool {
    // SAFETY: glibc makes its allocator usable in the child, and the body uses
    // nothing else that another thread may have locked.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
        // SAFETY: it ends the child at once.
        unsafe { libc::_exit(i32::from(!well)) };
    }
    let mut status = -1;
    // SAFETY: it writes to `status`.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status == 0
}
