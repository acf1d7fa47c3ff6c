//! This machine once more, with files, processes and a network of its own.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Shutdown};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::directory::{BASE, Directory, READER};
use crate::terminal::Terminal;
use crate::wait::{PATIENCE, until};
use crate::{login::Login, need};

mod builder;
mod daemon;
mod files;
mod log;
mod names;
mod namespace;
mod network;
mod relay;
mod trouble;

pub use builder::HostBuilder;
pub use daemon::Daemon;
pub use names::Names;
pub use relay::Relay;
pub use trouble::Trouble;

use log::Log;
use namespace::{Inside, Namespace};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CA_FILE: &str = "/etc/ssl/rollcall-test-ca.pem";

/// A host whose users are in a directory. Everything that runs on it ends when
/// this is dropped; nothing of it was ever visible outside.
#[derive(Debug)]
pub struct Host {
    // Dropped in this order: what runs inside, then the directories.
    daemon: Option<Inside>,
    names: Option<Inside>,
    relays: Vec<Arc<Relay>>,
    syslog: UnixDatagram,
    log: Log,
    namespace: Namespace,
    directories: Vec<Directory>,
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The standard output of a command that must have succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.status, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Host {
    /// Describes a host that is then started.
    #[expect(clippy::new_ret_no_self, reason = "reads as what a test sets up")]
    pub fn new() -> HostBuilder {
        HostBuilder::default()
    }

    fn start(builder: &HostBuilder) -> Self {
        let namespace = Namespace::new(builder.network);
        let log = Log::default();
        let syslog = log.listen(&namespace.path("/dev/log"));
        fs::set_permissions(namespace.path("/dev/log"), fs::Permissions::from_mode(0o666))
            .expect("it is ours");
        let mut host = Self {
            daemon: None,
            names: None,
            relays: Vec::new(),
            syslog,
            log,
            namespace,
            directories: Vec::new(),
        };
        host.start_directories(builder);
        host.start_relays(builder);
        host.write("/etc/hosts", files::HOSTS);
        host.write("/etc/nsswitch.conf", files::NSSWITCH);
        for (service, text) in files::PAM {
            host.write(&format!("/etc/pam.d/{service}"), text);
        }
        if builder.plain {
            host.write("/etc/nsswitch.conf", &files::NSSWITCH.replace(" ldap", ""));
            for (service, text) in files::LOCAL_PAM {
                host.write(&format!("/etc/pam.d/{service}"), text);
            }
        } else {
            host.install_rollcall(builder);
        }
        for (name, uid, password) in &builder.local_users {
            host.add_local_user(name, *uid, password);
        }
        for (path, text) in &builder.files {
            host.write(path, text);
        }
        if let Some(names) = &builder.names {
            host.serve_names(names);
        }
        if !builder.plain && !builder.no_daemon {
            host.daemon().start();
        }
        if builder.sshd {
            host.start_sshd();
        }
        host
    }

    /// Runs a command as root and waits for its end.
    pub fn run(&self, command: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        let mut command = self.command(command);
        command.stdin(Stdio::null()).output().expect("nsenter can be started").into()
    }

    /// Runs a command as a user of this host, with the user's groups.
    pub fn run_as(
        &self,
        user: &str,
        command: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Output {
        let line = self.run(["getent", "passwd", user]).success();
        let fields: Vec<_> = line.trim_end().split(':').collect();
        let [_, _, uid, gid, ..] = fields[..] else { panic!("no passwd line: {line}") };
        let ids = [format!("--reuid={uid}"), format!("--regid={gid}")];
        let mut become_user = self.command(["setpriv", &ids[0], &ids[1], "--init-groups", "--"]);
        become_user.args(command);
        become_user.stdin(Stdio::null()).output().expect("nsenter can be started").into()
    }

    /// A command of this host that hasn't been started yet.
    pub fn command(&self, command: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut words = command.into_iter();
        let program = words.next().expect("a command has a name");
        let mut command = self.namespace.command(program.as_ref());
        command.args(words);
        command
    }

    /// Starts a command on a terminal of this host, as root.
    pub fn terminal(&self, command: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Terminal {
        let (master, slave) = self.namespace.pty();
        Terminal::start(&self.command(command), master, slave)
    }

    /// Logins on this host.
    pub fn login(&self) -> Login<'_> {
        Login(self)
    }

    /// The directory (the first, if there are several).
    pub fn directory(&mut self) -> &mut Directory {
        self.directories.first_mut().expect("the host has a directory")
    }

    /// The relay (the first, if there are several).
    pub fn relay(&self) -> &Relay {
        self.relays.first().expect("the host has a relay")
    }

    /// All its directories.
    pub fn directories(&mut self) -> &mut [Directory] {
        &mut self.directories
    }

    /// The daemon.
    pub fn daemon(&mut self) -> Daemon<'_> {
        Daemon(self)
    }

    /// Writes a file that everybody may read.
    pub fn write(&self, path: &str, text: &str) {
        self.namespace.write(path, text.as_bytes(), 0o644);
    }

    /// The processes of this host, without its first one, as seen from outside.
    pub fn processes(&self) -> Vec<u32> {
        self.namespace.processes()
    }

    /// Copies a program or library of the machine to this host.
    pub fn install(&self, from: &Path, to: &str) {
        // Another process writes it: while we had it open for that, a child that
        // another thread starts would inherit it for a moment, and a program
        // that somebody has open for writing can't be run (ETXTBSY).
        let output = Command::new(need::program("install", "coreutils"))
            .args(["-D", "--mode=755", "--no-target-directory"])
            .args([from, &self.path(to)])
            .output()
            .expect("install can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", from.display());
    }

    /// A path of this host, as seen from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.namespace.path(inside)
    }

