//! Paths made for a user: `/home/%u`. The sections `[home]` and `[shell]`.

use serde::Deserialize;

use super::error::Problem;
use super::text::Text;
use super::{PathRule, Template, TemplatePart};
use crate::account::{AbsolutePath, Name, Uid};

/// What a [`Template`] is filled with.
#[derive(Debug, Clone, Copy)]
pub struct TemplateValues<'a> {
    /// `%u`, and its first letter `%l`.
    pub name: &'a Name,
    /// `%U`.
    pub uid: Uid,
    /// `%d`: `example.org` for `dc=example,dc=org`; empty when there is none.
    pub domain: &'a str,
    /// `%o`: the path in the user's entry.
    pub original: Option<&'a str>,
}

impl Template {
    /// The path for a user; `None` when the template needs a value that there
    /// isn't, or when the path isn't one that can stand in a passwd line.
    ///
    /// No value leads out of the template's folder: a name has no `/`, a domain
    /// with one counts as none, and neither `.` nor `..` stands for a folder.
    pub fn expand(&self, values: &TemplateValues<'_>) -> Option<AbsolutePath> {
        let mut path = String::new();
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => path.push_str(text),
                TemplatePart::Name => path.push_str(values.name.as_str()),
                TemplatePart::Uid => path.push_str(&values.uid.to_string()),
                TemplatePart::Domain => path.push_str(folder(values.domain)?),
                TemplatePart::Letter => path.push(letter(values.name)),
                TemplatePart::Original => path.push_str(values.original?),
            }
        }
        // A path that climbs is never what an entry or a template should say.
        if path.split('/').any(|part| part == "..") {
            return None;
        }
        AbsolutePath::parse(&path).ok()
    }

    /// Parses a template.
    ///
    /// # Errors
    /// A sentence that tells what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                plain.push(c);
                continue;
            }
            let part = match chars.next() {
                Some('%') => {
                    plain.push('%');
                    continue;
                }
                Some('u') => TemplatePart::Name,
                Some('U') => TemplatePart::Uid,
                Some('d') => TemplatePart::Domain,
                Some('l') => TemplatePart::Letter,
                Some('o') => TemplatePart::Original,
                Some(other) => return Err(format!("%{other} has no meaning; {KNOWN}")),
                None => return Err(format!("a lone % at the end; {KNOWN}")),
            };
            if !plain.is_empty() {
                parts.push(TemplatePart::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(part);
        }
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(plain.into()));
        }
        let template = Self(parts);
        if template.expands_for_somebody() {
            return Ok(template);
        }
        Err("expected an absolute path without \"..\", \":\" and control characters, such as \
             \"/home/%u\""
            .into())
    }

    fn expands_for_somebody(&self) -> bool {
        let (Ok(name), Ok(uid)) = (Name::parse("alice"), Uid::new(1000)) else { return false };
        let (domain, original) = ("example.org", Some("/home/alice"));
        self.expand(&TemplateValues { name: &name, uid, domain, original }).is_some()
    }
}

const KNOWN: &str = "known are %u (name), %U (uid), %d (domain), %l (first letter of the name), \
     %o (the path in the directory) and %% (a %)";

/// The domain, if it can be the name of one folder.
fn folder(domain: &str) -> Option<&str> {
    (!domain.is_empty() && !domain.contains('/')).then_some(domain)
}

/// The first letter. A leading dot would name the folder itself.
fn letter(name: &Name) -> char {
    name.as_str().chars().find(|&c| c != '.').unwrap_or('_')
}

/// `[home]` or `[shell]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawPathRule {
    default: Option<Text>,
    r#override: Option<Text>,
}

impl RawPathRule {
    pub(super) fn check(&self) -> Result<PathRule, Problem> {
        let parse = |text: &Text| Template::parse(text.get_ref()).map_err(|e| Problem::at(text, e));
        let rule = PathRule {
            default: self.default.as_ref().map(parse).transpose()?,
            overriding: self.r#override.as_ref().map(parse).transpose()?,
        };
        if let (Some(text), Some(Template(parts))) = (&self.default, &rule.default)
            && parts.contains(&TemplatePart::Original)
        {
            return Err(Problem::at(
                text,
                "%o is the path in the directory, but the default is for users who have none \
                 there; use %u, or write it as override",
            ));
        }
        Ok(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str, name: &str, domain: &str, original: Option<&str>) -> Option<String> {
        let name = Name::parse(name).unwrap();
        let values = TemplateValues { name: &name, uid: Uid::new(1001).unwrap(), domain, original };
        Template::parse(template).unwrap().expand(&values).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn every_letter_stands_for_its_value() {
        let path = expand("/h/%d/%l/%u-%U%%", "alice", "example.org", None);
        assert_eq!(path.as_deref(), Some("/h/example.org/a/alice-1001%"));
        let path = expand("/nfs%o", "alice", "", Some("/home/alice"));
        assert_eq!(path.as_deref(), Some("/nfs/home/alice"));
    }

    #[test]
    fn a_missing_value_makes_no_path() {
        assert_eq!(expand("/h/%d/%u", "alice", "", None), None);
        assert_eq!(expand("%o", "alice", "example.org", None), None);
    }

    #[test]
    fn no_value_leads_out_of_the_folder() {
        assert_eq!(expand("/h/%d/%u", "alice", "../../etc", None), None);
        assert_eq!(expand("/h/%d/%u", "alice", "..", None), None);
        assert_eq!(expand("%o", "alice", "", Some("/home/../root")), None);
        assert_eq!(expand("/h/%l/%u", "..a", "", None).as_deref(), Some("/h/a/..a"));
    }

    #[test]
    fn a_path_that_could_not_stand_in_a_passwd_line_is_refused() {
        assert_eq!(expand("%o", "alice", "", Some("/home/a:b")), None);
        assert_eq!(expand("%o", "alice", "", Some("")), None);
        for bad in ["", "home/%u", "%u", "/a:b", "/a\n", "/%x", "/home/%", "/home/../%u"] {
            assert!(Template::parse(bad).is_err(), "{bad:?}");
        }
    }
}
