//! What a server says about changes: content synchronization, RFC 4533.
//!
//! Each entry of a subscription carries a Sync State control (section 2.2): which
//! entry it is and what became of it. Between entries come Sync Info messages (section
//! 2.5): cookies, sets of ids, and where the refresh is.
//!
//! ldap3 has readers for both, which panic at whatever they don't expect. These
//! don't; the guard has them read everything first, and what answers a subscription goes past ldap3
//! (`bypass.rs`).
//!
//! One server can't write its own ids: in a set, 389 Directory Server cuts them off at their
//! first zero byte. Such a set is read as far as it goes and known to be [`Ids::cut`].

use super::elements::{BOOLEAN, ENUMERATED, Elements, Malformed, OCTET_STRING, SEQUENCE, SET};

/// The control that makes a search a subscription, as the root DSE lists it.
pub(crate) const REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";
/// The control of each entry.
pub(super) const STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
/// The name of the messages between entries.
pub(super) const INFO: &str = "1.3.6.1.4.1.4203.1.9.1.4";

/// The longest cookie taken: one with a change number of each of a thousand servers.
const MAX_COOKIE: usize = 64 << 10;
/// How long an id is (`syncUUID`).
const ID_BYTES: usize = 16;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Present,
    Add,
    Modify,
    Delete,
}

/// A Sync State control.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryState<'a> {
    pub(super) state: State,
    pub(super) id: u128,
    pub(super) cookie: Option<&'a [u8]>,
}

/// Ids of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    /// Those that can be read.
    pub(crate) whole: Vec<u128>,
    /// Whether there are others, of which only the first bytes came.
    pub(crate) cut: bool,
}

/// A Sync Info message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Info<'a> {
    pub(super) cookie: Option<&'a [u8]>,
    pub(super) kind: InfoKind,
}

/// What a Sync Info message says besides its cookie.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InfoKind {
    NewCookie,
    /// What is gone has been told. `done`: the refresh has ended.
    RefreshDelete {
        done: bool,
    },
    /// What is there has been told; all else is gone.
    RefreshPresent {
        done: bool,
    },
    /// These are gone, or (`gone` is false) there.
    IdSet {
        gone: bool,
        ids: Ids,
    },
}

/// Reads the value of a Sync State control.
pub(super) fn read_state(value: &[u8]) -> Result<EntryState<'_>, Malformed> {
    let mut outer = Elements(value);
    let mut elements = Elements(outer.expect(SEQUENCE)?);
    outer.end()?;
    let state = match elements.small_number(ENUMERATED)? {
        0 => State::Present,
        1 => State::Add,
        2 => State::Modify,
        3 => State::Delete,
        _ => return Err("an entry is in a state that there isn't"),
    };
    let id = elements.expect(OCTET_STRING)?.try_into();
    let id = id.map_err(|_| "an entry's id is not of 16 bytes")?;
    let cookie = cookie(&mut elements)?;
    elements.end()?;
    Ok(EntryState { state, id: u128::from_be_bytes(id), cookie })
}

/// Reads the value of a Sync Info message.
pub(super) fn read_info(value: &[u8]) -> Result<Info<'_>, Malformed> {
    let mut outer = Elements(value);
    let (tag, content) = outer.next()?;
    outer.end()?;
    if tag == 0x80 {
        return Ok(Info { cookie: Some(bounded(content)?), kind: InfoKind::NewCookie });
    }
    let mut elements = Elements(content);
    let cookie = cookie(&mut elements)?;
    let flag = elements.optional(BOOLEAN)?;
    let flag = |default| match flag {
        None => Ok(default),
        Some([byte]) => Ok(*byte != 0),
        Some(_) => Err("a truth value is not of one byte"),
    };
    let kind = match tag {
        0xa1 => InfoKind::RefreshDelete { done: flag(true)? },
        0xa2 => InfoKind::RefreshPresent { done: flag(true)? },
        0xa3 => {
            let set = elements.optional(SET)?.unwrap_or_default();
            InfoKind::IdSet { gone: flag(false)?, ids: read_ids(set)? }
        }
        _ => return Err("a message about changes is of no kind that there is"),
    };
    elements.end()?;
    Ok(Info { cookie, kind })
}

fn read_ids(set: &[u8]) -> Result<Ids, Malformed> {
    let mut elements = Elements(set);
    let mut ids = Ids::default();
    while !elements.is_empty() {
        let id = elements.expect(OCTET_STRING)?;
        match id.try_into() {
            Ok(id) => ids.whole.push(u128::from_be_bytes(id)),
            Err(_) if id.len() < ID_BYTES => ids.cut = true,
            Err(_) => return Err("an entry's id is longer than 16 bytes"),
        }
    }
    Ok(ids)
}

