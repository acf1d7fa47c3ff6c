//! Checks that a server's message is well-formed, before anything else reads it.
//!
//! ldap3 trusts its server: a missing element, a wrong tag or bytes that aren't
//! UTF-8 make it panic, and nested tags make it recurse. So each message is
//! checked here against the grammar of RFC 4511 (sections 4.1 and 5.1) by code
//! that only moves forward over a slice: no recursion, no allocation, no panic.
//!
//! The grammar has a fixed depth, so a message that is nested deeper than it
//! says is refused at the first tag that doesn't belong there.

use std::str;

/// The kinds of operation that this host starts, each with the responses that it may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Bind,
    Search,
    Modify,
    Extended,
}

/// A response's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BindResponse,
    SearchEntry,
    SearchReference,
    SearchDone,
    ModifyResponse,
    ExtendedResponse,
    Intermediate,
}

impl Kind {
    /// Whether this response belongs to such an operation.
    pub(super) fn answers(self, operation: Operation) -> bool {
        match operation {
            Operation::Bind => self == Self::BindResponse,
            Operation::Modify => self == Self::ModifyResponse,
            // ldap3 takes an intermediate response to it for the last one, and panics.
            Operation::Extended => self == Self::ExtendedResponse,
            Operation::Search => matches!(
                self,
                Self::SearchEntry | Self::SearchReference | Self::SearchDone | Self::Intermediate
            ),
        }
    }

    /// Whether nothing more comes after it.
    pub(super) fn is_last(self) -> bool {
        !matches!(self, Self::SearchEntry | Self::SearchReference | Self::Intermediate)
    }
}

/// What a checked response is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// Which request it answers; 0 for a notice that no request asked for.
    pub(super) id: i32,
    pub(super) kind: Kind,
    /// The result code, where the kind has one.
    pub(super) result: Option<u32>,
}

/// Why a message is refused; what it breaks.
pub(super) type Malformed = &'static str;

// Tags of the universal class, and those RFC 4511 gives.
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTROLS: u8 = 0xa0;
const REFERRAL: u8 = 0xa3;
const SASL_CREDENTIALS: u8 = 0x87;
const RESPONSE_NAME: u8 = 0x8a;
const RESPONSE_VALUE: u8 = 0x8b;

/// The control whose value ldap3 reads without checks (RFC 2696).
const PAGED_RESULTS: &[u8] = b"1.2.840.113556.1.4.319";

/// How long a message is, its header included, seen from its first bytes:
/// `None` while too few have come to tell.
pub(super) fn length(start: &[u8], max: usize) -> Result<Option<usize>, Malformed> {
    let Some((&tag, rest)) = start.split_first() else { return Ok(None) };
    if tag != SEQUENCE {
        return Err("a message doesn't start as one");
    }
    let Some((length, used)) = definite_length(rest)? else { return Ok(None) };
    if length > max {
        return Err("a message is longer than allowed");
    }
    Ok(Some(1 + used + length))
}

/// A length (X.690 section 8.1.3) and how many bytes it takes.
fn definite_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    if first < 0x80 {
        return Ok(Some((usize::from(first), 1)));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Err("a length is indefinite or of more than four bytes");
    }
    let Some(digits) = rest.get(..count) else { return Ok(None) };
    let length = digits.iter().fold(0, |n, &byte| n << 8 | usize::from(byte));
    Ok(Some((length, 1 + count)))
}

/// Moves forward over the elements of a slice.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        const CUT: Malformed = "an element is cut short";
        let (&tag, rest) = self.0.split_first().ok_or(CUT)?;
        let (length, used) = definite_length(rest)?.ok_or(CUT)?;
        let end = used.checked_add(length).ok_or(CUT)?;
        let content = rest.get(used..end).ok_or(CUT)?;
        self.0 = &rest[end..];
        Ok((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (found, content) if found == tag => Ok(content),
            _ => Err("an element has another type than it should"),
        }
    }

    /// The content of the next element, if it has this tag.
    fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.first() == Some(&tag) { self.expect(tag).map(Some) } else { Ok(None) }
    }

    fn text(&mut self, tag: u8) -> Result<(), Malformed> {
        str::from_utf8(self.expect(tag)?).map(drop).map_err(|_| "a text isn't UTF-8")
    }

    fn small_number(&mut self, tag: u8) -> Result<u32, Malformed> {
        match self.expect(tag)? {
            bytes @ ([0..=0x7f] | [0..=0x7f, _] | [0..=0x7f, _, _] | [0..=0x7f, _, _, _]) => {
                Ok(bytes.iter().fold(0, |n, &byte| n << 8 | u32::from(byte)))
            }
            _ => Err("a number is negative or too large"),
        }
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err("there is more in a message than should be") }
    }
}

