//! Rollcall, with its table filled in one of its two ways.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use common::table::Now;
use common::table::layout::header;
use harness::{BASE, Host, READER};

use super::{CA_FILE, Kind, Provider, URI, pam, switch, switch_only, wait_for_answers};
use crate::site::Site;

/// How long it may take to load the directory.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) fn start(kind: Kind, site: &Site) -> Result<Provider, String> {
    let mode = if kind == Kind::Replica { "replica" } else { "on-demand" };
    let (dn, _) = READER;
    let toml = format!(
        "[directory]\nuri = [\"{URI}\"]\nbase = \"{BASE}\"\nca_file = \"{CA_FILE}\"\n\
         bind_dn = \"{dn}\"\nbind_password_file = \"/etc/rollcall.secret\"\n\n\
         [cache]\nmode = \"{mode}\"\nmax_replica = 10000000\n"
    );
    let host = Host::new().network_of(&site.host).whole_configuration(&toml);
    let mut host = host.file(CA_FILE, &site.ca).without_daemon().start();
    // It is for hosts without a daemon, and would have asked the directory before that.
    host.run(["sh", "-c", "rm /usr/lib*/rollcall/direct.so /usr/lib/*/rollcall/direct.so"]);
    switch(&host, "ldap");
    pam(&host, "pam_ldap.so");
    let started = Instant::now();
    host.daemon().start();
    let mut loaded = None;
    if kind == Kind::Replica {
        let complete = || State::of(&host).filter(State::is_complete);
        harness::until(PATIENCE, complete).ok_or("its replica was never complete")?;
        loaded = Some(started.elapsed().as_secs_f64() * 1e9);
    }
    wait_for_answers(&host)?;
    switch_only(&host, "ldap");
    Ok(Provider { host: Some(host), loaded })
}

/// What the header of the table says.
pub(crate) struct State {
    complete_until: u64,
    /// The bytes in use: header, index and records.
    pub(crate) used: u64,
    /// The bytes of the file.
    pub(crate) size: u64,
}

impl State {
    /// Reads it from a host's table, if there is one.
    pub(crate) fn of(host: &Host) -> Option<Self> {
        let file = File::open(host.path(common::paths::TABLE)).ok()?;
        let word = |at: usize| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at as u64 * 8).ok()?;
            Some(u64::from_ne_bytes(bytes))
        };
        Some(Self {
            complete_until: word(header::COMPLETE_UNTIL)?,
            used: word(header::USED)? * 8,
            size: word(header::WORDS)? * 8,
        })
    }

    /// Whether what isn't in it isn't in the directory.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete_until > u64::from(Now::read().0)
    }
}
