//! A search through a whole map, page by page (RFC 2696).

use ldap3::LdapResult;
use ldap3::controls::{Control, ControlType, PagedResults, RawControl};

use super::bulk::Bulk;
use super::connect::Connection;
use super::message::Kind;
use super::search::{Entry, Search};
use super::{LdapError, error};

/// One. Each page's result counts: ldap3's own paging goes on wherever there is a cookie,
/// and would swallow an `adminLimitExceeded` in the middle.
///
/// The next page is asked for when the last one has come, whether all of it has been taken or not:
/// the server works on while this host does. So a page at most is ahead of the reader.
pub(crate) struct Pages<'a> {
    page_size: i32,
    /// The pages that are being read.
    page: Bulk<'a>,
    /// How it ends, once there is no further page.
    end: Option<Result<(), LdapError>>,
    /// Whether nothing but references is an answer.
    may_be_empty: bool,
    empty: bool,
    referred: bool,
}

impl<'a> Pages<'a> {
    /// Starts one, on a connection that is used for nothing else. The search's own limit
    /// doesn't count. `may_be_empty`: that nothing matches is an answer even if there are
    /// references to other servers.
    ///
    /// # Errors
    /// [`LdapError`]
    pub(crate) async fn start(
        connection: &Connection,
        search: Search<'a>,
        page_size: i32,
        may_be_empty: bool,
    ) -> Result<Self, LdapError> {
        let page = Bulk::start(connection, search, page(page_size, Vec::new())).await?;
        Ok(Self { page_size, page, end: None, may_be_empty, empty: true, referred: false })
    }

    /// The next entry, `None` after the last one.
    ///
    /// # Errors
    /// [`LdapError`]: an enumeration that the server cut short is never taken for complete.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, LdapError> {
        loop {
            if let Some(result) = self.page.result().await {
                self.ask_on(result).await?;
            }
            let Some(message) = self.page.next().await? else {
                match self.end.clone() {
                    // Everything lies elsewhere: that is not the same as nothing.
                    Some(Ok(())) if self.empty && self.referred && !self.may_be_empty => {
                        let why = "only references to other servers".into();
                        return Err(LdapError::Result(error::REFERRAL, why));
                    }
                    Some(end) => return end.map(|()| None),
                    None => {}
                }
                // It has come, unless somebody goes on after an error.
                let Some(result) = self.page.result().await else {
                    return Err(LdapError::Protocol("a page has no result"));
                };
                self.ask_on(result).await?;
                continue;
            };
            match message.kind {
                Kind::SearchEntry => {
                    self.empty = false;
                    return Entry::in_message(message.bytes).map(Some);
                }
                Kind::SearchReference => self.referred = true,
                _ => {}
            }
        }
    }

    /// Asks for the next page, if there is one after this result.
    async fn ask_on(&mut self, result: LdapResult) -> Result<(), LdapError> {
        let cookie = cookie(&result.ctrls);
        if result.rc != 0 {
            self.end = Some(Err(LdapError::Result(result.rc, result.text)));
        } else if cookie.is_empty() {
            self.end = Some(Ok(()));
        } else {
            self.page.ask_on(page(self.page_size, cookie)).await?;
        }
        Ok(())
    }
}

/// Asks for a page: the first one, or the one to which a cookie leads.
fn page(size: i32, cookie: Vec<u8>) -> RawControl {
    RawControl::from(PagedResults { size, cookie })
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
