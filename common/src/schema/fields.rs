//! Reads single values of an entry into types that can't be wrong.

use super::{Rejected, Rules};
use crate::account::{AbsolutePath, Field, Gid, Name, Uid};
use crate::config::{PathRule, Template, TemplateValues};
use crate::ldap::dn;
use crate::ldap::search::Entry;

fn invalid(attribute: &str, why: &impl ToString) -> Rejected {
    Rejected::Invalid(attribute.into(), why.to_string())
}

fn required<'a>(entry: &'a Entry, attribute: &str) -> Result<&'a str, Rejected> {
    entry.value(attribute).ok_or_else(|| Rejected::Missing(attribute.into()))
}

/// The name of an entry that may have several: the one in its RDN, which the
/// directory holds for the main one, else the first.
pub(super) fn name(entry: &Entry, attribute: &str) -> Result<Name, Rejected> {
    let in_rdn = dn::rdn_values(&entry.dn, attribute)
        .find(|value| entry.values(attribute).any(|v| v == value));
    let text = match &in_rdn {
        Some(value) => value,
        None => required(entry, attribute)?,
    };
    Name::parse(text).map_err(|e| invalid(attribute, &e))
}

/// Whether one of an entry's names is exactly this one. The directory compares
/// without case; this host does not: `Root` must not pass for `root` in any rule.
pub(super) fn has_name(entry: &Entry, attribute: &str, name: &Name) -> bool {
    entry.values(attribute).any(|value| value == name.as_str())
}

/// All of an entry's names, each once.
pub(super) fn names(entry: &Entry, attribute: &str) -> Vec<Name> {
    let mut names: Vec<Name> =
        entry.values(attribute).filter_map(|text| Name::parse(text).ok()).collect();
    if names.len() > 1 {
        names.sort();
        names.dedup();
    }
    names
}

/// A text without the blanks that don't count when texts are compared.
pub(super) fn squeezed(text: &str) -> String {
    text.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn number(entry: &Entry, attribute: &str) -> Result<u32, Rejected> {
    let text = required(entry, attribute)?;
    text.parse().map_err(|_| invalid(attribute, &format!("{text:?} is not an id")))
}

pub(super) fn uid(entry: &Entry, attribute: &str, rules: &Rules) -> Result<Uid, Rejected> {
    let id = number(entry, attribute)?;
    if !(rules.ids.min_uid..=rules.ids.max_uid).contains(&id) {
        return Err(invalid(attribute, &format!("{id} is outside [ids] min_uid to max_uid")));
    }
    Uid::new(id).map_err(|e| invalid(attribute, &e))
}

pub(super) fn gid(entry: &Entry, attribute: &str, rules: &Rules) -> Result<Gid, Rejected> {
    let id = number(entry, attribute)?;
    if !(rules.ids.min_gid..=rules.ids.max_gid).contains(&id) {
        return Err(invalid(attribute, &format!("{id} is outside [ids] min_gid to max_gid")));
    }
    Gid::new(id).map_err(|e| invalid(attribute, &e))
}

/// The full name: gecos, else cn.
pub(super) fn gecos(entry: &Entry, attribute: &str) -> Field {
    let text = entry.value(attribute).or_else(|| entry.value("cn")).unwrap_or_default();
    Field::cleaned(text)
}

/// A home: the override, else what the entry says if that is a path, else the
/// default. An override that can't be filled in doesn't fall back to the entry.
pub(super) fn home(rule: &PathRule, original: Option<&str>, about: About<'_>) -> AbsolutePath {
    let expand = |template: &Template| template.expand(&about.values(original));
    let home = match &rule.overriding {
        Some(template) => expand(template),
        None => original
            .and_then(|text| AbsolutePath::parse(text).ok())
            .or_else(|| rule.default.as_ref().and_then(expand)),
    };
    home.unwrap_or_else(AbsolutePath::nonexistent)
}

/// A shell, likewise. One that is named but can't be used (`nologin`, `false`) was
/// meant to keep somebody out, and does.
pub(super) fn shell(rule: &PathRule, original: Option<&str>, about: About<'_>) -> AbsolutePath {
    let expand = |template: &Template| template.expand(&about.values(original));
    match (&rule.overriding, original.filter(|text| !text.is_empty())) {
        (Some(template), _) => expand(template).unwrap_or_else(AbsolutePath::nologin),
        (None, Some(text)) => AbsolutePath::parse(text).unwrap_or_else(|_| AbsolutePath::nologin()),
        (None, None) => rule.default.as_ref().and_then(expand).unwrap_or_else(AbsolutePath::bin_sh),
    }
}

/// Whose home or shell it is.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) name: &'a Name,
    pub(super) uid: Uid,
    pub(super) domain: &'a str,
}

impl<'a> About<'a> {
    fn values(self, original: Option<&'a str>) -> TemplateValues<'a> {
        TemplateValues { name: self.name, uid: self.uid, domain: self.domain, original }
    }
}

/// A number of days; absent, empty, negative or no number: nothing is said.
pub(super) fn days(entry: &Entry, attribute: &str) -> Option<i64> {
    entry.value(attribute)?.parse().ok().filter(|days| *days >= 0)
}
