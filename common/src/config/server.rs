//! Servers' addresses: `ldap://`, `ldaps://` and `ldapi://` (RFC 4516), and `srv:` for
//! those that the DNS knows (RFC 2782).

use std::ffi::OsString;
use std::fmt;
use std::net::Ipv6Addr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::{Server, Source};

/// The longest path of a socket: `sun_path` of `unix(7)` without its NUL.
const MAX_SOCKET_PATH: usize = 107;
/// The longest domain that has room for `_ldap._tcp.` before it.
const MAX_DOMAIN: usize = 253 - "_ldap._tcp.".len();
/// What stays readable in the path of a socket.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

impl Source {
    /// Parses an item of `uri`.
    ///
    /// # Errors
    /// A sentence that tells what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, domain) = text.split_once(':').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("srv") {
            return Server::parse(text).map(Self::Server);
        }
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        let labels = domain.split('.').all(|label| (1..=63).contains(&label.len()));
        if !labels || !is_name(domain) || domain.len() > MAX_DOMAIN {
            return Err("expected a domain, such as \"srv:example.org\"; the DNS knows its \
                        servers as _ldap._tcp.example.org"
                .into());
        }
        Ok(Self::Domain(domain.to_ascii_lowercase()))
    }
}

impl fmt::Display for Source {
    /// As it is written in a configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Domain(domain) => write!(f, "srv:{domain}"),
        }
    }
}

impl Server {
    /// Parses an address.
    ///
    /// # Errors
    /// A sentence that tells what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(if is_name(text) {
                format!("a server is written with its scheme: \"ldap://{text}\"")
            } else {
                FORM.into()
            });
        };
        match scheme.to_ascii_lowercase().as_str() {
            "ldap" => tcp(rest, 389, false),
            "ldaps" => tcp(rest, 636, true),
            "ldapi" => unix(rest),
            _ => Err(FORM.into()),
        }
    }
}

impl Server {
    /// An `ldap://` server that the DNS names; `None`: it can't be one. The name comes from
    /// the network.
    pub(crate) fn named(host: &str, port: u16) -> Option<Self> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let usable = is_name(&host) && port != 0;
        usable.then_some(Self::Tcp { host, port, implicit_tls: false })
    }
}

const FORM: &str = "expected an address such as \"ldap://ldap.example.org\", \
     \"ldaps://ldap.example.org\", \"ldapi://%2Frun%2Fslapd%2Fldapi\" or \"srv:example.org\"";

fn tcp(rest: &str, default_port: u16, implicit_tls: bool) -> Result<Server, String> {
    let address = rest.strip_suffix('/').unwrap_or(rest);
    if address.contains(['/', '?']) {
        return Err("only the server is named here; where to search is said with base".into());
    }
    // Neither part is repeated: one may be a password.
    if address.contains('@') {
        return Err("an address holds no user; that is said with bind_dn".into());
    }
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("a \"]\" is missing")?;
        host.parse::<Ipv6Addr>().map_err(|_| format!("\"{host}\" is not an IPv6 address"))?;
        match after {
            "" => (host, None),
            after => (host, Some(after.strip_prefix(':').ok_or(FORM)?)),
        }
    } else if address.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address stands in brackets: \"ldap://[{address}]\""));
    } else {
        match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    let bracketed = address.starts_with('[');
    if !bracketed && !is_name(host) {
        return Err(format!("{host:?} is not the name or address of a server"));
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(format!("{port:?} is not a port; expected 1 to 65535")),
        },
    };
    Ok(Server::Tcp { host: host.to_owned(), port, implicit_tls })
}

