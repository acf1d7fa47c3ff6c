//! The example that is shipped can't rot.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Config, parse};

const TEXT: &str = include_str!("../../../../packaging/rollcall.toml");

/// A line that is a key behind a "#".
fn commented(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix("# ")?.split_once(" = ")?;
    key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_').then_some((key, value))
}

fn uncommented() -> String {
    let lines = TEXT.lines().map(|line| match commented(line) {
        Some(_) => &line[2..],
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn it_is_valid_as_it_is_shipped() {
    Config::parse(TEXT, Path::new("packaging/rollcall.toml")).unwrap();
    let live: Vec<_> =
        TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])).collect();
    assert_eq!(live.len(), 2, "{live:?}");
}

#[test]
fn it_is_valid_with_every_key_in_use() {
    let config = parse(&uncommented()).unwrap();
    assert!(config.directories[0].resetter.is_some() && config.login.filter.is_some());
}

/// The parser's own list of keys, section by section, against the example.
#[test]
fn it_shows_every_key() {
    let text = uncommented();
    let mut section = String::new();
    let mut sections = BTreeMap::<String, Vec<String>>::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.clone_into(&mut section);
            sections.entry(section.clone()).or_default();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            sections.entry(section.clone()).or_default().push(key.to_owned());
        }
    }
    for (section, shown) in &sections {
        let error = parse(&format!("[{section}]\nzzz = 1")).unwrap_err().to_string();
        let known = error.split("known here: ").nth(1).unwrap_or_default();
        for key in known.split(", ") {
            let inner = sections.contains_key(&format!("{section}.{key}"));
            assert!(inner || shown.iter().any(|s| s == key), "{section}.{key} isn't shown");
        }
    }
    let error = parse("[zzz]").unwrap_err().to_string();
    for section in error.split("known here: ").nth(1).unwrap_or_default().split(", ") {
        assert!(sections.contains_key(section), "[{section}] isn't shown");
    }
}

#[test]
fn what_it_shows_as_defaults_are_the_defaults() {
    let (left_out, written) = (parse(TEXT).unwrap(), parse(&uncommented()).unwrap());
    let defaults = |config: &Config| {
        let directory = &config.directories[0];
        (
            format!("{:?} {:?} {:?}", config.ids, config.timeouts, config.connections),
            config.cache,
            format!("{:?} {:?}", directory.users.attributes, directory.groups.attributes),
            (directory.users.scope, directory.groups.scope, directory.schema),
            (directory.tls.starttls, directory.tls.allow_cleartext_passwords),
            directory.page_size,
        )
    };
    assert_eq!(defaults(&left_out), defaults(&written));
}
