//! `[directory]`: the servers, who reads, and how connections are protected.

use serde::Deserialize;
use toml::Spanned;

use super::dn::dn;
use super::error::Problem;
use super::load::ReadSecret;
use super::maps::{RawGroups, RawUsers};
use super::text::{Text, Texts, choice, file_path, whole};
use super::{DirectoryConfig, Identity, SchemaKind, Server, Source, Tls};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDirectory {
    uri: Option<Spanned<Texts>>,
    base: Option<Text>,
    bind_dn: Option<Text>,
    bind_password_file: Option<Text>,
    reset_dn: Option<Text>,
    reset_password_file: Option<Text>,
    tls: Option<Text>,
    ca_file: Option<Text>,
    client_certificate: Option<Text>,
    client_key: Option<Text>,
    allow_cleartext_passwords: Option<Spanned<bool>>,
    schema: Option<Text>,
    page_size: Option<Spanned<i64>>,
    users: RawUsers,
    groups: RawGroups,
}

impl RawDirectory {
    /// Checks the section; `missing` makes the problem of a key that isn't there.
    pub(super) fn check(
        &self,
        missing: impl FnOnce(&str) -> Problem,
        read_secret: ReadSecret<'_>,
    ) -> Result<DirectoryConfig, Problem> {
        let uri = self.uri.as_ref().ok_or_else(|| {
            missing("uri is missing; expected a line such as uri = [\"ldap://ldap.example.org\"]")
        })?;
        let servers = servers(uri)?;
        let starttls = match &self.tls {
            Some(text) => choice(text, &[("starttls", true), ("off", false)])?,
            None => true,
        };
        self.check_protection(&servers, starttls)?;
        let client_certificate = both(
            ("client_certificate", self.client_certificate.as_ref()),
            ("client_key", self.client_key.as_ref()),
        )?
        .map(|(certificate, key)| Ok((file_path(certificate)?, file_path(key)?)))
        .transpose()?;
        let identity = |name, password| -> Result<Option<Identity>, Problem> {
            let Some((name, password)) = both(name, password)? else { return Ok(None) };
            let file = file_path(password)?;
            let dn = dn(name)?;
            let secret = read_secret(&file).map_err(|problem| Problem::at(password, problem))?;
            Ok(Some(Identity { dn, password: secret }))
        };
        Ok(DirectoryConfig {
            servers,
            base: self.base.as_ref().map(base).transpose()?,
            reader: identity(
                ("bind_dn", self.bind_dn.as_ref()),
                ("bind_password_file", self.bind_password_file.as_ref()),
            )?,
            resetter: identity(
                ("reset_dn", self.reset_dn.as_ref()),
                ("reset_password_file", self.reset_password_file.as_ref()),
            )?,
            tls: Tls {
                starttls,
                ca_file: self.ca_file.as_ref().map(file_path).transpose()?,
                client_certificate,
                allow_cleartext_passwords: self.allows_cleartext(),
            },
            schema: match &self.schema {
                Some(text) => choice(text, &[("rfc2307", SchemaKind::Rfc2307)])?,
                None => SchemaKind::Rfc2307,
            },
            users: self.users.check()?,
            groups: self.groups.check()?,
            page_size: match &self.page_size {
                Some(number) => whole(number, 1..=100_000)?,
                None => 500,
            },
        })
    }

    fn allows_cleartext(&self) -> bool {
        self.allow_cleartext_passwords.as_ref().is_some_and(|flag| *flag.get_ref())
    }

    /// What is said about TLS and passwords must agree with the servers, and no
    /// password may travel in clear unless that is written out.
    fn check_protection(&self, servers: &[Source], starttls: bool) -> Result<(), Problem> {
        let any = |wanted: bool| {
            servers.iter().any(|source| match source {
                Source::Server(Server::Tcp { implicit_tls, .. }) => *implicit_tls == wanted,
                Source::Server(Server::Unix(_)) => false,
                // Those are ldap:// servers.
                Source::Domain(_) => !wanted,
            })
        };
        let (plain, implicit) = (any(false), any(true));
        if let Some(tls) = self.tls.as_ref().filter(|_| !starttls && implicit) {
            return Err(Problem::at(
                tls,
                "\"off\" contradicts the ldaps:// server in uri; write ldap://, or leave tls out",
            ));
        }
        let clear = plain && !starttls;
        let flag = self.allow_cleartext_passwords.as_ref().filter(|flag| *flag.get_ref());
        if let Some(flag) = flag.filter(|_| !clear) {
            return Err(Problem::at(
                flag,
                "true has no effect: no connection is clear without an ldap:// (or srv:) server and \
                 tls = \"off\"; leave it out",
            ));
        }
        let protected = implicit || (plain && starttls);
        if !protected {
            let tls_only = [&self.ca_file, &self.client_certificate, &self.client_key];
            if let Some(key) = tls_only.into_iter().flatten().next() {
                let why = if clear { "tls is \"off\"" } else { "ldapi:// has no TLS" };
                return Err(Problem::at(
                    key,
                    format!("it would never be used: {why}; leave it out"),
                ));
            }
        }
        let binds = [&self.bind_dn, &self.reset_dn].into_iter().flatten().next();
        match binds.filter(|_| clear && !self.allows_cleartext()) {
            None => Ok(()),
            Some(bind) => Err(Problem::at(
                bind,
                "its password would travel in clear, because tls is \"off\"; use tls = \
                 \"starttls\", an ldaps:// or ldapi:// server, or (if you accept that everybody \
                 on the network can read passwords) allow_cleartext_passwords = true",
            )),
        }
    }
}

fn servers(uri: &Spanned<Texts>) -> Result<Vec<Source>, Problem> {
    match uri.get_ref() {
        Texts::One(text) => {
            Source::parse(text).map(|source| vec![source]).map_err(|e| Problem::at(uri, e))
        }
        Texts::Many(list) if list.is_empty() => {
            Err(Problem::at(uri, "expected at least one server, found an empty list"))
        }
        Texts::Many(list) => list
            .iter()
            .map(|text| Source::parse(text.get_ref()).map_err(|e| Problem::at(text, e)))
            .collect(),
    }
}

/// SSSD CVE-2026-14474: an empty base searches a whole server, other people's
/// entries included.
fn base(text: &Text) -> Result<String, Problem> {
    if text.get_ref().trim().is_empty() {
        return Err(Problem::at(
            text,
            "it is empty; expected where to search, such as \"dc=example,dc=org\"; leave the key \
             out to ask the server",
        ));
    }
    dn(text)
}

/// Two keys of which neither makes sense alone.
fn both<'a>(
    (first_key, first): (&str, Option<&'a Text>),
    (second_key, second): (&str, Option<&'a Text>),
) -> Result<Option<(&'a Text, &'a Text)>, Problem> {
    match (first, second) {
        (Some(first), Some(second)) => Ok(Some((first, second))),
        (None, None) => Ok(None),
        (Some(alone), None) => {
            Err(Problem::at(alone, format!("{second_key} is missing; write both or neither")))
        }
        (None, Some(alone)) => {
            Err(Problem::at(alone, format!("{first_key} is missing; write both or neither")))
        }
    }
}
