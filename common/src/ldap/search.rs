//! Searches: what is asked, and the entries that come back.

use std::collections::HashMap;

use ldap3::adapters::{Adapter, PagedResults};
use ldap3::{ResultEntry, SearchEntry, SearchOptions, SearchStream};
use tokio::time::timeout_at;

use super::connect::Connection;
use super::filter::Filter;
use super::{LdapError, error};
use crate::config::Scope;
use crate::deadline::Deadline;

/// A search that expects a few entries.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Where.
    pub base: &'a str,
    /// How deep.
    pub scope: Scope,
    /// Which entries.
    pub filter: &'a Filter,
    /// Which of their attributes; only what is needed.
    pub attributes: &'a [&'a str],
    /// More entries than this aren't wanted; those that came until then are given.
    pub limit: i32,
}

/// An entry with the attributes that were asked for.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Its distinguished name.
    pub dn: String,
    text: HashMap<String, Vec<String>>,
    binary: HashMap<String, Vec<Vec<u8>>>,
}

impl Entry {
    fn new(entry: ResultEntry) -> Self {
        let SearchEntry { dn, attrs, bin_attrs } = SearchEntry::construct(entry);
        Self { dn, text: attrs, binary: bin_attrs }
    }

    /// The values of an attribute that are text. Attribute names know no case
    /// (RFC 4512 section 2.5), and a server may answer in another than asked.
    pub fn values<'a>(&'a self, attribute: &str) -> impl Iterator<Item = &'a str> {
        let text = find(&self.text, attribute).into_iter().flatten().map(String::as_str);
        let rest = find(&self.binary, attribute).into_iter().flatten();
        text.chain(rest.filter_map(|value| str::from_utf8(value).ok()))
    }

    /// The first value of an attribute.
    pub fn value<'a>(&'a self, attribute: &str) -> Option<&'a str> {
        self.values(attribute).next()
    }

    /// An entry made up for a test.
    #[cfg(test)]
    pub(crate) fn of(dn: &str, attributes: &[(&str, &[&str])]) -> Self {
        let text = attributes
            .iter()
            .map(|(name, values)| {
                ((*name).to_owned(), values.iter().map(|v| (*v).to_owned()).collect())
            })
            .collect();
        Self { dn: dn.into(), text, binary: HashMap::new() }
    }
}

fn find<'a, V>(map: &'a HashMap<String, V>, attribute: &str) -> Option<&'a V> {
    map.get(attribute)
        .or_else(|| map.iter().find(|(k, _)| k.eq_ignore_ascii_case(attribute)).map(|(_, v)| v))
}

/// Runs a search on a connection. An entry of the base that doesn't exist is no
/// entries. A connection on which it timed out is retired.
///
/// # Errors
/// [`LdapError`]; result codes other than success.
pub async fn run(
    connection: &mut Connection,
    search: Search<'_>,
    deadline: Deadline,
) -> Result<Vec<Entry>, LdapError> {
    let result = timeout_at(deadline.instant().into(), run_unbounded(connection, search, deadline));
    result.await.unwrap_or_else(|_| {
        connection.retire();
        Err(LdapError::TimedOut)
    })
}

async fn run_unbounded(
    connection: &mut Connection,
    search: Search<'_>,
    deadline: Deadline,
) -> Result<Vec<Entry>, LdapError> {
    let mut stream = connection
        .ldap
        .with_search_options(options(deadline).sizelimit(search.limit))
        .streaming_search(
            search.base,
            search.scope.into(),
            search.filter.as_str(),
            search.attributes,
        )
        .await?;
    let mut entries = Vec::new();
    while let Some(entry) = stream.next().await? {
        if entry.is_ref() || entry.is_intermediate() {
            continue; // A continuation reference: other servers' entries aren't followed.
        }
        if entries.len() >= usize::try_from(search.limit).unwrap_or(usize::MAX) {
            // The server ignores the limit.
            connection.retire();
            return Ok(entries);
        }
        entries.push(Entry::new(entry));
    }
    match stream.finish().await {
        // sizeLimitExceeded: by our own limit.
        result if matches!(result.rc, 0 | 4) => Ok(entries),
        result if result.rc == error::NO_SUCH_OBJECT => Ok(Vec::new()),
        result => Err(LdapError::Result(result.rc, result.text)),
    }
}

/// A search through a whole map, page by page (RFC 2696).
pub struct Pages<'a> {
    stream: SearchStream<'a, &'a str, &'a [&'a str]>,
}

impl<'a> Pages<'a> {
    /// Starts one. The search's own limit doesn't count.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn start(
        connection: &mut Connection,
        search: Search<'a>,
        page_size: i32,
    ) -> Result<Self, LdapError> {
        let adapters: Vec<Box<dyn Adapter<'a, _, _>>> =
            vec![Box::new(PagedResults::new(page_size))];
        let stream = connection
            .ldap
            .streaming_search_with(
                adapters,
                search.base,
                search.scope.into(),
                search.filter.as_str(),
                search.attributes,
            )
            .await?;
        Ok(Self { stream })
    }

    /// The next entry, `None` after the last one.
    ///
    /// # Errors
    /// [`LdapError`]: an enumeration that the server cut short is never taken for complete.
    pub async fn next(&mut self) -> Result<Option<Entry>, LdapError> {
        while let Some(entry) = self.stream.next().await? {
            if !entry.is_ref() && !entry.is_intermediate() {
                return Ok(Some(Entry::new(entry)));
            }
        }
        let result = self.stream.finish().await;
        match result.rc {
            0 | error::NO_SUCH_OBJECT => Ok(None),
            code => Err(LdapError::Result(code, result.text)),
        }
    }
}

/// The server, too, is told how long an answer is wanted (RFC 4511 section 4.5.1.5).
fn options(deadline: Deadline) -> SearchOptions {
    let seconds = deadline.remaining_ms().div_ceil(1000);
    SearchOptions::new().timelimit(i32::try_from(seconds).unwrap_or(i32::MAX))
}

impl From<Scope> for ldap3::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Base => Self::Base,
            Scope::One => Self::OneLevel,
            Scope::Sub => Self::Subtree,
        }
    }
}
