//! 389 Directory Server instead of slapd.
//!
//! It is made of Debian's package without `dscreate`, which wants systemd and
//! `/etc/dirsrv`: the package's own templates of its configuration are filled
//! in, and the entries are loaded before the first start. Content
//! synchronization (RFC 4533) is on, with the changelog that it lives on. Only
//! who has bound may read; [`READER`] is under no limit.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{BASE, READER};
use crate::{certificate, need};

/// Its program.
pub(super) const PROGRAM: &str = "ns-slapd";
/// The Debian package that has it.
pub(super) const PACKAGE: &str = "389-ds-base";
/// Its log, below its folder.
pub(super) const LOG: &str = "logs/errors";

/// The templates of its configuration.
const TEMPLATES: [&str; 2] = ["template-dse.ldif", "template-suffix-db.ldif"];
const DATA: &str = "/usr/share/dirsrv/data";
/// Folders that it wants to find.
const FOLDERS: [&str; 9] =
    ["schema", "tls", "database", "database/userRoot", "logs", "ldif", "bak", "lock", "run"];
/// Plugins that are off in the template.
const PLUGINS: [&str; 2] = ["Content Synchronization", "Retro Changelog Plugin"];
/// By default it gives nobody more than 2000 entries, or looks at more than 5000.
const LIMITS: [&str; 7] = [
    "nsSizeLimit",
    "nsTimeLimit",
    "nsLookThroughLimit",
    "nsIdleTimeout",
    "nsPagedSizeLimit",
    "nsPagedLookThroughLimit",
    "nsPagedIDListScanLimit",
];
/// `userPassword` isn't for reading; everything else is, by who has bound.
const ACCESS: &str = "\
aci: (targetattr != \"userPassword || aci\")(version 3.0; acl \"readers\"; allow (read, search, compare) userdn = \"ldap:///all\";)
aci: (targetattr = \"userPassword\")(version 3.0; acl \"own\"; allow (write) userdn = \"ldap:///self\";)
";

/// Writes the configuration of a server that listens there (LDAP, LDAPS) into its folder,
/// where its certificate is already.
pub(super) fn configure(folder: &Path, address: &str, ports: [u16; 2]) {
    need::program(PROGRAM, PACKAGE);
    for name in FOLDERS {
        fs::create_dir_all(folder.join(name)).expect("the folder can be written");
    }
    for (from, to) in [
        ("/etc/dirsrv/config/slapd-collations.conf", "slapd-collations.conf"),
        ("/etc/dirsrv/config/certmap.conf", "certmap.conf"),
        ("/etc/dirsrv/schema/99user.ldif", "schema/99user.ldif"),
    ] {
        fs::copy(from, folder.join(to)).unwrap_or_else(|e| panic!("{from}: {e}"));
    }
    fs::write(folder.join("dse.ldif"), dse(folder, address, ports))
        .expect("the folder can be written");
    keys(folder);
}

/// Loads entries; it mustn't run.
pub(super) fn load(folder: &Path, ldif: &Path) {
    let mut command = Command::new(need::program(PROGRAM, PACKAGE));
    command.args(["ldif2db", "-n", "userRoot", "-D"]).arg(folder).arg("-i").arg(ldif);
    run(command);
}

/// Removes what it leaves outside its folder: a semaphore for its statistics (`sem_overview(7)`).
pub(super) fn tidy_up(folder: &Path) {
    let name = folder.file_name().expect("the folder has a name").to_string_lossy();
    let _ = fs::remove_file(format!("/dev/shm/sem.{name}.stats"));
}

/// The entries of a directory as this server wants them, from those that every
/// directory has.
pub(super) fn adapted(frame: &str) -> String {
    let base = format!("dn: {BASE}\n");
    let reader = format!("dn: {}\n", READER.0);
    let limits = LIMITS.map(|limit| format!("{limit}: -1\n")).concat();
    frame.replace(&base, &format!("{base}{ACCESS}")).replace(&reader, &format!("{reader}{limits}"))
}

/// The text of `dse.ldif`.
fn dse(folder: &Path, address: &str, [port, tls_port]: [u16; 2]) -> String {
    let folder = folder.to_str().expect("its path is UTF-8");
    let mut text = String::new();
    for name in TEMPLATES {
        let template = fs::read_to_string(Path::new(DATA).join(name));
        text += &template.unwrap_or_else(|e| panic!("{DATA}/{name}: {e}"));
        text += "\n";
    }
    let logs = format!("{folder}/logs");
    for (mark, value) in [
        ("ds_suffix", BASE),
        ("ds_bename", "userRoot"),
        ("ds_port", &port.to_string()),
        ("ds_user", "root"),
        ("ds_passwd", "{CLEAR}not-used"),
        ("fqdn", "localhost"),
        ("rootdn", "cn=Directory Manager"),
        ("ldapi", &format!("{folder}/socket")),
        ("ldapi_enabled", "on"),
        ("ldapi_autobind", "on"),
        ("schema_dir", &format!("{folder}/schema")),
        ("config_dir", folder),
        ("inst_dir", folder),
        ("cert_dir", &format!("{folder}/tls")),
        ("db_dir", &format!("{folder}/database")),
        ("db_home_dir", &format!("{folder}/database")),
        ("db_lib", "bdb"),
        ("log_dir", &logs),
        ("ldif_dir", &format!("{folder}/ldif")),
        ("bak_dir", &format!("{folder}/bak")),
        ("lock_dir", &format!("{folder}/lock")),
        ("run_dir", &format!("{folder}/run")),
        ("tmp_dir", &format!("{folder}/run")),
    ] {
        text = text.replace(&format!("%{mark}%"), value);
    }
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
        .split("\n\n")
        .filter(|entry| !entry.trim().is_empty())
        .map(|entry| adjusted(entry.trim(), address, tls_port))
        .collect()
}

/// An entry of the configuration, as it is needed here.
fn adjusted(entry: &str, address: &str, tls_port: u16) -> String {
    let mut entry = entry.to_owned();
    if PLUGINS.iter().any(|name| entry.starts_with(&format!("dn: cn={name},"))) {
        entry = entry.replace("nsslapd-pluginenabled: off", "nsslapd-pluginenabled: on");
    }
    if entry.starts_with("dn: cn=Retro Changelog Plugin,") {
        // What content synchronization finds a deleted entry's UUID by.
        entry += "\nnsslapd-attribute: nsuniqueid:targetUniqueId";
    }
    if entry.starts_with("dn: cn=config\n") {
        for line in [
            &format!("nsslapd-listenhost: {address}"),
            // StartTLS needs TLS to be on, and that wants a port for LDAPS.
            "nsslapd-security: on",
            &format!("nsslapd-securelistenhost: {address}"),
            &format!("nsslapd-securePort: {tls_port}"),
            "nsslapd-accesslog-logbuffering: off",
        ] {
            entry = format!("{entry}\n{line}");
        }
    }
    entry + "\n\n"
}

/// Puts its certificate into the database of NSS, the library it has TLS from.
fn keys(folder: &Path) {
    let tls = format!("sql:{}", folder.join("tls").display());
    let mut bundle = Command::new(need::program("openssl", "openssl"));
    bundle.args(["pkcs12", "-export", "-name", "Server-Cert", "-passout", "pass:"]);
    bundle.arg("-in").arg(folder.join(certificate::SERVER));
    bundle.arg("-inkey").arg(folder.join(certificate::KEY));
    bundle.arg("-out").arg(folder.join("server.p12"));
    let certutil = || Command::new(need::program("certutil", "libnss3-tools"));
    let mut make = certutil();
    make.args(["-N", "-d", &tls, "--empty-password"]);
    let mut trust = certutil();
    trust.args(["-A", "-d", &tls, "-n", "CA", "-t", "CT,,", "-i"]);
    trust.arg(folder.join(certificate::CA));
    let mut import = Command::new(need::program("pk12util", "libnss3-tools"));
    import.args(["-d", &tls, "-W", "", "-i"]).arg(folder.join("server.p12"));
    for command in [bundle, make, trust, import] {
        run(command);
    }
}

fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
}
