//! Makes [`News`] of what a server says.

use super::{Cookie, News, SubscribeError};
use crate::directory::sync::{self, BATCH_BYTES, EntryId, ID_BYTES, Read, Seen};
use crate::ldap::content_sync::Ids;
use crate::ldap::error::{LdapError, REFERRAL};
use crate::ldap::search::Entry;
use crate::ldap::subscription::{Ended, Said, What};

/// The cookie is of no use (RFC 4533 section 2.6).
const REFRESH_REQUIRED: u32 = 4096;
/// What a server says to a cookie that it can't read.
const PROTOCOL_ERROR: u32 = 2;
/// What OpenLDAP says to a cookie from its own future: the server was set back, or set up anew.
const UNWILLING_TO_PERFORM: u32 = 53;

/// What was told, and what is to be told next.
#[expect(clippy::struct_excessive_bools, reason = "facts that don't exclude each other")]
pub(super) struct Telling<T> {
    batch: Vec<News<T>>,
    bytes: usize,
    /// The newest; told at the end of a batch, as everything before it is in there.
    cookie: Option<Vec<u8>>,
    /// The entry at the base, if cookies don't say which content they are about.
    base: Option<EntryId>,
    /// Whether it began from a cookie.
    resumed: bool,
    refreshed: bool,
    /// Whether it was told what is there altogether.
    present_ended: bool,
    /// Whether ids of entries that are gone couldn't be read.
    cut: bool,
    /// The refresh has ended, and what is there has to be read to tell what is gone.
    owes_ids: bool,
    heard_something: bool,
    referred: bool,
}

impl<T> Telling<T> {
    /// Nothing is told yet. `resumed`: it begins from a cookie. `base`: the entry that goes
    /// with each cookie.
    pub(super) fn new(resumed: bool, base: Option<EntryId>) -> Self {
        Self {
            batch: Vec::new(),
            bytes: 0,
            cookie: None,
            base,
            resumed,
            refreshed: false,
            present_ended: false,
            cut: false,
            owes_ids: false,
            heard_something: false,
            referred: false,
        }
    }

    /// Takes in what the server said next.
    ///
    /// # Errors
    /// [`SubscribeError`]: the subscription is of no use.
    pub(super) fn hear(
        &mut self,
        said: Said,
        read: impl Fn(&Entry, Seen) -> (Read<T>, usize),
    ) -> Result<(), SubscribeError> {
        // OpenLDAP has an empty one for who came with another server's; it leads nowhere.
        if let Some(cookie) = said.cookie.filter(|cookie| !cookie.is_empty()) {
            self.cookie = Some(cookie);
        }
        match said.what {
            What::Reference => self.referred = true,
            What::Entry(id, entry) => {
                self.heard_something = true;
                let id = EntryId(id);
                // From a cookie on, 389 Directory Server leaves out what is asked for by name;
                // whoever gave the cookie has shown the ids before.
                let own = sync::own_id(&entry);
                if own.map_or(!self.resumed, |own| own != id) {
                    return Err(SubscribeError::Unsupported(
                        "the server tells changes by ids that the reader can't see in the \
                         entries (entryUUID or nsUniqueId)"
                            .into(),
                    ));
                }
                let (item, size) = read(&entry, Seen { id, ..sync::marks(&entry) });
                self.tell(News::Entry(item), size);
            }
            What::Present(ids) => {
                self.heard_something = true;
                // An id that is there must not be taken for one that is gone.
                if ids.cut {
                    return Err(LdapError::Protocol("an id of an entry is cut off").into());
                }
                self.tell_ids(ids, false);
            }
            What::Gone(ids) => {
                if ids.cut && self.refreshed {
                    // From the last cookie on it is told once more, as part of a refresh.
                    return Err(LdapError::Protocol("an id of an entry is cut off").into());
                }
                self.cut |= ids.cut;
                self.tell_ids(ids, true);
            }
            What::PhaseEnds { present, done } if !self.refreshed => {
                self.phase_ends(present, done)?;
            }
            What::PhaseEnds { .. } | What::Nothing => {}
        }
        Ok(())
    }

    fn phase_ends(&mut self, present: bool, done: bool) -> Result<(), SubscribeError> {
        let all_told = present || (done && !self.resumed);
        if all_told && !self.present_ended {
            // Everything lies elsewhere: that is not the same as nothing.
            if self.referred && !self.heard_something {
                let why = "only references to other servers".into();
                return Err(LdapError::Result(REFERRAL, why).into());
            }
            self.present_ended = true;
            self.tell(News::PresentEnds, ID_BYTES);
        }
        if done {
            self.owes_ids = self.cut && !self.present_ended;
            if !self.owes_ids {
                self.refresh_ends();
            }
        }
        Ok(())
    }

    fn refresh_ends(&mut self) {
        self.refreshed = true;
        self.tell(News::Refreshed, ID_BYTES);
    }

    fn tell(&mut self, news: News<T>, size: usize) {
        self.batch.push(news);
        self.bytes += size;
    }

    fn tell_ids(&mut self, ids: Ids, gone: bool) {
        if ids.whole.is_empty() {
            return;
        }
        self.bytes += ID_BYTES * ids.whole.len();
        let ids = ids.whole.into_iter().map(EntryId);
        match (self.batch.last_mut(), gone) {
            (Some(News::Gone(told)), true) | (Some(News::Present(told)), false) => told.extend(ids),
            (_, true) => self.batch.push(News::Gone(ids.collect())),
            (_, false) => self.batch.push(News::Present(ids.collect())),
        }
    }

    /// Whether there is enough for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES
    }

    /// What is to be told now.
    pub(super) fn batch(&mut self) -> Vec<News<T>> {
        if self.refreshed
            && let Some(cookie) = self.cookie.take()
        {
            let base = self.base.map(|id| id.0);
            self.batch.push(News::Cookie(Cookie { bytes: cookie, base }));
        }
        self.bytes = 0;
        std::mem::take(&mut self.batch)
    }

    /// Whether the refresh can't end before the ids that are there have been told.
    pub(super) fn owes_ids(&self) -> bool {
        self.owes_ids
    }

    /// They have been told.
    pub(super) fn ids_are_told(&mut self) {
        self.owes_ids = false;
        self.present_ended = true;
        self.tell(News::PresentEnds, ID_BYTES);
        self.refresh_ends();
    }

    /// What the end of the subscription means.
    pub(super) fn why(&self, end: Ended) -> SubscribeError {
        let (code, text) = match end {
            Ended::Failed(error) => return error.into(),
            Ended::Stateless => {
                let why = "the server sends entries without saying what became of them";
                return SubscribeError::Unsupported(why.into());
            }
            Ended::Result(code, text) => (code, text),
        };
        match code {
            REFRESH_REQUIRED => SubscribeError::RefreshRequired,
            // Another kind of server's cookie, or one from a future that was undone.
            PROTOCOL_ERROR | UNWILLING_TO_PERFORM if self.resumed && !self.refreshed => {
                SubscribeError::RefreshRequired
            }
            0 if !self.refreshed => {
                let why = "the server ends the search instead of telling changes";
                SubscribeError::Unsupported(why.into())
            }
            0 => LdapError::Connect("the server ended the subscription".into()).into(),
            // Limits, and all ways of saying that this server, or this identity, can't.
            1..=4 | 7 | 8 | 11..=13 | 48..=50 | UNWILLING_TO_PERFORM if !self.refreshed => {
                SubscribeError::Unsupported(LdapError::Result(code, text).to_string())
            }
            _ => LdapError::Result(code, text).into(),
        }
    }
}

#[cfg(test)]
mod tests;
