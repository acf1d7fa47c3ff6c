//! A light check of distinguished names (RFC 4514). The server has the last
//! word; this finds what is obviously something else.

use super::error::Problem;
use super::text::Text;
use crate::ldap::filter::is_attribute;

/// Checks a DN.
pub(super) fn dn(text: &Text) -> Result<String, Problem> {
    check(text.get_ref()).map_err(|problem| Problem::at(text, problem))?;
    Ok(text.get_ref().trim().to_owned())
}

fn check(text: &str) -> Result<(), String> {
    for pair in pairs(text.trim())? {
        let form = || {
            format!(
                "{pair:?} is not an attribute=value pair; a name in a directory looks like \
                 \"ou=people,dc=example,dc=org\""
            )
        };
        let (attribute, value) = pair.split_once('=').ok_or_else(form)?;
        if !is_attribute(attribute.trim()) || value.trim().is_empty() {
            return Err(form());
        }
    }
    Ok(())
}

/// The pairs between the commas and plus signs that aren't escaped.
fn pairs(text: &str) -> Result<Vec<&str>, String> {
    let mut pairs = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' | b'+' => {
                pairs.push(&text[start..at]);
                start = at + 1;
            }
            b'"' | b';' | b'<' | b'>' | 0..=31 => {
                return Err(format!("{:?} in a name is written with a \\ before it", byte as char));
            }
            _ => {}
        }
    }
    if escaped {
        return Err("it ends with a lone \\".into());
    }
    pairs.push(&text[start..]);
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_directories_are_called_is_a_dn() {
        for dn in [
            "dc=example,dc=org",
            "DC=example, DC=org",
            "cn=Smith\\, John,ou=people,dc=example,dc=org",
            "cn=a+uid=b,dc=x",
            "0.9.2342.19200300.100.1.25=x",
            "o=Ünal & Söhne",
            "cn=a\\\"b,dc=x",
        ] {
            assert_eq!(check(dn), Ok(()), "{dn}");
        }
    }

    #[test]
    fn what_is_no_dn_is_refused() {
        for text in
            ["", "example.org", "dc=example,,dc=org", "dc=", "dc=x,", "=x", "cn=a\\", "a b=c"]
        {
            assert!(check(text).is_err(), "{text:?}");
        }
    }
}
