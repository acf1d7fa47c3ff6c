//! Searches: what is asked, and the entries that come back.

use ldap3::{ResultEntry, SearchOptions, SearchStream};
use tokio::time::timeout_at;

use super::connect::Connection;
use super::filter::Filter;
use super::{LdapError, error};
use crate::config::Scope;
use crate::deadline::Deadline;

pub use super::entry::Entry;

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

/// Runs a search on a connection. One that is given up, by its deadline or by
/// dropping this future, is abandoned on the server as well.
///
/// # Errors
/// [`LdapError`]; result codes other than success. That a base doesn't exist is
/// an error too ([`LdapError::is_no_such_object`]): it is the caller's to know
/// whether that is an answer.
pub async fn run(
    connection: &mut Connection,
    search: Search<'_>,
    deadline: Deadline,
) -> Result<Vec<Entry>, LdapError> {
    if deadline.is_over() {
        return Err(LdapError::TimedOut);
    }
    let result = timeout_at(deadline.instant().into(), run_unbounded(connection, search, deadline));
    result.await.unwrap_or(Err(LdapError::TimedOut)).map_err(|error| connection.explain(error))
}

async fn run_unbounded(
    connection: &mut Connection,
    search: Search<'_>,
    deadline: Deadline,
) -> Result<Vec<Entry>, LdapError> {
    let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
    let stream = connection
        .ldap
        .with_search_options(options(deadline).sizelimit(search.limit))
        .streaming_search(
            search.base,
            search.scope.into(),
            search.filter.as_str(),
            search.attributes,
        )
        .await?;
    let mut stream = Running::new(stream);
    let mut entries = Vec::new();
    while let Some(entry) = stream.next().await? {
        if entry.is_ref() || entry.is_intermediate() {
            continue; // A continuation reference: other servers' entries aren't followed.
        }
        if entries.len() >= limit {
            return Ok(entries); // The server ignores the limit.
        }
        entries.push(Entry::new(entry.0)?);
    }
    match stream.finish().await {
        result if result.rc == 0 => Ok(entries),
        // By our own limit. By the server's, entries that count may be missing.
        result if result.rc == error::SIZE_LIMIT_EXCEEDED && entries.len() >= limit => Ok(entries),
        result => Err(LdapError::Result(result.rc, result.text)),
    }
}

type Stream<'a> = SearchStream<'a, &'a str, &'a [&'a str]>;

/// A search that the server works on; abandoned (RFC 4511 section 4.11) if it is
/// dropped before its end, so that who hangs up leaves no work behind.
pub(super) struct Running<'a> {
    /// `None` after the end.
    stream: Option<Stream<'a>>,
    id: i32,
}

impl<'a> Running<'a> {
    pub(super) fn new(mut stream: Stream<'a>) -> Self {
        let id = stream.ldap_handle().last_id();
        Self { stream: Some(stream), id }
    }

    /// The number of its request.
    pub(super) fn id(&self) -> i32 {
        self.id
    }

    /// What comes next, `None` at the end, and not to be asked for again then. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<ResultEntry>, LdapError> {
        match &mut self.stream {
            Some(stream) => Ok(stream.next().await?),
            None => Ok(None),
        }
    }

    /// The result.
    pub(super) async fn finish(&mut self) -> ldap3::LdapResult {
        match self.stream.take() {
            Some(mut stream) => stream.finish().await,
            None => ldap3::LdapResult {
                rc: error::OTHER,
                matched: String::new(),
                text: String::new(),
                refs: Vec::new(),
                ctrls: Vec::new(),
            },
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let (id, mut ldap) = (self.id, stream.ldap_handle().clone());
        if id != 0
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { ldap.abandon(id).await });
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
