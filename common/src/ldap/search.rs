//! Searches: what is asked, and the entries that come back.

use lber::structure::StructureTag;
use ldap3::controls::{Control, ControlType, PagedResults, RawControl};
use ldap3::{Ldap, ResultEntry, SearchOptions, SearchStream};
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
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// Reads a `SearchResultEntry` (RFC 4511 section 4.5.2). The values' bytes stay where they are:
    /// ldap3's own reading copies each of them, and checks all of them for being text,
    /// which is most of the work where a whole directory is read.
    ///
    /// # Errors
    /// [`LdapError::Protocol`] if it is something else.
    pub(super) fn new(entry: StructureTag) -> Result<Self, LdapError> {
        Self::read(entry).ok_or(LdapError::Protocol("an entry that is none"))
    }

    fn read(entry: StructureTag) -> Option<Self> {
        let mut parts = entry.expect_constructed()?.into_iter();
        let dn = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
        let attributes = parts.next()?.expect_constructed()?;
        let attributes = attributes.into_iter().map(|attribute| {
            let mut parts = attribute.expect_constructed()?.into_iter();
            let name = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
            let values = parts.next()?.expect_constructed()?;
            let values = values.into_iter().map(StructureTag::expect_primitive);
            Some((name, values.collect::<Option<_>>()?))
        });
        Some(Self { dn, attributes: attributes.collect::<Option<_>>()? })
    }

    /// The values of an attribute that are text. Attribute names know no case
    /// (RFC 4512 section 2.5), and a server may answer in another than asked.
    pub fn values<'a>(&'a self, attribute: &str) -> impl Iterator<Item = &'a str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(name, _)| name.eq_ignore_ascii_case(attribute));
        let values = found.into_iter().flat_map(|(_, values)| values);
        values.filter_map(|value| str::from_utf8(value).ok())
    }

    /// The first value of an attribute.
    pub fn value<'a>(&'a self, attribute: &str) -> Option<&'a str> {
        self.values(attribute).next()
    }

    /// An entry made up for a test.
    #[cfg(test)]
    pub(crate) fn of(dn: &str, attributes: &[(&str, &[&str])]) -> Self {
        let attributes = attributes.iter().map(|(name, values)| {
            let values = values.iter().map(|value| value.as_bytes().to_vec());
            ((*name).to_owned(), values.collect())
        });
        Self { dn: dn.into(), attributes: attributes.collect() }
    }
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
    result.await.unwrap_or(Err(LdapError::TimedOut))
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
pub(super) struct Running<'a>(Option<Stream<'a>>);

impl<'a> Running<'a> {
    pub(super) fn new(stream: Stream<'a>) -> Self {
        Self(Some(stream))
    }

    /// What comes next, `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<ResultEntry>, LdapError> {
        match &mut self.0 {
            Some(stream) => Ok(stream.next().await?),
            None => Ok(None),
        }
    }

    /// The result.
    pub(super) async fn finish(&mut self) -> ldap3::LdapResult {
        match self.0.take() {
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
        let Some(mut stream) = self.0.take() else { return };
        let ldap = stream.ldap_handle();
        let (id, mut ldap) = (ldap.last_id(), ldap.clone());
        if id != 0
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { ldap.abandon(id).await });
        }
    }
}

/// A search through a whole map, page by page (RFC 2696). Each page's result
/// counts: ldap3's own paging goes on wherever there is a cookie, and would swallow
/// an `adminLimitExceeded` in the middle.
pub struct Pages<'a> {
    ldap: Ldap,
    search: Search<'a>,
    page_size: i32,
    /// The page that is being read.
    page: Running<'a>,
    /// Whether nothing but references is an answer.
    may_be_empty: bool,
    empty: bool,
    referred: bool,
}

