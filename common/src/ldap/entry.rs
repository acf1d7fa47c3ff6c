//! An entry, as a server sent it.
//!
//! Its attributes stay in the bytes in which they came, and are looked for there: an entry has a
//! dozen, each is wanted once or twice, and a group may have thousands of values. To
//! copy each of them, as ldap3's own reading does, is most of the work where a whole
//! directory is read.

use std::ops::Range;

use lber::structure::StructureTag;

use super::LdapError;
use super::elements::{Elements, OCTET_STRING, SEQUENCE, SET, push};
use super::message;

/// What is wrong with bytes that should be an entry.
const NONE: LdapError = LdapError::Protocol("an entry that is none");

/// An entry with the attributes that were asked for.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Its distinguished name.
    pub dn: String,
    bytes: Box<[u8]>,
    /// Where in them its `PartialAttributeList` is (RFC 4511 section 4.1.7), without its header.
    attributes: Range<usize>,
}

impl Entry {
    /// Takes a whole message with a `SearchResultEntry` (RFC 4511 section 4.5.2), which the
    /// guard has checked.
    ///
    /// # Errors
    /// [`LdapError::Protocol`] if it is something else.
    pub(super) fn in_message(bytes: Box<[u8]>) -> Result<Self, LdapError> {
        let read = || {
            let mut parts = Elements(message::open(&bytes)?.0);
            Ok((parts.expect(OCTET_STRING)?, parts.expect(SEQUENCE)?))
        };
        let (dn, attributes) = read().map_err(LdapError::Protocol)?;
        let dn = str::from_utf8(dn).map_err(|_| NONE)?.to_owned();
        let start = attributes.as_ptr().addr() - bytes.as_ptr().addr();
        let attributes = start..start + attributes.len();
        Ok(Self { dn, bytes, attributes })
    }

    /// Takes a `SearchResultEntry` that ldap3 has taken apart.
    ///
    /// # Errors
    /// [`LdapError::Protocol`] if it is something else.
    pub(super) fn new(entry: StructureTag) -> Result<Self, LdapError> {
        Self::put_together(entry).ok_or(NONE)
    }

    fn put_together(entry: StructureTag) -> Option<Self> {
        let mut parts = entry.expect_constructed()?.into_iter();
        let dn = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
        let mut bytes = Vec::new();
        for attribute in parts.next()?.expect_constructed()? {
            let mut parts = attribute.expect_constructed()?.into_iter();
            let name = parts.next()?.expect_primitive()?;
            let values = parts.next()?.expect_constructed()?;
            let values = values.into_iter().map(StructureTag::expect_primitive);
            push_attribute(&mut bytes, &name, &values.collect::<Option<Vec<_>>>()?);
        }
        Some(Self { dn, attributes: 0..bytes.len(), bytes: bytes.into() })
    }

    /// The values of an attribute that are text. Attribute names know no case
    /// (RFC 4512 section 2.5), and a server may answer in another than asked.
    pub fn values<'a>(&'a self, attribute: &str) -> impl Iterator<Item = &'a str> {
        let mut values = Elements(self.find(attribute).unwrap_or_default());
        let values = std::iter::from_fn(move || values.next().ok());
        values.filter_map(|(_, value)| str::from_utf8(value).ok())
    }

    /// The first value of an attribute.
    pub fn value<'a>(&'a self, attribute: &str) -> Option<&'a str> {
        self.values(attribute).next()
    }

    /// The values of an attribute, each with its header.
    fn find(&self, wanted: &str) -> Option<&[u8]> {
        let mut attributes = Elements(self.bytes.get(self.attributes.clone())?);
        while let Ok((_, attribute)) = attributes.next() {
            let mut parts = Elements(attribute);
            let name = parts.expect(OCTET_STRING).ok()?;
            if name.eq_ignore_ascii_case(wanted.as_bytes()) {
                return parts.expect(SET).ok();
            }
        }
        None
    }

    /// An entry made up for a test.
    #[cfg(test)]
    pub(crate) fn of(dn: &str, attributes: &[(&str, &[&str])]) -> Self {
        let mut bytes = Vec::new();
        for (name, values) in attributes {
            push_attribute(&mut bytes, name.as_bytes(), values);
        }
        Self { dn: dn.into(), attributes: 0..bytes.len(), bytes: bytes.into() }
    }
}