/// Whether this can be a host's name or IPv4 address. Names in other scripts
/// are written in their ASCII form (RFC 5890), as certificates have them.
fn is_name(text: &str) -> bool {
    text.len() <= 253
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

fn unix(rest: &str) -> Result<Server, String> {
    if rest.starts_with('/') && rest.len() > 1 {
        let path = percent_encode(rest.as_bytes(), ENCODED);
        return Err(format!("the path of a socket is percent-encoded: \"ldapi://{path}\""));
    }
    let path: Vec<u8> = percent_decode_str(rest.strip_suffix('/').unwrap_or(rest)).collect();
    if !path.starts_with(b"/") || path.contains(&0) {
        return Err("expected the absolute path of a socket, percent-encoded: \
                    \"ldapi://%2Frun%2Fslapd%2Fldapi\""
            .into());
    }
    if path.len() > MAX_SOCKET_PATH {
        return Err(format!("the path of a socket has at most {MAX_SOCKET_PATH} bytes"));
    }
    Ok(Server::Unix(PathBuf::from(OsString::from_vec(path))))
}

impl fmt::Display for Server {
    /// As it is written in a configuration; a default port is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, implicit_tls } => {
                let (scheme, default_port) =
                    if *implicit_tls { ("ldaps", 636) } else { ("ldap", 389) };
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "{scheme}://{open}{host}{close}")?;
                if *port == default_port { Ok(()) } else { write!(f, ":{port}") }
            }
            Self::Unix(path) => {
                write!(f, "ldapi://{}", percent_encode(path.as_os_str().as_bytes(), ENCODED))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_as_it_was_written() {
        for text in [
            "ldap://ldap.example.org",
            "ldap://ldap.example.org:3389",
            "ldaps://192.0.2.1",
            "ldap://[::1]",
            "ldaps://[2001:db8::1]:1636",
            "ldapi://%2Frun%2Fslapd%2Fldapi",
        ] {
            assert_eq!(Server::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_domain_is_kept_without_its_dot() {
        let domain = Source::Domain("example.org".into());
        assert_eq!(Source::parse("srv:Example.org."), Ok(domain.clone()));
        assert_eq!(domain.to_string(), "srv:example.org");
    }

    #[test]
    fn what_is_no_domain_is_answered_with_one() {
        for text in
            ["srv:", "srv://example.org", "srv:.", "srv:a..b", "srv:a b", "srv:_ldap._tcp.x"]
        {
            assert!(Source::parse(text).unwrap_err().contains("srv:example.org"), "{text}");
        }
    }

    #[test]
    fn the_ports_have_defaults() {
        let host = || "h".to_owned();
        let plain = Server::Tcp { host: host(), port: 389, implicit_tls: false };
        let tls = Server::Tcp { host: host(), port: 636, implicit_tls: true };
        assert_eq!(Server::parse("LDAP://h/").unwrap(), plain);
        assert_eq!(Server::parse("ldaps://h").unwrap(), tls);
    }

    #[test]
    fn an_ipv6_host_is_kept_without_its_brackets() {
        let server = Server::Tcp { host: "::1".into(), port: 389, implicit_tls: false };
        assert_eq!(Server::parse("ldap://[::1]:389").unwrap(), server);
    }

    #[test]
    fn a_wrong_address_is_answered_with_what_to_write() {
        for (text, hint) in [
            ("ldap.example.org", "\"ldap://ldap.example.org\""),
            ("http://h", "ldaps://"),
            ("ldap://", "not the name"),
            ("ldap://h:0", "1 to 65535"),
            ("ldap://h:x", "1 to 65535"),
            ("ldap://h/dc=example", "base"),
            ("ldap://u:pw@h", "bind_dn"),
            ("ldap://::1", "[::1]"),
            ("ldap://[::1", "]"),
            ("ldap://[nonsense]", "IPv6"),
            ("ldap://a b", "not the name"),
            ("ldapi:///run/ldapi", "\"ldapi://%2Frun%2Fldapi\""),
            ("ldapi://", "%2Frun"),
            ("ldapi://%2Fa%00", "%2Frun"),
        ] {
            let message = Server::parse(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
            assert!(!message.contains("pw"), "{message}");
        }
    }
}
