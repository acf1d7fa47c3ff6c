//! Where a directory is searched: as configured, else as the root DSE says.

use super::Directory;
use crate::config::Scope;
use crate::deadline::Deadline;
use crate::ldap::filter::Filter;
use crate::ldap::pool::Purpose;
use crate::ldap::search::Search;
use crate::ldap::{LdapError, dn};

impl Directory {
    /// The base of a map, or of the whole directory.
    pub(super) async fn map_base<'a>(
        &'a self,
        configured: Option<&'a str>,
        deadline: Deadline,
    ) -> Result<&'a str, LdapError> {
        match configured {
            Some(base) => Ok(base),
            None => self.base(deadline).await,
        }
    }

    /// The domain that the base of the users spells, for `%d`.
    pub(super) async fn users_domain(&self, deadline: Deadline) -> Result<String, LdapError> {
        let base = self.map_base(self.config.users.base.as_deref(), deadline).await?;
        Ok(dn::domain(base))
    }

    /// The base of the whole directory, if it is known so far.
    pub fn known_base(&self) -> Option<&str> {
        self.config.base.as_deref().or_else(|| self.base.get().map(String::as_str))
    }

    pub(super) async fn base(&self, deadline: Deadline) -> Result<&str, LdapError> {
        self.base
            .get_or_try_init(|| async {
                let dn = match &self.config.base {
                    Some(dn) => dn.clone(),
                    None => self.naming_context(deadline).await?,
                };
                Ok(dn)
            })
            .await
            .map(String::as_str)
    }

    /// The naming context that the root DSE calls the default, else the only
    /// one (RFC 4512 section 5.1). Never the root DN: a search from there would
    /// find whatever a server has besides (SSSD CVE-2026-14474).
    async fn naming_context(&self, deadline: Deadline) -> Result<String, LdapError> {
        let search = Search {
            base: "",
            scope: Scope::Base,
            filter: &Filter::present("objectClass"),
            attributes: &["defaultNamingContext", "namingContexts"],
            limit: 1,
        };
        let entries = self.search(search, Purpose::Lookup, deadline).await?;
        let root = entries.first();
        let named = |attribute| {
            root.into_iter()
                .flat_map(move |entry| entry.values(attribute))
                .filter(|dn| !dn.is_empty())
        };
        if let Some(dn) = named("defaultNamingContext").next() {
            return Ok(dn.to_owned());
        }
        let contexts: Vec<&str> = named("namingContexts").collect();
        match contexts[..] {
            [only] => Ok(only.to_owned()),
            [] => Err(LdapError::Configuration(
                "the server's root DSE names no search base: set \"base\" in [directory]".into(),
            )),
            _ => Err(LdapError::Configuration(format!(
                "the server has several search bases ({}): set \"base\" in [directory]",
                contexts.join(" and ")
            ))),
        }
    }
}
