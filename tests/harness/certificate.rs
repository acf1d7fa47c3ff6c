//! A certificate authority, and a server's certificate from it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

/// The file of the authority's certificate.
pub(crate) const CA: &str = "ca.pem";
/// The file of the server's certificate.
pub(crate) const SERVER: &str = "server.pem";
/// The file of the server's key.
pub(crate) const KEY: &str = "server.key";

/// Writes [`CA`], [`SERVER`] and [`KEY`] into a folder. The certificate is for
/// these names, and where `addresses` is set for the addresses that servers have
/// in tests, too: `127.0.0.1` to `127.0.0.9`, `10.77.0.1` to `10.77.0.9` and `::1`.
pub(crate) fn write(folder: &Path, names: &[String], addresses: bool) {
    let mut authority = params("Test CA", vec![]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let ca = authority.self_signed(&authority_key).expect("a certificate");

    let mut server = params("Test server", names.to_vec());
    if addresses {
        let loopback = (1..10).map(|n| Ipv4Addr::new(127, 0, 0, n));
        let others = (1..10).map(|n| Ipv4Addr::new(10, 77, 0, n));
        let all = loopback.chain(others).map(IpAddr::V4).chain([Ipv6Addr::LOCALHOST.into()]);
        server.subject_alt_names.extend(all.map(SanType::IpAddress));
    }
    let key = KeyPair::generate().expect("a key");
    let issuer = Issuer::new(authority, authority_key);
    let certificate = server.signed_by(&key, &issuer).expect("a certificate");

    for (file, text) in [(CA, ca.pem()), (SERVER, certificate.pem()), (KEY, key.serialize_pem())] {
        fs::write(folder.join(file), text).expect("the folder can be written");
    }
}

fn params(common_name: &str, names: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(names).expect("the names are host names");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}
