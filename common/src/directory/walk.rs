//! Goes through a whole map, page by page, on a connection of its own.

use std::time::Duration;

use tokio::time::timeout_at;

use super::Directory;
use super::subscribe::Cookie;
use super::sync::Change;
use crate::config::Scope;
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::filter::Filter;
use crate::ldap::pages::Pages;
use crate::ldap::pool::OwnPlace;
use crate::ldap::search::{Entry, Search};
use crate::protocol::Map;

/// A walk through a map. The server has to keep up: each page has a time limit.
pub(super) struct Walk<'a> {
    pages: Pages<'a>,
    _place: OwnPlace,
    patience: Duration,
    page_size: usize,
    seen: usize,
    page_ends: Deadline,
    /// Which of the directory's servers is read.
    pub(super) server: usize,
    /// Of the server that is read, when it began; see `sync/change.rs`.
    pub(super) change: Option<Change>,
    /// From where a subscription goes on that is to miss nothing after it began.
    pub(super) cookie: Option<Cookie>,
}

/// Which entries a walk is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of a map. That there are only references to other servers says that something
    /// is wrong.
    All,
    /// Those that have changed, and there may be none.
    Some,
}

/// For whom it is.
#[derive(Clone, Copy)]
pub(super) enum Walker {
    /// Somebody who enumerates.
    Asker,
    /// The replica, which must not wait for those.
    Replica,
}

impl Directory {
    /// Starts a walk through the entries of a map that match a filter. `patience` is
    /// how long one page may take.
    pub(super) async fn walk<'a>(
        &'a self,
        map: Map,
        filter: &'a Filter,
        attributes: &'a [&'a str],
        patience: Duration,
        walker: Walker,
        extent: Extent,
    ) -> Result<Walk<'a>, LdapError> {
        let deadline = Deadline::after(patience);
        let (base, scope) = self.place_of(map, deadline).await?;
        let mut place = match walker {
            Walker::Asker => self.pool.own_place(deadline).await?,
            Walker::Replica => self.pool.reading_place(deadline).await?,
        };
        let change = match walker {
            Walker::Asker => None,
            Walker::Replica => self.change_on(&mut place.connection, deadline).await,
        };
        let server = place.connection.server;
        let (change, cookie) =
            change.map_or((None, None), |(change, cookie)| (Some(change), cookie));
        let search = Search { base, scope, filter, attributes, limit: 0 };
        let (page_size, may_be_empty) = (self.config.page_size, extent == Extent::Some);
        let start = Pages::start(&place.connection, search, page_size, may_be_empty);
        let pages = until(deadline, start).await?;
        let page_size = usize::try_from(self.config.page_size).unwrap_or(1).max(1);
        let page_ends = Deadline::after(patience);
        Ok(Walk {
            pages,
            _place: place,
            patience,
            page_size,
            seen: 0,
            page_ends,
            server,
            change,
            cookie,
        })
    }

    /// Where a map is searched, and how deep.
    pub(super) async fn place_of(
        &self,
        map: Map,
        deadline: Deadline,
    ) -> Result<(&str, Scope), LdapError> {
        let (base, scope) = match map {
            Map::Users | Map::Shadows => {
                (self.config.users.base.as_deref(), self.config.users.scope)
            }
            Map::Groups => (self.config.groups.base.as_deref(), self.config.groups.scope),
        };
        Ok((self.map_base(base, deadline).await?, scope))
    }
}

impl Walk<'_> {
    /// The next entry; `None` after the last one.
    ///
    /// # Errors
    /// [`LdapError`]: then the map was not read to its end.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>, LdapError> {
        let entry = until(self.page_ends, self.pages.next()).await?;
        self.seen += 1;
        if self.seen.is_multiple_of(self.page_size) {
            self.start_over();
        }
        Ok(entry)
    }

    /// Forgets the time that passed: it wasn't the server who needed it.
    pub(super) fn start_over(&mut self) {
        self.page_ends = Deadline::after(self.patience);
    }
}

/// Does it, or gives up at the deadline.
pub(super) async fn until<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, LdapError>>,
) -> Result<T, LdapError> {
    timeout_at(deadline.instant().into(), work).await.unwrap_or(Err(LdapError::TimedOut))
}