/// Checks a whole response message.
pub(super) fn check_response(message: &[u8]) -> Result<Response, Malformed> {
    let mut outer = Elements(message);
    let mut elements = Elements(outer.expect(SEQUENCE)?);
    outer.end()?;
    let id = elements.small_number(INTEGER)?.cast_signed();
    let (tag, content) = elements.next()?;
    let mut operation = Elements(content);
    let (kind, result) = match tag {
        0x61 => (Kind::BindResponse, Some(ldap_result(&mut operation)?)),
        0x64 => {
            search_entry(&mut operation)?;
            (Kind::SearchEntry, None)
        }
        0x65 => (Kind::SearchDone, Some(ldap_result(&mut operation)?)),
        0x67 => (Kind::ModifyResponse, Some(ldap_result(&mut operation)?)),
        0x73 => {
            texts(&mut operation)?;
            (Kind::SearchReference, None)
        }
        0x78 => (Kind::ExtendedResponse, Some(ldap_result(&mut operation)?)),
        0x79 => {
            operation.optional(0x80)?;
            operation.optional(0x81)?;
            operation.end()?;
            (Kind::Intermediate, None)
        }
        _ => return Err("a message isn't a response"),
    };
    if let Some(controls) = elements.optional(CONTROLS)? {
        check_controls(controls)?;
    }
    if id == 0 {
        // Active Directory puts the name of its notice of disconnection here.
        elements.optional(RESPONSE_NAME)?;
    }
    elements.end()?;
    Ok(Response { id, kind, result })
}

/// `LDAPResult` and what a bind or extended response adds to it.
fn ldap_result(elements: &mut Elements<'_>) -> Result<u32, Malformed> {
    let code = elements.small_number(ENUMERATED)?;
    elements.text(OCTET_STRING)?;
    elements.text(OCTET_STRING)?;
    if let Some(referral) = elements.optional(REFERRAL)? {
        texts(&mut Elements(referral))?;
    }
    elements.optional(SASL_CREDENTIALS)?;
    if let Some(name) = elements.optional(RESPONSE_NAME)? {
        str::from_utf8(name).map_err(|_| "a text isn't UTF-8")?;
    }
    elements.optional(RESPONSE_VALUE)?;
    elements.end()?;
    Ok(code)
}

fn texts(elements: &mut Elements<'_>) -> Result<(), Malformed> {
    while !elements.is_empty() {
        elements.text(OCTET_STRING)?;
    }
    Ok(())
}

fn search_entry(elements: &mut Elements<'_>) -> Result<(), Malformed> {
    elements.text(OCTET_STRING)?;
    let mut attributes = Elements(elements.expect(SEQUENCE)?);
    while !attributes.is_empty() {
        let mut attribute = Elements(attributes.expect(SEQUENCE)?);
        attribute.text(OCTET_STRING)?;
        let mut values = Elements(attribute.expect(SET)?);
        while !values.is_empty() {
            values.expect(OCTET_STRING)?;
        }
        attribute.end()?;
    }
    elements.end()
}

fn check_controls(controls: &[u8]) -> Result<(), Malformed> {
    let mut controls = Elements(controls);
    while !controls.is_empty() {
        let mut control = Elements(controls.expect(SEQUENCE)?);
        let oid = control.expect(OCTET_STRING)?;
        str::from_utf8(oid).map_err(|_| "a text isn't UTF-8")?;
        if control.optional(BOOLEAN)?.is_some_and(|flag| flag.len() != 1) {
            return Err("a truth value is not of one byte");
        }
        let value = control.optional(OCTET_STRING)?;
        control.end()?;
        if oid == PAGED_RESULTS {
            let mut outer = Elements(value.ok_or("a control has no value")?);
            let mut pair = Elements(outer.expect(SEQUENCE)?);
            pair.small_number(INTEGER)?;
            pair.expect(OCTET_STRING)?;
        }
    }
    Ok(())
}

