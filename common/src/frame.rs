//! How requests and responses travel: length-bounded frames.
//!
//! ```text
//! request    0  "RC"   2  version u16   4  length u32   8  milliseconds left u32   12  payload
//! response   0  "RC"   2  version u16   4  length u32   8  payload
//! ```
//!
//! Numbers are little endian, payloads are [postcard] of [`Request`] and
//! [`Response`]. A length above the bound, another magic or version, an end of
//! file before the end of the payload and bytes after it are errors, each of
//! them. Nothing is allocated on the word of a length alone: a reader grows its
//! buffer as bytes arrive.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::protocol::{Map, Request, Response, VERSION};

/// The largest request, in bytes.
pub const MAX_REQUEST: usize = 16 << 10;
/// The largest response, in bytes: a group of some millions of members.
pub const MAX_RESPONSE: usize = 64 << 20;
/// The largest batch of users or shadow entries, or status, in bytes.
const MAX_BATCH: usize = 4 << 20;
/// The largest response about one user, in bytes.
const MAX_SMALL: usize = 16 << 10;

const MAGIC: [u8; 2] = *b"RC";
/// The bytes before a request's payload.
pub const REQUEST_HEADER: usize = 12;
/// The bytes before a response's payload.
pub const RESPONSE_HEADER: usize = 8;

/// The largest response to this request, in bytes. Only what holds the members
/// or the ids of groups may be large: a guest takes no more of its host's memory
/// than an answer can need.
pub fn max_response(request: &Request) -> usize {
    match request {
        Request::GroupByName(_)
        | Request::GroupById(_)
        | Request::GroupsOf(_)
        | Request::Enumerate(Map::Groups, _) => MAX_RESPONSE,
        // With the status root is told whose logins are kept.
        Request::Enumerate(Map::Users | Map::Shadows, _) | Request::Status => MAX_BATCH,
        Request::UserByName(_)
        | Request::UserById(_)
        | Request::ShadowByName(_)
        | Request::Authenticate { .. }
        | Request::Authorize { .. }
        | Request::ChangePassword { .. }
        | Request::ResetPassword { .. }
        | Request::Flush(_) => MAX_SMALL,
    }
}

/// Why a frame is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// It doesn't start as a frame does.
    Magic,
    /// It is of another version of the protocol.
    Version(u16),
    /// It is longer than allowed.
    TooLong,
    /// Its payload can't be understood.
    Payload,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not a frame of this protocol"),
            Self::Version(v) => write!(
                f,
                "protocol version {v} instead of {VERSION} (after an upgrade, restart the \
                 rollcall daemon and the programs that have the old module loaded)"
            ),
            Self::TooLong => f.write_str("a frame is longer than allowed"),
            Self::Payload => f.write_str("a frame's content can't be understood"),
        }
    }
}

impl std::error::Error for FrameError {}

/// A whole request frame; zeroed when dropped, since it may hold a password.
///
/// # Errors
/// [`FrameError::TooLong`]
pub fn encode_request(request: &Request, ms_left: u32) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let mut frame = encode::<REQUEST_HEADER>(request, MAX_REQUEST)?;
    frame[8..12].copy_from_slice(&ms_left.to_le_bytes());
    Ok(frame)
}

/// A whole response frame.
///
/// # Errors
/// [`FrameError::TooLong`]
pub fn encode_response(response: &Response) -> Result<Vec<u8>, FrameError> {
    let mut frame = encode::<RESPONSE_HEADER>(response, MAX_RESPONSE)?;
    Ok(std::mem::take(&mut *frame))
}

/// Sizes first, then writes into a buffer of that size: a buffer that grew
/// would leave copies of a password behind.
fn encode<const HEADER: usize>(
    value: &impl Serialize,
    max: usize,
) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let size = postcard::experimental::serialized_size(value).map_err(|_| FrameError::Payload)?;
    if size > max {
        return Err(FrameError::TooLong);
    }
    let mut frame = Zeroizing::new(vec![0; HEADER + size]);
    frame[..2].copy_from_slice(&MAGIC);
    frame[2..4].copy_from_slice(&VERSION.to_le_bytes());
    let length = u32::try_from(size).map_err(|_| FrameError::TooLong)?;
    frame[4..8].copy_from_slice(&length.to_le_bytes());
    postcard::to_slice(value, &mut frame[HEADER..]).map_err(|_| FrameError::Payload)?;
    Ok(frame)
}