fn cookie<'a>(elements: &mut Elements<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    elements.optional(OCTET_STRING)?.map(bounded).transpose()
}

fn bounded(cookie: &[u8]) -> Result<&[u8], Malformed> {
    if cookie.len() > MAX_COOKIE { Err("a cookie is longer than allowed") } else { Ok(cookie) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84], length.as_slice(), content].concat()
    }

    fn state(code: u8, id: &[u8], cookie: Option<&[u8]>) -> Vec<u8> {
        let mut content = [element(ENUMERATED, &[code]), element(OCTET_STRING, id)].concat();
        content.extend(cookie.map(|cookie| element(OCTET_STRING, cookie)).unwrap_or_default());
        element(SEQUENCE, &content)
    }

    fn id_set(flag: &[u8], ids: &[&[u8]]) -> Vec<u8> {
        let ids: Vec<u8> = ids.iter().flat_map(|id| element(OCTET_STRING, id)).collect();
        let flag = if flag.is_empty() { Vec::new() } else { element(BOOLEAN, flag) };
        let parts = [element(OCTET_STRING, b"cookie"), flag, element(SET, &ids)];
        element(0xa3, &parts.concat())
    }

    #[test]
    fn the_state_of_an_entry_is_read() {
        let value = state(3, &[7; 16], Some(b"rid=000"));
        let read = read_state(&value).unwrap();
        let id = 0x0707_0707_0707_0707_0707_0707_0707_0707;
        let cookie = Some(b"rid=000".as_slice());
        assert_eq!(read, EntryState { state: State::Delete, id, cookie });
        assert_eq!(read_state(&state(1, &[0; 16], None)).unwrap().cookie, None);
    }

    #[test]
    fn a_state_that_there_is_not_and_an_id_of_another_length_are_refused() {
        for value in [
            state(4, &[0; 16], None),
            state(1, &[0; 15], None),
            state(1, &[0; 17], None),
            state(1, &[0; 16], Some(&vec![0; MAX_COOKIE + 1])),
            element(SEQUENCE, b""),
            element(SEQUENCE, &element(ENUMERATED, &[1])),
            [state(1, &[0; 16], None), vec![0]].concat(),
            b"".to_vec(),
        ] {
            assert!(read_state(&value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let info = |tag| read_info(&element(tag, b"")).unwrap().kind;
        assert_eq!(info(0xa1), InfoKind::RefreshDelete { done: true });
        assert_eq!(info(0xa2), InfoKind::RefreshPresent { done: true });
        assert_eq!(info(0xa3), InfoKind::IdSet { gone: false, ids: Ids::default() });
        assert_eq!(info(0x80), InfoKind::NewCookie);
    }

    #[test]
    fn a_set_of_ids_is_read_and_one_that_was_cut_is_noticed() {
        let value = id_set(&[0xff], &[&[0; 16], &[1, 2]]);
        let info = read_info(&value).unwrap();
        assert_eq!(info.cookie, Some(b"cookie".as_slice()));
        let ids = Ids { whole: vec![0], cut: true };
        assert_eq!(info.kind, InfoKind::IdSet { gone: true, ids });
    }

    #[test]
    fn what_is_no_sync_info_is_refused() {
        for value in [
            element(0xa4, b""),
            element(SEQUENCE, b""),
            element(0x80, &vec![0; MAX_COOKIE + 1]),
            id_set(&[0, 0], &[]),
            id_set(&[0], &[&[0; 17]]),
            element(0xa2, &element(SET, b"")),
            element(0xa3, &[element(SET, b""), element(BOOLEAN, &[1])].concat()),
        ] {
            assert!(read_info(&value).is_err(), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reading_panic(bytes: Vec<u8>) {
            let _ = (read_state(&bytes), read_info(&bytes));
        }

        #[test]
        fn a_changed_or_missing_byte_makes_no_reading_panic(at in 0_usize..200, byte: u8) {
            for mut bytes in [state(2, &[1; 16], Some(b"c")), id_set(&[1], &[&[2; 16], &[3; 16]])] {
                let at = at % bytes.len();
                let _ = (read_state(&bytes[..at]), read_info(&bytes[..at]));
                bytes[at] = byte;
                let _ = (read_state(&bytes), read_info(&bytes));
            }
        }
    }
}