/// Writes an attribute with its values (RFC 4511 section 4.1.7).
fn push_attribute(to: &mut Vec<u8>, name: &[u8], values: &[impl AsRef<[u8]>]) {
    let mut set = Vec::new();
    for value in values {
        push(&mut set, OCTET_STRING, value.as_ref());
    }
    let mut attribute = Vec::new();
    push(&mut attribute, OCTET_STRING, name);
    push(&mut attribute, SET, &set);
    push(to, SEQUENCE, &attribute);
}

#[cfg(test)]
mod tests {
    use lber::common::TagClass;
    use lber::structure::PL;

    use super::*;

    fn tag(id: u64, payload: PL) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload }
    }

    fn text(bytes: &[u8]) -> StructureTag {
        tag(4, PL::P(bytes.to_vec()))
    }

    fn list(parts: Vec<StructureTag>) -> StructureTag {
        tag(16, PL::C(parts))
    }

    #[test]
    fn values_that_are_no_text_are_passed_over() {
        let values = list(vec![text(b"alice"), text(b"\xff"), text(b"al")]);
        let entry = list(vec![text(b"uid=alice"), list(vec![list(vec![text(b"uid"), values])])]);
        let entry = Entry::new(entry).unwrap();
        assert_eq!(entry.dn, "uid=alice");
        assert_eq!(entry.values("UID").collect::<Vec<_>>(), ["alice", "al"]);
        assert_eq!(entry.value("cn"), None);
    }

    #[test]
    fn what_is_no_entry_is_an_error_and_no_panic() {
        let attribute = |parts| list(vec![text(b"dn"), list(vec![list(parts)])]);
        for entry in [
            text(b"dn"),
            list(vec![]),
            list(vec![text(b"dn")]),
            list(vec![text(b"\xff"), list(vec![])]),
            list(vec![list(vec![]), list(vec![])]),
            list(vec![text(b"dn"), text(b"")]),
            attribute(vec![]),
            attribute(vec![text(b"cn")]),
            attribute(vec![text(b"cn"), text(b"")]),
            attribute(vec![text(b"cn"), list(vec![list(vec![])])]),
        ] {
            assert!(Entry::new(entry.clone()).is_err(), "{entry:?}");
        }
    }

    /// A message with an entry, whose values are long enough for each form of a length.
    fn whole_message(values: &[&str]) -> Vec<u8> {
        let mut attributes = Vec::new();
        push_attribute(&mut attributes, b"cn", &["Alice"]);
        push_attribute(&mut attributes, b"memberUid", values);
        let mut entry = Vec::new();
        push(&mut entry, OCTET_STRING, b"uid=alice");
        push(&mut entry, SEQUENCE, &attributes);
        let mut parts = vec![2, 1, 7];
        push(&mut parts, 0x64, &entry);
        let mut message = Vec::new();
        push(&mut message, SEQUENCE, &parts);
        message
    }

    #[test]
    fn an_entry_is_read_where_it_lies_in_its_message() {
        for length in [0, 127, 128, 255, 256, 65_535, 65_536] {
            let long = "a".repeat(length);
            let bytes = whole_message(&["bob", &long]);
            assert!(message::check_response(&bytes).is_ok());
            let entry = Entry::in_message(bytes.into()).unwrap();
            assert_eq!(entry.dn, "uid=alice");
            assert_eq!(entry.value("CN"), Some("Alice"));
            assert_eq!(entry.values("memberuid").collect::<Vec<_>>(), ["bob", &long]);
            assert_eq!(entry.value("uid"), None);
        }
    }

    #[test]
    fn a_message_cut_short_is_no_entry_and_no_panic() {
        let whole = whole_message(&["bob"]);
        for end in 0..whole.len() {
            assert!(Entry::in_message(whole[..end].into()).is_err());
        }
    }
}