impl<'a> Pages<'a> {
    /// Starts one. The search's own limit doesn't count. `may_be_empty`: that nothing
    /// matches is an answer even if there are references to other servers.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn start(
        connection: &mut Connection,
        search: Search<'a>,
        page_size: i32,
        may_be_empty: bool,
    ) -> Result<Self, LdapError> {
        let mut ldap = connection.ldap.clone();
        let page = page(&mut ldap, search, page_size, Vec::new()).await?;
        Ok(Self { ldap, search, page_size, page, may_be_empty, empty: true, referred: false })
    }

    /// The next entry, `None` after the last one.
    ///
    /// # Errors
    /// [`LdapError`]: an enumeration that the server cut short is never taken for complete.
    pub async fn next(&mut self) -> Result<Option<Entry>, LdapError> {
        loop {
            while let Some(entry) = self.page.next().await? {
                if entry.is_intermediate() {
                    continue;
                }
                if entry.is_ref() {
                    self.referred = true;
                    continue;
                }
                self.empty = false;
                return Entry::new(entry.0).map(Some);
            }
            let result = self.page.finish().await;
            if result.rc != 0 {
                return Err(LdapError::Result(result.rc, result.text));
            }
            let cookie = cookie(&result.ctrls);
            if cookie.is_empty() {
                break;
            }
            self.page = page(&mut self.ldap, self.search, self.page_size, cookie).await?;
        }
        // Everything lies elsewhere: that is not the same as nothing.
        if self.empty && self.referred && !self.may_be_empty {
            let why = "only references to other servers".into();
            return Err(LdapError::Result(error::REFERRAL, why));
        }
        Ok(None)
    }
}

/// Asks for a page: the first one, or the one to which a cookie leads.
async fn page<'a>(
    ldap: &mut Ldap,
    search: Search<'a>,
    size: i32,
    cookie: Vec<u8>,
) -> Result<Running<'a>, LdapError> {
    let (scope, filter) = (search.scope.into(), search.filter.as_str());
    let control = RawControl::from(PagedResults { size, cookie });
    let ldap = ldap.with_controls(control);
    let stream = ldap.streaming_search(search.base, scope, filter, search.attributes).await?;
    Ok(Running::new(stream))
}

/// Leads to the next page; empty: there is none.
fn cookie(controls: &[Control]) -> Vec<u8> {
    // Their values were checked when they came (`guard.rs`).
    let pages = controls.iter().find_map(|control| match control {
        Control(Some(ControlType::PagedResults), control) => Some(control.parse::<PagedResults>()),
        _ => None,
    });
    pages.map_or_else(Vec::new, |page| page.cookie)
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

#[cfg(test)]
mod tests {
    use lber::common::TagClass;
    use lber::structure::PL;

    use super::*;

    fn tag(id: u64, payload: PL) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload }
    }

    fn text(bytes: &[u8]) -> StructureTag {
        tag(4, PL::P(bytes.to_vec()))
    }

    fn list(parts: Vec<StructureTag>) -> StructureTag {
        tag(16, PL::C(parts))
    }

    #[test]
    fn values_that_are_no_text_are_passed_over() {
        let values = list(vec![text(b"alice"), text(b"\xff"), text(b"al")]);
        let entry = list(vec![text(b"uid=alice"), list(vec![list(vec![text(b"uid"), values])])]);
        let entry = Entry::read(entry).unwrap();
        assert_eq!(entry.dn, "uid=alice");
        assert_eq!(entry.values("UID").collect::<Vec<_>>(), ["alice", "al"]);
        assert_eq!(entry.value("cn"), None);
    }

    #[test]
    fn what_is_no_entry_is_an_error_and_no_panic() {
        let attribute = |parts| list(vec![text(b"dn"), list(vec![list(parts)])]);
        for entry in [
            text(b"dn"),
            list(vec![]),
            list(vec![text(b"dn")]),
            list(vec![text(b"\xff"), list(vec![])]),
            list(vec![list(vec![]), list(vec![])]),
            list(vec![text(b"dn"), text(b"")]),
            attribute(vec![]),
            attribute(vec![text(b"cn")]),
            attribute(vec![text(b"cn"), text(b"")]),
            attribute(vec![text(b"cn"), list(vec![list(vec![])])]),
        ] {
            assert!(Entry::read(entry.clone()).is_none(), "{entry:?}");
        }
    }
}
