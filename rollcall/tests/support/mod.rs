//! Starts the real binary in a folder of its own, and waits for what it says.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::account::Name;
use common::client::Client;
use common::deadline::Deadline;
use common::protocol::{Request, Response};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

/// After this, what is waited for will not happen any more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a configuration and room for a socket.
pub(crate) struct Folder {
    dir: TempDir,
}

impl Folder {
    /// The directory's server refuses connections.
    pub(crate) fn new() -> Self {
        // Port 1 is tcpmux, which nobody runs.
        Self::with_server("127.0.0.1:1".parse().unwrap())
    }

    pub(crate) fn with_server(server: SocketAddr) -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        // A replica would connect to the server without being asked.
        folder.configure(&format!(
            "[directory]\nuri = [\"ldap://{server}\"]\nbase = \"dc=example,dc=org\"\n\
             [cache]\nmode = \"on-demand\"\n"
        ));
        folder
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("rollcall.toml")
    }

    /// In a folder that the daemon has to make.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("run/socket")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `rollcall daemon`, as whoever runs the tests.
    pub(crate) fn detached(&self) -> Command {
        self.complete(Command::new(env!("CARGO_BIN_EXE_rollcall")))
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = self.detached();
        command.arg("--foreground");
        command
    }

    /// `rollcall daemon`, by way of a shell that runs `before` first.
    pub(crate) fn command_after(&self, before: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before} exec \"$@\""), "sh"]);
        command.arg(env!("CARGO_BIN_EXE_rollcall"));
        let mut command = self.complete(command);
        command.arg("--foreground");
        command
    }

    fn complete(&self, mut command: Command) -> Command {
        command.arg("daemon").args(["--log-level", "debug"]);
        command.arg("--config").arg(self.config()).arg("--socket").arg(self.socket());
        command.arg("--cache-folder").arg(self.socket().with_file_name("cache"));
        command.arg("--state-folder").arg(self.socket().with_file_name("state"));
        if Uid::effective().is_root() {
            // A user "rollcall" of this host couldn't enter the folder.
            command.args(["--user", "root"]);
        }
        // Whatever supervises the tests is not the daemon's business.
        for variable in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "JOURNAL_STREAM"] {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(self.command())
    }

    /// Asks for a user.
    pub(crate) fn ask(&self) -> Response {
        ask(&self.socket())
    }
}

pub(crate) fn request() -> Request {
    Request::UserByName(Name::parse("alice").unwrap())
}

pub(crate) fn ask(socket: &Path) -> Response {
    Client::Socket(socket).ask(&request(), Deadline::after(PATIENCE))
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Receiver<String>,
}

impl Daemon {
    /// Returns once it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let daemon = Self { child, log };
        daemon.logs("listening on");
        daemon
    }

    /// Waits for a line with this text.
    pub(crate) fn logs(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(end) => panic!("no line with {text:?} ({end}), only {seen:#?}"),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn stop(self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that accepts connections and never says anything.
pub(crate) fn silent_server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