/// The length of the payload and the milliseconds left, from a request's header.
///
/// # Errors
/// When it is not the header of a request of this version and allowed length.
pub fn request_header(header: &[u8; REQUEST_HEADER]) -> Result<(usize, u32), FrameError> {
    let length = payload_length(header, MAX_REQUEST)?;
    let [.., a, b, c, d] = *header;
    Ok((length, u32::from_le_bytes([a, b, c, d])))
}

/// The length of the payload, from a response's header.
///
/// # Errors
/// When it is not the header of a response of this version and allowed length.
pub fn response_header(header: &[u8; RESPONSE_HEADER]) -> Result<usize, FrameError> {
    payload_length(header, MAX_RESPONSE)
}

fn payload_length(header: &[u8], max: usize) -> Result<usize, FrameError> {
    let [m0, m1, v0, v1, l0, l1, l2, l3, ..] = *header else {
        return Err(FrameError::Magic);
    };
    if [m0, m1] != MAGIC {
        return Err(FrameError::Magic);
    }
    match u16::from_le_bytes([v0, v1]) {
        VERSION => {}
        other => return Err(FrameError::Version(other)),
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > max {
        return Err(FrameError::TooLong);
    }
    Ok(length)
}

/// The value of a payload. Bytes behind it are an error.
///
/// # Errors
/// [`FrameError::Payload`]
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) => Ok(value),
        _ => Err(FrameError::Payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Name;
    use proptest::prelude::*;

    fn header<const N: usize>(frame: &[u8]) -> &[u8; N] {
        frame.first_chunk().unwrap()
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let request = Request::UserByName(Name::parse("alice").unwrap());
        let frame = encode_request(&request, 1234).unwrap();
        let (length, ms) = request_header(header(&frame)).unwrap();
        assert_eq!((length, ms), (frame.len() - REQUEST_HEADER, 1234));
        let Request::UserByName(name) = decode(&frame[REQUEST_HEADER..]).unwrap() else {
            panic!("another request arrived")
        };
        assert_eq!(name.as_str(), "alice");
    }

    #[test]
    fn a_header_of_another_version_is_refused_with_its_number() {
        let mut frame = encode_response(&Response::NotFound).unwrap();
        frame[2] = 99;
        assert_eq!(response_header(header(&frame)), Err(FrameError::Version(99)));
    }

    #[test]
    fn bytes_after_a_payload_are_refused() {
        let mut frame = encode_response(&Response::NotFound).unwrap();
        frame.push(0);
        assert_eq!(decode::<Response>(&frame[RESPONSE_HEADER..]), Err(FrameError::Payload));
    }

    /// SSSD CVE-2013-0220: a length that is not checked against its bound.
    #[test]
    fn a_length_above_the_bound_is_refused() {
        let mut frame = encode_response(&Response::NotFound).unwrap();
        frame[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(response_header(header(&frame)), Err(FrameError::TooLong));
    }

    /// The longest name, and fields of the greatest length.
    #[test]
    fn the_largest_user_is_within_the_bound_of_its_request() {
        use crate::account::{AbsolutePath, Field, Gid, MAX_FIELD, Uid, User};
        let path = format!("/{}", "x".repeat(MAX_FIELD - 1));
        let name = Name::parse(&"a".repeat(255)).unwrap();
        let user = User {
            name: name.clone(),
            uid: Uid::new(2000).unwrap(),
            gid: Gid::new(2000).unwrap(),
            gecos: Field::cleaned(&"x".repeat(MAX_FIELD)),
            home: AbsolutePath::parse(&path).unwrap(),
            shell: AbsolutePath::parse(&path).unwrap(),
        };
        let frame = encode_response(&Response::User(user)).unwrap();
        assert!(frame.len() <= max_response(&Request::UserByName(name)));
    }

    proptest! {
        #[test]
        fn no_payload_makes_the_decoder_panic(bytes: Vec<u8>) {
            let _ = decode::<Response>(&bytes);
            let _ = decode::<Request>(&bytes);
        }
    }
}
