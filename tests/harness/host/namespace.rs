//! The namespaces of a Host: this machine once more, with nobody else in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::keeper::Keeper;
use crate::need;
use crate::wait::{PATIENCE, until};

const INIT: &str = include_str!("init.sh");

/// Mount, PID and network namespaces with a first process. All that runs in
/// them ends when this is dropped, or when the test process ends.
#[derive(Debug)]
pub(super) struct Namespace {
    unshare: Child,
    init: u32,
    keeper: Option<Keeper>,
    _folder: TempDir,
}

impl Namespace {
    /// With `network`, in the network of that process.
    pub(super) fn new(network: Option<u32>) -> Self {
        need::root();
        need::program("ip", "iproute2");
        need::program("bash", "bash");
        let folder = tempfile::Builder::new().prefix("rollcall-host-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let mut unshare = unshare(network)
            .args(["--mount", "--pid", "--fork", "--kill-child", "bash", "-c", INIT, "init"])
            .arg(folder.path())
            .env_clear()
            .env("PATH", super::PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare can be started");
        let mut line = String::new();
        let stdout = unshare.stdout.take().expect("it is a pipe");
        let _ = BufReader::new(stdout).read_line(&mut line);
        if line != "ready\n" {
            let mut text = String::new();
            let _ = unshare.kill();
            let _ = unshare.stderr.take().expect("it is a pipe").read_to_string(&mut text);
            let _ = unshare.wait();
            panic!(
                "no namespaces with an overlay of / can be made here \
                 (they need CAP_SYS_ADMIN and the kernel's overlay file system): {text}"
            );
        }
        let init = child_of(unshare.id()).expect("unshare has started it");
        // The folder is empty outside of the namespace; only it would be left.
        let keeper = Some(Keeper::new(unshare.id(), folder.path()));
        Self { unshare, init, keeper, _folder: folder }
    }

    /// The first process, as seen from outside.
    pub(super) fn init(&self) -> u32 {
        self.init
    }

    /// All its processes but the first, as seen from outside.
    pub(super) fn processes(&self) -> Vec<u32> {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = namespace(self.init);
        fs::read_dir("/proc")
            .expect("/proc is mounted")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&pid| pid != self.init && namespace(pid) == ours)
            .collect()
    }

    /// A path of the inside, as seen from outside.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.init)).join(inside.trim_start_matches('/'))
    }

    /// A command inside. It runs as root with a fixed small environment.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(need::program("nsenter", "util-linux"));
        command
            .args(["--target", &self.init.to_string()])
            .args(["--mount", "--pid", "--net", "--root", "--wd", "--"])
            .arg(program)
            .env_clear()
            .envs([("PATH", super::PATH), ("LC_ALL", "C"), ("HOME", "/root"), ("TERM", "dumb")]);
        command
    }

    /// Writes a file; the folders above it are made. A link in its place is
    /// replaced: an absolute one would lead out of here.
    pub(super) fn write(&self, inside: &str, bytes: &[u8], mode: u32) {
        let path = self.path(inside);
        let folder = path.parent().expect("an absolute path has a parent");
        fs::create_dir_all(folder).expect("the folder can be made");
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap_or_else(|e| panic!("cannot write {inside}: {e}"));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    /// Opens the master of a new pty of the inside and gives its slave's number.
    pub(super) fn pty(&self) -> (File, File) {
        let master = File::options().read(true).write(true).open(self.path("/dev/pts/ptmx"));
        let master = master.expect("the namespace has ptys");
        rustix::pty::unlockpt(&master).expect("it is a pty");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("it is a pty");
        let slave = self.path(name.to_str().expect("a pty's name is ASCII"));
        // Never our own controlling terminal: O_NOCTTY.
        let slave = rustix::fs::open(
            slave,
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        );
        (master, slave.expect("the pty's other side can be opened").into())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The kernel ends what else is in the PID namespace before it lets its
        // first process go; unshare waits for that.
        if let Some(pid) = i32::try_from(self.init).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.unshare.wait();
        if let Some(keeper) = self.keeper.take() {
            keeper.release();
        }
    }
}

/// A process that nsenter started inside.
#[derive(Debug)]
pub(super) struct Inside {
    nsenter: Child,
    pid: Pid,
}

impl Inside {
    pub(super) fn new(mut nsenter: Child) -> Self {
        let pid = until(PATIENCE, || {
            let ended = nsenter.try_wait().expect("it is our child");
            assert!(ended.is_none(), "it ended at once: {ended:?}");
            child_of(nsenter.id())
        });
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        Self { nsenter, pid: pid.expect("nsenter starts it") }
    }

    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
        if signal == Signal::CONT {
            // nsenter stops itself when what it started is stopped.
            let _ = kill_process(Pid::from_child(&self.nsenter), signal);
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.nsenter.try_wait().expect("it is our child").is_some()
    }

    pub(super) fn wait(&mut self) {
        let _ = self.nsenter.wait();
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // A stopped nsenter would not take its child's status, and the
        // namespace could not end.
        if !self.has_ended() {
            self.signal(Signal::KILL);
            self.signal(Signal::CONT);
        }
    }
}

/// unshare with a network of its own, or in that of a process. nsenter becomes
/// unshare without forking.
fn unshare(network: Option<u32>) -> Command {
    let program = need::program("unshare", "util-linux");
    let Some(pid) = network else {
        let mut command = Command::new(program);
        command.arg("--net");
        return command;
    };
    let mut command = Command::new(need::program("nsenter", "util-linux"));
    command.arg(format!("--net=/proc/{pid}/ns/net")).arg("--").arg(program);
    command
}

/// The only child of a process of ours.
fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
