//! A real slapd with people in it.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::keeper::Keeper;
use crate::wait::{PATIENCE, until};
use crate::{certificate, need};

mod builder;
mod change;
mod counts;
mod ds389;
mod entry;
mod replica;

use builder::{Kind, Upstream};

pub use builder::DirectoryBuilder;
pub use change::Changes;
pub use counts::Counts;
pub use entry::{Policy, User};

/// The naming context of every directory here.
pub const BASE: &str = "dc=example,dc=org";
/// An identity that may read: its DN and its password.
pub const READER: (&str, &str) = ("cn=reader,dc=example,dc=org", "reads-a-lot");
/// An identity that may set passwords: its DN and its password.
pub const RESETTER: (&str, &str) = ("cn=resetter,dc=example,dc=org", "sets-passwords");

/// A running slapd. It, and all its files, are gone when this is dropped.
#[derive(Debug)]
pub struct Directory {
    folder: TempDir,
    address: String,
    port: u16,
    anonymous: bool,
    kind: Kind,
    replica: bool,
    /// A process in whose network namespace it listens.
    network: Option<u32>,
    server: Option<(Child, Keeper)>,
}

impl Directory {
    /// Describes a directory that is then started.
    #[expect(clippy::new_ret_no_self, reason = "reads as what a test sets up")]
    pub fn new() -> DirectoryBuilder {
        DirectoryBuilder::default()
    }

    /// Starts it on port 389 in the network namespace of a process, or on a
    /// free port of this one.
    pub(crate) fn start_with(builder: &DirectoryBuilder, network: Option<u32>) -> Self {
        let folder = tempfile::Builder::new().prefix("rollcall-directory-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        certificate::write(folder.path(), &builder.names, builder.certified_addresses);
        let path = folder.path().to_str().expect("its path is UTF-8");
        let port = if network.is_some() { 389 } else { free_port() };
        match builder.kind() {
            Kind::OpenLdap => {
                let conf = builder.slapd_conf(path);
                fs::write(folder.path().join("slapd.conf"), conf).expect("it can be written");
                fs::create_dir(folder.path().join("database")).expect("it can be written");
            }
            Kind::Ds389 => {
                let tls_port = if network.is_some() { 636 } else { free_port() };
                ds389::configure(folder.path(), &builder.address, [port, tls_port]);
            }
        }
        let DirectoryBuilder { address, anonymous, .. } = builder;
        let mut directory = Self {
            address: address.clone(),
            port,
            anonymous: *anonymous,
            kind: builder.kind(),
            replica: builder.upstream != Upstream::Nobody,
            network,
            server: None,
            folder,
        };
        directory.fill(builder);
        directory.start();
        directory
    }

    /// Puts in what a builder describes; the database is empty, and nobody runs.
    fn fill(&self, builder: &DirectoryBuilder) {
        let entries = builder.entries();
        match self.kind {
            Kind::OpenLdap => {
                if !entries.is_empty() {
                    self.slapadd(&entries);
                }
                if let Some(file) = &builder.file {
                    self.slapadd_file(file);
                }
            }
            // It takes everything at once, or forgets what was there.
            Kind::Ds389 => {
                let more = builder.file.as_ref().map(fs::read_to_string).transpose();
                let more = more.expect("the file can be read").unwrap_or_default();
                let file = self.folder.path().join("entries.ldif");
                fs::write(&file, entries + &more).expect("the folder can be written");
                ds389::load(self.folder.path(), &file);
            }
        }
    }

    /// Stops it and starts it again at the same address with what another
    /// builder describes, and nothing of what it held: as after a server was
    /// built anew. Its certificate and its configuration stay.
    pub fn wipe(&mut self, people: DirectoryBuilder) {
        if self.server.is_some() {
            self.stop();
        }
        let database = self.folder.path().join("database");
        fs::remove_dir_all(&database).expect("it is ours");
        fs::create_dir(&database).expect("the folder can be written");
        let people = if self.kind == Kind::Ds389 { people.ds389() } else { people };
        self.fill(&people);
        self.start();
    }

    /// Where it listens.
    pub fn uri(&self) -> String {
        match self.port {
            389 => format!("ldap://{}", self.address),
            port => format!("ldap://{}:{port}", self.address),
        }
    }

    /// The address it listens on.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it follows another one.
    pub fn is_replica(&self) -> bool {
        self.replica
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its socket on this machine, as a URI.
    pub fn ldapi_uri(&self) -> String {
        let path = self.folder.path().join("socket");
        format!("ldapi://{}", path.to_string_lossy().replace('/', "%2F"))
    }

    /// The certificate of the authority that signed its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join(certificate::CA)
    }

    /// Whether everybody may read; if not, there is [`READER`].
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// The process id, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(|(child, _)| child.id())
    }