/// What a request of ours is: its id, and the operation or (`Err`) the id that
/// it abandons. `None` for an unbind, and for what this host never sends.
pub(super) fn read_request(message: &[u8]) -> Option<(i32, Result<Operation, i32>)> {
    let mut elements = Elements(Elements(message).expect(SEQUENCE).ok()?);
    let id = elements.small_number(INTEGER).ok()?.cast_signed();
    let (tag, content) = elements.next().ok()?;
    let operation = match tag {
        0x60 => Ok(Operation::Bind),
        0x63 => Ok(Operation::Search),
        0x66 => Ok(Operation::Modify),
        0x77 => Ok(Operation::Extended),
        0x50 => Err(content.iter().fold(0, |n, &byte| n << 8 | i32::from(byte))),
        _ => return None,
    };
    Some((id, operation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1 << 20;

    /// An element with this tag.
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84], length.as_slice(), content].concat()
    }

    fn message(id: u8, operation: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[&element(INTEGER, &[id]), operation].concat())
    }

    fn done(code: u8) -> Vec<u8> {
        let content = [
            element(ENUMERATED, &[code]),
            element(OCTET_STRING, b""),
            element(OCTET_STRING, b"text"),
        ];
        message(3, &element(0x65, &content.concat()))
    }

    fn entry(value: &[u8]) -> Vec<u8> {
        let values = element(SET, &element(OCTET_STRING, value));
        let attribute = element(SEQUENCE, &[element(OCTET_STRING, b"uid"), values].concat());
        let content = [element(OCTET_STRING, b"uid=a"), element(SEQUENCE, &attribute)].concat();
        message(3, &element(0x64, &content))
    }

    #[test]
    fn a_result_and_an_entry_are_let_through() {
        let response = check_response(&done(32)).unwrap();
        assert_eq!(response, Response { id: 3, kind: Kind::SearchDone, result: Some(32) });
        assert_eq!(check_response(&entry(b"\xff\x00")).unwrap().kind, Kind::SearchEntry);
    }

    #[test]
    fn two_hundred_thousand_nested_tags_are_refused_without_recursion() {
        let mut nested = Vec::new();
        for _ in 0..200_000_usize {
            nested.extend([SEQUENCE, 0x80]);
        }
        assert!(check_response(&element(SEQUENCE, &nested)).is_err());
        let mut nested = b"\x30\x00".to_vec();
        for _ in 0..2000 {
            nested = element(SEQUENCE, &nested);
        }
        assert!(check_response(&message(1, &element(0x64, &nested))).is_err());
    }

    #[test]
    fn an_announced_length_above_the_bound_is_refused_before_its_bytes_come() {
        assert!(length(&[SEQUENCE, 0x84, 0x7f, 0xff, 0xff, 0xff], MAX).is_err());
        assert!(length(&[SEQUENCE, 0x80], MAX).is_err(), "indefinite");
        assert!(length(&[SEQUENCE, 0x88, 0, 0, 0, 0], MAX).is_err(), "eight bytes");
        assert_eq!(length(&[SEQUENCE, 0x84, 0, 0], MAX), Ok(None));
        assert_eq!(length(&[SEQUENCE, 3], MAX), Ok(Some(5)));
    }

    #[test]
    fn every_message_cut_short_is_refused() {
        for whole in [done(0), entry(b"alice")] {
            for end in 0..whole.len() {
                assert!(check_response(&whole[..end]).is_err());
            }
        }
    }

    #[test]
    fn texts_that_are_not_utf8_are_refused() {
        let content =
            [element(ENUMERATED, &[0]), element(OCTET_STRING, b""), element(OCTET_STRING, b"\xff")];
        assert!(check_response(&message(3, &element(0x65, &content.concat()))).is_err());
    }

    #[test]
    fn a_request_is_no_response() {
        let unbind = message(3, &[0x42, 0]);
        assert!(check_response(&unbind).is_err());
    }

    #[test]
    fn an_intermediate_response_never_answers_a_password_change() {
        assert!(!Kind::Intermediate.answers(Operation::Extended));
    }

    #[test]
    fn a_response_answers_only_its_own_kind_of_operation() {
        assert!(Kind::SearchEntry.answers(Operation::Search));
        assert!(!Kind::SearchEntry.answers(Operation::Bind));
        assert!(!Kind::BindResponse.answers(Operation::Search));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_check_panic(bytes: Vec<u8>) {
            let _ = check_response(&bytes);
            let _ = length(&bytes, MAX);
            let _ = read_request(&bytes);
        }

        /// What the check lets through, ldap3 must be able to read.
        #[test]
        fn a_changed_byte_never_makes_ldap3_panic(at in 0_usize..200, byte: u8) {
            for mut bytes in [entry(b"alice"), done(0)] {
                let at = at % bytes.len();
                bytes[at] = byte;
                if let Ok(response) = check_response(&bytes) {
                    let mut parser = lber::Parser::new();
                    let (_, tag) = parser.parse(&bytes).expect("ldap3 reads what was checked");
                    let operation = tag.expect_constructed().unwrap().remove(1);
                    if response.kind == Kind::SearchEntry {
                        ldap3::SearchEntry::construct(ldap3::ResultEntry::new(operation));
                    } else {
                        let _ = ldap3::LdapResult::from(lber::structures::Tag::StructureTag(operation));
                    }
                }
            }
        }
    }
}
