//! A search through a whole map, page by page (RFC 2696).

use ldap3::controls::{Control, ControlType, PagedResults, RawControl};

use super::bulk::Bulk;
use super::connect::Connection;
use super::message::Kind;
use super::search::{Entry, Search};
use super::{LdapError, error};

/// One. Each page's result counts: ldap3's own paging goes on wherever there is a cookie,
/// and would swallow an `adminLimitExceeded` in the middle.
pub(crate) struct Pages<'a> {
    page_size: i32,
    /// The page that is being read.
    page: Bulk<'a>,
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
        Ok(Self { page_size, page, may_be_empty, empty: true, referred: false })
    }

    /// The next entry, `None` after the last one.
    ///
    /// # Errors
    /// [`LdapError`]: an enumeration that the server cut short is never taken for complete.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, LdapError> {
        loop {
            while let Some(message) = self.page.next().await? {
                match message.kind {
                    Kind::SearchEntry => {
                        self.empty = false;
                        return Entry::in_message(message.bytes).map(Some);
                    }
                    Kind::SearchReference => self.referred = true,
                    _ => {}
                }
            }
            let result = self.page.finish().await;
            if result.rc != 0 {
                return Err(LdapError::Result(result.rc, result.text));
            }
            let cookie = cookie(&result.ctrls);
            if cookie.is_empty() {
                break;
            }
            self.page.start_over(page(self.page_size, cookie)).await?;
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
