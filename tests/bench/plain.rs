//! ldap3 by itself: what anything built on it can at best be as fast as.

use std::fs;
use std::sync::Arc;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope};
use tokio::runtime::Runtime;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Where a host of the harness has its directory, and whom it trusts.
const URI: &str = "ldap://127.0.0.1";
pub(crate) const CA_FILE: &str = "/etc/ssl/rollcall-test-ca.pem";
/// What a passwd line is made of (RFC 2307).
const ATTRIBUTES: [&str; 7] =
    ["uid", "uidNumber", "gidNumber", "gecos", "cn", "homeDirectory", "loginShell"];

/// A connection on this thread, kept or made anew.
pub(crate) struct Plain {
    runtime: Runtime,
    tls: Arc<ClientConfig>,
    kept: Option<Ldap>,
}

impl Plain {
    /// Connects with StartTLS.
    pub(crate) fn connect() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be started");
        let mut plain = Self { runtime, tls: tls(), kept: None };
        plain.kept = Some(plain.new_connection());
        plain
    }

    fn new_connection(&self) -> Ldap {
        self.runtime.block_on(async {
            let settings =
                LdapConnSettings::new().set_starttls(true).set_config(Arc::clone(&self.tls));
            let connected = LdapConnAsync::with_settings(settings, URI).await;
            let (connection, ldap) = connected.expect("the directory answers");
            tokio::spawn(connection.drive());
            ldap
        })
    }

    fn kept(&self) -> Ldap {
        self.kept.clone().expect("it was connected")
    }

    /// One search for a user on the kept connection.
    pub(crate) fn search(&self, user: &str) {
        let mut ldap = self.kept();
        let filter = format!("(&(objectClass=posixAccount)(uid={user}))");
        let search = ldap.search(harness::BASE, Scope::Subtree, &filter, ATTRIBUTES);
        let result = self.runtime.block_on(search).and_then(ldap3::SearchResult::success);
        let (entries, _) = result.expect("a search works");
        assert_eq!(entries.len(), 1, "{user} is there");
        for entry in entries {
            ldap3::SearchEntry::construct(entry);
        }
    }

    /// One bind on the kept connection.
    pub(crate) fn bind(&self, user: &str, password: &str) {
        self.bind_on(self.kept(), user, password);
    }

    /// Binds as the identity that may read.
    pub(crate) fn bind_as_reader(&self) {
        let (dn, password) = harness::READER;
        let result = self.runtime.block_on(self.kept().simple_bind(dn, password));
        assert_eq!(result.expect("a bind works").rc, 0, "the reader has this password");
    }

    /// A connection, StartTLS and a bind.
    pub(crate) fn connect_and_bind(&self, user: &str, password: &str) {
        self.bind_on(self.new_connection(), user, password);
    }

    fn bind_on(&self, mut ldap: Ldap, user: &str, password: &str) {
        let dn = format!("uid={user},ou=people,{}", harness::BASE);
        let result = self.runtime.block_on(ldap.simple_bind(&dn, password));
        assert_eq!(result.expect("a bind works").rc, 0, "{user} has this password");
    }
}

fn tls() -> Arc<ClientConfig> {
    let pem = fs::read(CA_FILE).expect("the host has its CA file");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.expect("it is PEM")).expect("it is a certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
