//! Distinguished names (RFC 4514): only what is needed of them.

/// The DNS domain that the `dc=` parts of a DN spell, for `%d`: `dc=example,dc=org`
/// is `example.org`. Empty when there are none.
pub fn domain(dn: &str) -> String {
    let parts: Vec<String> = rdns(dn)
        .filter_map(|rdn| {
            let (attribute, value) = rdn.split_once('=')?;
            attribute.trim().eq_ignore_ascii_case("dc").then(|| unescape(value.trim()))
        })
        .collect();
    parts.join(".")
}

/// The values that this attribute has in the first RDN, which may have several:
/// `cn=Alice+uid=alice,ou=…`.
pub fn rdn_values<'a>(dn: &'a str, attribute: &'a str) -> impl Iterator<Item = String> + 'a {
    let first = rdns(dn).next().unwrap_or_default();
    split_unescaped(first, '+').filter_map(move |part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case(attribute).then(|| unescape(value.trim()))
    })
}

/// Whether an entry is this one or lies below it, as far as the spelling tells: case and
/// spaces around RDNs and their `=` don't matter. Two spellings of one DN that differ in
/// more count as different.
pub fn lies_in(dn: &str, base: &str) -> bool {
    let (dn, base) = (spelling(dn), spelling(base));
    !base.is_empty() && dn.ends_with(&base)
}

fn spelling(dn: &str) -> Vec<String> {
    let rdns = rdns(dn).filter(|rdn| !rdn.trim().is_empty());
    rdns.map(|rdn| {
        let parts: Vec<&str> = rdn.split('=').map(str::trim).collect();
        parts.join("=").to_lowercase()
    })
    .collect()
}

fn rdns(dn: &str) -> impl Iterator<Item = &str> {
    split_unescaped(dn, ',')
}

fn split_unescaped(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let here = c == separator && !escaped;
        escaped = c == '\\' && !escaped;
        here
    })
}

/// A value without its escapes: `\,` and `\2C` are both a comma.
fn unescape(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let hex = rest.get(..2).and_then(|h| u8::from_str_radix(str::from_utf8(h).ok()?, 16).ok());
        match (hex, rest.split_first()) {
            (Some(value), _) => {
                bytes.push(value);
                rest = &rest[2..];
            }
            (None, Some((&literal, after))) => {
                bytes.push(literal);
                rest = after;
            }
            (None, None) => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_comes_from_the_dc_parts() {
        assert_eq!(domain("ou=people,dc=example,DC=org"), "example.org");
        assert_eq!(domain("o=example"), "");
    }

    #[test]
    fn an_entry_lies_in_itself_and_in_what_is_above_it() {
        assert!(lies_in("dc=example,dc=org", "DC=Example, dc = org"));
        assert!(lies_in("ou=people,dc=example,dc=org", "dc=example,dc=org"));
        assert!(!lies_in("dc=org", "dc=example,dc=org"));
        assert!(!lies_in("ou=x,dc=an-example,dc=org", "dc=example,dc=org"));
        assert!(!lies_in(r"cn=a\,dc=org", "dc=org"), "an escaped comma ends nothing");
        assert!(!lies_in("dc=org", ""));
    }

    #[test]
    fn a_multivalued_rdn_has_a_value_for_each_attribute() {
        let dn = r"cn=Smith\, J\2b+uid=smith,dc=example";
        assert_eq!(rdn_values(dn, "UID").collect::<Vec<_>>(), ["smith"]);
        assert_eq!(rdn_values(dn, "cn").collect::<Vec<_>>(), ["Smith, J+"]);
        assert_eq!(rdn_values(dn, "dc").count(), 0);
    }
}