    /// Starts it (again), and returns when it answers.
    pub fn start(&mut self) {
        assert!(self.server.is_none(), "the directory runs already");
        let log = self.log_file();
        let already = fs::metadata(&log).map_or(0, |data| data.len());
        let options = File::options().create(true).append(true).open(&log);
        let stderr = options.expect("the log can be written");
        let mut child = self
            .server_command()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("slapd can be started");
        let keeper = Keeper::new(child.id(), self.folder.path());
        until(PATIENCE, || {
            let text = self.log_from(already);
            let ended = child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "slapd ended with {ended:?}:\n{text}");
            let answers = match self.kind {
                Kind::OpenLdap => text.contains("slapd starting"),
                Kind::Ds389 => self.answers(),
            };
            answers.then_some(())
        })
        .unwrap_or_else(|| panic!("slapd did not start:\n{}", self.log_from(already)));
        self.server = Some((child, keeper));
    }

    /// Stops it in an orderly way.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// Kills it: no answer, no goodbye.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Freezes it: connections are accepted by the kernel, nobody answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        // Its threads stop one after the other.
        let pid = self.pid().expect("the directory runs");
        until(PATIENCE, || all_stopped(pid).then_some(())).expect("a stopped process stands still");
    }

    /// Undoes [`Directory::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Changes entries, as the directory's administrator.
    pub fn ldapmodify(&self, ldif: &str) {
        let mut child = Command::new(need::program("ldapmodify", "ldap-utils"))
            .args(["-Q", "-Y", "EXTERNAL", "-H", &self.ldapi_uri()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ldapmodify can be started");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        stdin.write_all(ldif.as_bytes()).expect("ldapmodify reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it is our child");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ldapmodify: {stderr}");
    }

    /// What it was asked since it was made, over TCP.
    pub fn counts(&self) -> Counts {
        Counts::of(&self.log())
    }

    /// How many searches were asked over TCP.
    pub fn searches(&self) -> usize {
        self.counts().searches
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        self.log_from(0)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join(match self.kind {
            Kind::OpenLdap => "log",
            Kind::Ds389 => ds389::LOG,
        })
    }

    fn log_from(&self, offset: u64) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        String::from_utf8_lossy(bytes.get(offset..).unwrap_or_default()).into_owned()
    }

    fn slapadd(&self, ldif: &str) {
        let file = self.folder.path().join("entries.ldif");
        fs::write(&file, ldif).expect("the folder can be written");
        self.slapadd_file(&file);
    }

    fn slapadd_file(&self, ldif: &Path) {
        let output = Command::new(need::program("slapadd", "slapd"))
            .arg("-q")
            .arg("-f")
            .arg(self.folder.path().join("slapd.conf"))
            .arg("-l")
            .arg(ldif)
            .output()
            .expect("slapadd can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "slapadd: {stderr}");
    }

    /// Whether it says that its base is there.
    fn answers(&self) -> bool {
        Command::new(need::program("ldapsearch", "ldap-utils"))
            .args(["-Q", "-Y", "EXTERNAL", "-H", &self.ldapi_uri(), "-o", "nettimeout=1"])
            .args(["-s", "base", "-b", BASE, "1.1"])
            .output()
            .is_ok_and(|output| output.status.success())
    }

    fn server_command(&self) -> Command {
        match self.kind {
            Kind::OpenLdap => {
                let urls = format!("ldap://{}:{} {}", self.address, self.port, self.ldapi_uri());
                let mut command = self.command("slapd", "slapd");
                command.args(["-d", "stats", "-h", &urls, "-f"]);
                command.arg(self.folder.path().join("slapd.conf"));
                command
            }
            Kind::Ds389 => {
                let mut command = self.command(ds389::PROGRAM, ds389::PACKAGE);
                command.args(["-d", "0", "-D"]).arg(self.folder.path());
                command.arg("-i").arg(self.folder.path().join("pid"));
                command
            }
        }
    }

    /// A program in the network in which it listens. nsenter becomes the
    /// program without forking, so its process id is the program's.
    fn command(&self, name: &str, package: &str) -> Command {
        let program = need::program(name, package);
        let Some(pid) = self.network else { return Command::new(program) };
        let mut command = Command::new(need::program("nsenter", "util-linux"));
        command.arg(format!("--net=/proc/{pid}/ns/net")).arg("--").arg(program);
        command
    }

    fn signal(&self, signal: Signal) {
        let (child, _) = self.server.as_ref().expect("the directory runs");
        kill_process(Pid::from_child(child), signal).expect("it is our child");
    }

    fn end(&mut self, signal: Signal) {
        self.signal(signal);
        self.signal(Signal::CONT);
        if let Some((mut child, keeper)) = self.server.take() {
            child.wait().expect("it is our child");
            keeper.release();
        }
        if matches!(self.kind, Kind::Ds389) {
            ds389::tidy_up(self.folder.path());
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
    }
}

/// Whether every thread of a process stands still (`proc_pid_stat(5)`).
fn all_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    threads.filter_map(Result::ok).all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

/// A port that nobody listens on, below those that the kernel gives to
/// outgoing connections (`ip_local_port_range`): it stays free while its server
/// is stopped. No two calls of a process get the same one.
fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 20_000..32_000;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(101);
    PORTS
        .map(|_| {
            let call = CALLS.fetch_add(1, Ordering::Relaxed);
            PORTS.start + first.wrapping_add(call) % (PORTS.end - PORTS.start)
        })
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("loopback has free ports")
}
