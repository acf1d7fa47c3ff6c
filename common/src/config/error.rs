//! What is wrong with a configuration, said so that it can be put right.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a configuration: where, and what to do about it.
///
/// Printed as `/etc/rollcall.toml:3: directory.uri: …`. No value of a key that
/// is about a password is ever part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    line: Option<usize>,
    key: Option<String>,
    problem: String,
}

impl ConfigError {
    /// The line, counted from 1; `None` when the file as a whole is meant.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// The key with its sections, as in `directory.users.scope`.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// An error about the file as a whole.
    pub(super) fn of_file(path: &Path, problem: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, key: None, problem: problem.into() }
    }

    /// An error of the TOML parser or of a section's type.
    pub(super) fn of_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let span = error.span();
        match DeTable::parse(text) {
            Ok(document) => {
                let top = span.as_ref().is_some_and(|span| {
                    document
                        .get_ref()
                        .iter()
                        .any(|(key, value)| key.span() == *span && !value.get_ref().is_table())
                });
                let problem = reword(error.message(), top);
                Self::of_problem(path, text, Problem { span, text: problem })
            }
            Err(_) => Self {
                path: path.into(),
                line: span.map(|span| line_of(text, span.start)),
                key: None,
                problem: format!("this is not TOML: {}", error.message().replace('\n', ", ")),
            },
        }
    }

    /// A problem with a value, with the place of it looked up.
    pub(super) fn of_problem(path: &Path, text: &str, problem: Problem) -> Self {
        let at = problem.span.map(|span| span.start);
        let key = at.and_then(|at| {
            let document = DeTable::parse(text).ok()?;
            key_at(document.get_ref(), at)
        });
        Self { path: path.into(), line: at.map(|at| line_of(text, at)), key, problem: problem.text }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// What a section's check found, before the line and the key are looked up.
#[derive(Debug)]
pub(super) struct Problem {
    span: Option<Range<usize>>,
    text: String,
}

impl Problem {
    /// A problem with a value.
    pub(super) fn at<T>(value: &Spanned<T>, text: impl Into<String>) -> Self {
        Self { span: Some(value.span()), text: text.into() }
    }

    /// A problem with the file as a whole.
    pub(super) fn anywhere(text: impl Into<String>) -> Self {
        Self { span: None, text: text.into() }
    }
}

/// The line of a place, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    before.split(|&b| b == b'\n').count()
}

/// The key whose name or value lies at this place. A table's own span is only
/// its header, so the keys inside are looked at first.
fn key_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref();
        if let Some(inner) = key_inside(value.get_ref(), at) {
            return Some(format!("{name}.{inner}"));
        }
        let item = value
            .get_ref()
            .as_array()
            .is_some_and(|items| items.iter().any(|item| item.span().contains(&at)));
        (item || key.span().contains(&at) || value.span().contains(&at)).then(|| name.to_string())
    })
}

fn key_inside(value: &DeValue<'_>, at: usize) -> Option<String> {
    match value {
        DeValue::Table(table) => key_at(table, at),
        DeValue::Array(items) => items.iter().find_map(|item| key_inside(item.get_ref(), at)),
        _ => None,
    }
}

/// Keys of other programs, or of nobody, that people try; and what to write instead.
const INSTEAD: &[(&str, &str)] = &[
    ("bind_password", BIND_PASSWORD),
    ("bindpw", BIND_PASSWORD),
    ("ldap_default_authtok", BIND_PASSWORD),
    (
        "reset_password",
        "a password is not written here: put it alone into a file that others can't read, and \
         name that file with reset_password_file",
    ),
    ("binddn", "unknown key; here it is called bind_dn"),
    ("ldap_default_bind_dn", "unknown key; here it is called bind_dn"),
    ("rootpwmoddn", "unknown key; here it is called reset_dn"),
    ("host", "unknown key; servers are written as uri = [\"ldap://ldap.example.org\"]"),
    ("port", "unknown key; a port is part of the uri: \"ldap://ldap.example.org:3389\""),
    ("ldap_uri", "unknown key; here it is called uri"),
    ("ssl", "unknown key; here it is tls = \"starttls\" or tls = \"off\""),
    ("tls_cacertfile", "unknown key; here it is called ca_file"),
    ("tls_cacert", "unknown key; here it is called ca_file"),
    ("tls_reqcert", "unknown key; the server's certificate is always verified; see ca_file"),
];

const BIND_PASSWORD: &str = "a password is not written here: put it alone into a file that others \
     can't read, and name that file with bind_password_file";

/// Turns a message of serde into one for the person who wrote the file. `top`:
/// the key stands outside any section.
fn reword(message: &str, top: bool) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut quoted = rest.split('`').skip(1).step_by(2);
        let key = quoted.next().unwrap_or_default();
        return unknown_key(key, &quoted.collect::<Vec<_>>(), top);
    }
    let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.split_once(", expected "))
    else {
        return message.replace('\n', ", ");
    };
    let expected = match expected {
        "i64" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list in brackets",
        other if other.starts_with("struct ") => "a section with keys",
        other => other,
    };
    format!("expected {expected}, found {found}")
}

fn unknown_key(key: &str, known: &[&str], top: bool) -> String {
    if top {
        return "this key stands outside any section; write [directory], or the section that it \
                belongs to, on a line above it"
            .into();
    }
    if let Some((_, instead)) = INSTEAD.iter().find(|(foreign, _)| *foreign == key) {
        return (*instead).into();
    }
    match nearest(key, known) {
        Some(meant) => format!("unknown key; did you mean {meant}?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// The known word that this one is most likely a slip of.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let distances = known.iter().map(|candidate| (distance(&word, candidate), *candidate));
    distances.filter(|(distance, _)| *distance <= 1 + word.len() / 4).min().map(|(_, meant)| meant)
}

/// How many single-letter changes lie between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognized() {
        let known = ["uri", "base", "bind_dn", "ca_file"];
        assert_eq!(nearest("bse", &known), Some("base"));
        assert_eq!(nearest("bind-dn", &known), Some("bind_dn"));
        assert_eq!(nearest("ca_fiel", &known), Some("ca_file"));
        assert_eq!(nearest("colour", &known), None);
    }
}