    /// A word of the header of its table, if it has one (`common::table::layout`).
    pub fn table_word(&self, at: usize) -> Option<u64> {
        let file = fs::File::open(self.path(common::paths::TABLE)).ok()?;
        let mut word = [0; 8];
        file.read_exact_at(&mut word, u64::try_from(at * 8).ok()?).ok()?;
        Some(u64::from_ne_bytes(word))
    }

    /// All that was logged here so far: syslog, sshd and the daemon.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits for a log line with this text and gives it.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> String {
        self.wait_for_log_from(0, text, limit)
    }

    /// The same, among the lines from a number on.
    #[track_caller]
    pub fn wait_for_log_from(&self, from: usize, text: &str, limit: Duration) -> String {
        let line = self.log.wait_for(from, text, limit);
        line.unwrap_or_else(|| panic!("nothing logged with {text:?}:\n{}", self.log().join("\n")))
    }

    fn start_directories(&mut self, builder: &HostBuilder) {
        let network = Some(self.namespace.init());
        for directory in &builder.directories {
            let address = directory.address();
            if !address.starts_with("127.") && !address.contains(':') {
                self.add_address(address);
            }
            let first = self.directories.first();
            let directory = Directory::start_with(&directory.following(first), network);
            if let Some(first) = first
                && directory.is_replica()
            {
                directory.wait_until_like(first);
            }
            self.directories.push(directory);
        }
    }

    fn start_relays(&mut self, builder: &HostBuilder) {
        for (address, reads) in &builder.relays {
            let first = self.directories.first().expect("a relay leads to a directory");
            let network = fs::File::open(self.path("/proc/1/ns/net")).expect("the host runs");
            let socket = |address: &str| {
                (address.parse::<IpAddr>().expect("an address"), first.port()).into()
            };
            let relay = relay::start(
                network,
                socket(address),
                socket(first.address()),
                reads.then(|| first.folder()),
            );
            self.relays.push(relay);
        }
    }

    fn add_local_user(&self, name: &str, uid: u32, password: &str) {
        let shell = "/bin/sh";
        self.append("/etc/passwd", &format!("{name}:x:{uid}:{uid}::/home/{name}:{shell}\n"));
        self.append("/etc/group", &format!("{name}:x:{uid}:\n"));
        let hash = if password.is_empty() { "!" } else { "*" };
        self.append("/etc/shadow", &format!("{name}:{hash}:19000:0:99999:7:::\n"));
        if !password.is_empty() {
            let script = r#"echo "$1:$2" | chpasswd --crypt-method SHA512"#;
            self.run(["sh", "-c", script, "sh", name, password]).success();
        }
    }

    fn append(&self, path: &str, text: &str) {
        let mut all = fs::read_to_string(self.path(path)).unwrap_or_default();
        if !all.is_empty() && !all.ends_with('\n') {
            all.push('\n');
        }
        fs::write(self.path(path), all + text).expect("the file can be written");
    }

    fn install_rollcall(&self, builder: &HostBuilder) {
        let folder = need::library_folder();
        let folder = folder.to_str().expect("its path is UTF-8");
        self.install(&need::built("libnss_ldap.so.2"), &format!("{folder}/libnss_ldap.so.2"));
        self.install(&need::built("pam_ldap.so"), &format!("{folder}/security/pam_ldap.so"));
        self.install(&need::built("direct.so"), &format!("{folder}/rollcall/direct.so"));
        self.install(&need::built("rollcall"), "/usr/bin/rollcall");
        self.add_local_user("rollcall", 990, "");
        for path in ["/var/cache/rollcall", "/var/lib/rollcall"] {
            self.run(["install", "-d", "-o", "rollcall", "-g", "rollcall", path]).success();
        }
        self.write("/etc/rollcall.toml", &self.configuration(builder));
        let authority = |directory: &Directory| fs::read_to_string(directory.ca_file());
        let authorities: Result<String, _> = self.directories.iter().map(authority).collect();
        self.write(CA_FILE, &authorities.expect("the files were written"));
        let secrets = [
            ("/etc/rollcall.secret", READER.1),
            ("/etc/rollcall.reset", crate::directory::RESETTER.1),
        ];
        for (path, secret) in secrets {
            self.namespace.write(path, secret.as_bytes(), 0o640);
            self.run(["chown", "root:rollcall", path]).success();
        }
    }

    fn configuration(&self, builder: &HostBuilder) -> String {
        if let Some(whole) = &builder.whole_configuration {
            return whole.clone();
        }
        let uris: Vec<_> = self.directories.iter().map(|d| format!("{:?}", d.uri())).collect();
        let uri = builder.uri.clone().unwrap_or_else(|| format!("[{}]", uris.join(", ")));
        let mut text =
            format!("[directory]\nuri = {uri}\nbase = \"{BASE}\"\nca_file = \"{CA_FILE}\"\n");
        if self.directories.first().is_some_and(|directory| !directory.is_anonymous()) {
            text.extend(["bind_dn = \"", READER.0, "\"\n"]);
            text += "bind_password_file = \"/etc/rollcall.secret\"\n";
        }
        text += &builder.configuration;
        text += "\n[cache]\n";
        text += builder.cache.as_deref().unwrap_or("mode = \"off\"\n");
        text += "\n[offline]\n";
        text + builder.offline.as_deref().unwrap_or("max_age = 0\n")
    }

    fn start_sshd(&self) {
        let sshd = need::program("sshd", "openssh-server");
        need::program("ssh", "openssh-client");
        self.write("/etc/ssh/sshd_config", files::SSHD);
        self.run(["mkdir", "-p", "/run/sshd"]).success();
        let key = "/etc/ssh/test_host_key";
        self.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]).success();
        let known = r#"echo "127.0.0.1,localhost $(cat "$1.pub")" >/etc/ssh/ssh_known_hosts"#;
        self.run(["sh", "-c", known, "sh", key]).success();
        let mut child = self
            .command([sshd.to_str().expect("its path is ASCII"), "-D", "-e"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter can be started");
        self.log.follow("sshd", child.stderr.take().expect("it is a pipe"));
        until(PATIENCE, || {
            let ended = child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "sshd ended:\n{}", self.log().join("\n"));
            self.log().iter().any(|line| line.contains("Server listening")).then_some(())
        })
        .expect("sshd listens");
        // It ends with the namespace; the thread takes its nsenter's status then.
        std::thread::spawn(move || child.wait());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.syslog.shutdown(Shutdown::Both);
    }
}
