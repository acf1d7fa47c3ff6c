use super::*;
use crate::ldap::entry::Entry;
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
    let content =
        [element(ENUMERATED, &[code]), element(OCTET_STRING, b""), element(OCTET_STRING, b"text")];
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

    /// What the check lets through, ldap3 and the way past it must be able to read.
    #[test]
    fn a_changed_byte_never_makes_a_reader_panic(at in 0_usize..200, byte: u8) {
        for mut bytes in [entry(b"alice"), done(0)] {
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(response) = check_response(&bytes) {
                let mut parser = lber::Parser::new();
                let (_, tag) = parser.parse(&bytes).expect("ldap3 reads what was checked");
                let operation = tag.expect_constructed().unwrap().remove(1);
                if response.kind == Kind::SearchEntry {
                    Entry::in_message(bytes.clone().into()).expect("so does the bypass");
                    ldap3::SearchEntry::construct(ldap3::ResultEntry::new(operation));
                } else {
                    let _ = ldap3::LdapResult::from(lber::structures::Tag::StructureTag(operation));
                }
            }
        }
    }
}
