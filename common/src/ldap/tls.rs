//! What a server's certificate is checked against.
//!
//! No environment variable is read (`SSL_CERT_FILE` and the like): this code may
//! run inside a setuid program, where the environment is the attacker's.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::LdapError;
use crate::config::Tls;

/// Where distributions keep the authorities that the system trusts.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/ssl/cert.pem",                  // Alpine
];

/// Reads the authorities, and this host's own certificate where it has one.
///
/// # Errors
/// [`LdapError::Configuration`] when a file can't be read or holds no certificate.
pub(super) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, LdapError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| LdapError::Configuration(format!("TLS: {e}")))?
        .with_root_certificates(authorities(tls.ca_file.as_deref())?);
    let config = match &tls.client_certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|e| unusable(certificate, e))?,
    };
    Ok(Arc::new(config))
}

fn authorities(ca_file: Option<&Path>) -> Result<RootCertStore, LdapError> {
    let mut store = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            store.add(certificate).map_err(|e| unusable(path, e))?;
        }
        return Ok(store);
    }
    for path in SYSTEM_AUTHORITIES.map(Path::new) {
        let found = rustls_native_certs::load_certs_from_paths(Some(path), None);
        store.add_parsable_certificates(found.certs);
        if !store.is_empty() {
            return Ok(store);
        }
    }
    Err(LdapError::Configuration(
        "TLS: this system has no list of trusted authorities; install the package \
         ca-certificates, or set ca_file"
            .into(),
    ))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LdapError> {
    let list: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| unusable(path, e))?;
    if list.is_empty() {
        return Err(unusable(path, "there is no certificate (PEM) in it"));
    }
    Ok(list)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, LdapError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| unusable(path, e))
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> LdapError {
    LdapError::Configuration(format!("TLS: {} can't be used: {why}", path.display()))
}
