//! Reads BER (X.690) as LDAP uses it (RFC 4511 section 5.1): moves forward over a
//! slice, without recursion, allocation or panic.

use std::str;

/// Why a message is refused; what it breaks.
pub(super) type Malformed = &'static str;

// Tags of the universal class.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// A length (X.690 section 8.1.3) and how many bytes it takes.
pub(super) fn definite_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
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

/// Writes an element: tag, definite length, content.
pub(super) fn push(to: &mut Vec<u8>, tag: u8, content: &[u8]) {
    to.push(tag);
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => to.push(length),
        _ => {
            let digits = content.len().to_be_bytes();
            let zeros = content.len().leading_zeros() as usize / 8;
            let digits = &digits[zeros..];
            to.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            to.extend_from_slice(digits);
        }
    }
    to.extend_from_slice(content);
}

/// Moves forward over the elements of a slice.
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Elements<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        const CUT: Malformed = "an element is cut short";
        let (&tag, rest) = self.0.split_first().ok_or(CUT)?;
        let (length, used) = definite_length(rest)?.ok_or(CUT)?;
        let end = used.checked_add(length).ok_or(CUT)?;
        let content = rest.get(used..end).ok_or(CUT)?;
        self.0 = &rest[end..];
        Ok((tag, content))
    }

    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (found, content) if found == tag => Ok(content),
            _ => Err("an element has another type than it should"),
        }
    }

    /// The content of the next element, if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.first() == Some(&tag) { self.expect(tag).map(Some) } else { Ok(None) }
    }

    pub(super) fn text(&mut self, tag: u8) -> Result<(), Malformed> {
        str::from_utf8(self.expect(tag)?).map(drop).map_err(|_| "a text isn't UTF-8")
    }

    pub(super) fn small_number(&mut self, tag: u8) -> Result<u32, Malformed> {
        match self.expect(tag)? {
            bytes @ ([0..=0x7f] | [0..=0x7f, _] | [0..=0x7f, _, _] | [0..=0x7f, _, _, _]) => {
                Ok(bytes.iter().fold(0, |n, &byte| n << 8 | u32::from(byte)))
            }
            _ => Err("a number is negative or too large"),
        }
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err("there is more in a message than should be") }
    }
}
