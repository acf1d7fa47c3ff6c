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

use super::content_sync::{self, EntryState, Info};
use super::elements::{
    BOOLEAN, ENUMERATED, Elements, INTEGER, Malformed, OCTET_STRING, SEQUENCE, SET, definite_length,
};

/// The kinds of operation that this host starts, each with the responses that it may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Bind,
    Search,
    /// A search for one page of what there is (RFC 2696).
    Page,
    /// A search that goes on when all has been found (RFC 4533).
    Subscription,
    Modify,
    Extended,
}

impl Operation {
    /// Whether what comes before its result goes past ldap3 ([`super::bypass`]).
    pub(super) fn has_a_reader(self) -> bool {
        matches!(self, Self::Page | Self::Subscription)
    }
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
            Operation::Search | Operation::Page | Operation::Subscription => matches!(
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

// Tags that RFC 4511 gives.
const CONTROLS: u8 = 0xa0;
const REFERRAL: u8 = 0xa3;
const SASL_CREDENTIALS: u8 = 0x87;
const RESPONSE_NAME: u8 = 0x8a;
const RESPONSE_VALUE: u8 = 0x8b;

const NO_VALUE: Malformed = "a control or a message has no value";

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
            intermediate(&mut operation)?;
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

/// What is in a message that was checked: its operation's content, and the controls.
pub(super) fn open(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut parts = Elements(Elements(message).expect(SEQUENCE)?);
    let (_id, (_kind, content)) = (parts.next()?, parts.next()?);
    Ok((content, parts.optional(CONTROLS)?.unwrap_or_default()))
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

fn intermediate(elements: &mut Elements<'_>) -> Result<(), Malformed> {
    sync_info(elements)?;
    elements.end()
}

/// What an intermediate response (RFC 4511 section 4.13) says of changes, if that is what it is about.
pub(super) fn sync_info<'a>(elements: &mut Elements<'a>) -> Result<Option<Info<'a>>, Malformed> {
    let name = elements.optional(0x80)?;
    let value = elements.optional(0x81)?;
    if name != Some(content_sync::INFO.as_bytes()) {
        return Ok(None);
    }
    content_sync::read_info(value.ok_or(NO_VALUE)?).map(Some)
}

fn check_controls(controls: &[u8]) -> Result<(), Malformed> {
    let mut controls = Elements(controls);
    while !controls.is_empty() {
        let (oid, value) = control(&mut controls)?;
        if oid == PAGED_RESULTS {
            let mut outer = Elements(value.ok_or(NO_VALUE)?);
            let mut pair = Elements(outer.expect(SEQUENCE)?);
            pair.small_number(INTEGER)?;
            pair.expect(OCTET_STRING)?;
        }
        if oid == content_sync::STATE.as_bytes() {
            content_sync::read_state(value.ok_or(NO_VALUE)?)?;
        }
    }
    Ok(())
}

/// The next control: its name and value.
fn control<'a>(controls: &mut Elements<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), Malformed> {
    let mut control = Elements(controls.expect(SEQUENCE)?);
    let oid = control.expect(OCTET_STRING)?;
    str::from_utf8(oid).map_err(|_| "a text isn't UTF-8")?;
    if control.optional(BOOLEAN)?.is_some_and(|flag| flag.len() != 1) {
        return Err("a truth value is not of one byte");
    }
    let value = control.optional(OCTET_STRING)?;
    control.end()?;
    Ok((oid, value))
}

/// What the controls of an entry say became of it, if they do.
pub(super) fn sync_state(controls: &[u8]) -> Result<Option<EntryState<'_>>, Malformed> {
    let mut controls = Elements(controls);
    while !controls.is_empty() {
        let (oid, value) = control(&mut controls)?;
        if oid == content_sync::STATE.as_bytes() {
            return content_sync::read_state(value.ok_or(NO_VALUE)?).map(Some);
        }
    }
    Ok(None)
}

/// What a request of ours is: its id, and the operation or (`Err`) the id that
/// it abandons. `None` for an unbind, and for what this host never sends.
pub(super) fn read_request(message: &[u8]) -> Option<(i32, Result<Operation, i32>)> {
    let mut elements = Elements(Elements(message).expect(SEQUENCE).ok()?);
    let id = elements.small_number(INTEGER).ok()?.cast_signed();
    let (tag, content) = elements.next().ok()?;
    let operation = match tag {
        0x60 => Ok(Operation::Bind),
        0x63 => Ok(kind_of_search(&mut elements)),
        0x66 => Ok(Operation::Modify),
        0x77 => Ok(Operation::Extended),
        0x50 => Err(content.iter().fold(0, |n, &byte| n << 8 | i32::from(byte))),
        _ => return None,
    };
    Some((id, operation))
}

/// What the controls of a search say that it is.
fn kind_of_search(elements: &mut Elements<'_>) -> Operation {
    let Ok(Some(controls)) = elements.optional(CONTROLS) else { return Operation::Search };
    let mut controls = Elements(controls);
    while let Ok(control) = controls.expect(SEQUENCE) {
        match Elements(control).expect(OCTET_STRING) {
            Ok(oid) if oid == content_sync::REQUEST.as_bytes() => return Operation::Subscription,
            Ok(PAGED_RESULTS) => return Operation::Page,
            _ => {}
        }
    }
    Operation::Search
}

#[cfg(test)]
mod tests;
