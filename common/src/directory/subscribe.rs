//! Hears of changes as they happen (RFC 4533).
//!
//! A subscription has two parts. In the *refresh*, the server brings the subscriber up to
//! date: with everything there is, or, from a [`Cookie`] on, with what has changed since.
//! Then it *persists*, and each change comes when it happens. What came, in
//! which order and what follows from it is [`News`]; `telling.rs` makes it of what the
//! server said.
//!
//! **What is gone.** A server that knows what was deleted since the cookie says so
//! ([`News::Gone`]). One that doesn't names everything that is still there, changed or not,
//! and then says that this was all ([`News::PresentEnds`]). A refresh without a cookie is
//! of the second kind, even where the server doesn't say so.
//!
//! **Ids.** A deletion tells an id and nothing else. So an id must be the same whichever
//! way an entry comes, by subscription or by reading, and a server that calls an
//! entry otherwise than the entry itself does is of no use here. That is looked at in each
//! entry that shows its id.
//!
//! **Cookies** count only from the end of the refresh on: servers send some earlier, before
//! what they stand for (389 Directory Server: with the deletions, before the modifications).
//!
//! OpenLDAP takes another kind of server's for none, tells everything, and doesn't say that it was
//! all. So a cookie goes only to the kind of server that it came from.
//!
//! 389 Directory Server counts changes, in a log of its own: whether the content is still the one
//! that they were made to isn't in its cookie. After everything was loaded anew it goes on from any
//! number that it has reached, and doesn't say that all entries are others. So with its
//! cookie goes the id of the entry at the base. (One that was set back and has kept its
//! ids isn't noticed. OpenLDAP's cookies are the content's own change numbers.)
//!
//! **One server can't write its ids**: see `ldap/content_sync.rs`. Where some that are gone
//! can't be read, those that are there are read instead ([`Directory::ids`]), which says the
//! same the other way round: on the subscription's own server, as another one may be behind.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, Sender};

use super::Directory;
use super::sync::{self, EntryId, GroupEntry, Read, Seen, UserEntry};
use super::walk;
use crate::config::Scope;
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::connect::Connection;
use crate::ldap::content_sync::REQUEST;
use crate::ldap::error::{BUSY, UNAVAILABLE};
use crate::ldap::filter::Filter;
use crate::ldap::pool::Purpose;
use crate::ldap::search::{self, Entry, Search};
use crate::ldap::subscription::{Patience, Subscription};
use crate::protocol::Map;

mod telling;

use telling::Telling;

/// How long a server may take to be connected to, or for a page of ids.
const PATIENCE: Duration = Duration::from_secs(15);
/// After so much silence a server is asked whether it is there; so long it has to answer.
const PROBE: Patience =
    Patience { silence: Duration::from_secs(30), answer: Duration::from_secs(10) };

/// What is said of a server that [`Directory::supports_push`] says no to.
pub const TELLS_NOTHING: &str = "the server doesn't tell changes (RFC 4533; OpenLDAP: syncprov)";

/// A place in the history of a server's content, which only servers understand.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie {
    bytes: Vec<u8>,
    /// The entry at the base of what it is about, where the bytes don't say which content
    /// that was.
    base: Option<u128>,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cookie({})", self.bytes.escape_ascii())
    }
}

impl Cookie {
    /// One of these bytes, as a server gave them.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, base: None }
    }

    /// The one that stands for these change numbers of OpenLDAP, in the form that its own
    /// consumer is given at its start (slapd(8), option `-c`).
    pub(in crate::directory) fn of_numbers(numbers: &[String]) -> Option<Self> {
        let is_number = |byte: u8| byte.is_ascii_alphanumeric() || b".#".contains(&byte);
        let are_numbers = numbers.iter().all(|text| text.bytes().all(is_number));
        let cookie = || Self::from_bytes(format!("rid=000,csn={}", numbers.join(";")).into_bytes());
        (!numbers.is_empty() && are_numbers).then(cookie)
    }
}

/// What a subscription tells, in the server's order.
#[derive(Clone, Debug)]
pub enum News<T> {
    /// An entry is there, in this state: one of the refresh, or one that was added or modified.
    Entry(Read<T>),
    /// These are there, and unchanged since the cookie.
    Present(Vec<EntryId>),
    /// These are gone.
    Gone(Vec<EntryId>),
    /// What was neither an [`News::Entry`] nor [`News::Present`] since the subscription
    /// began is gone.
    PresentEnds,
    /// The refresh has ended; from here on changes come as they happen.
    Refreshed,
    /// From here a later subscription may go on; everything before it has been told.
    Cookie(Cookie),
}

/// Why a subscription ended, or never began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The server has nothing of the kind, refuses it to this identity, or does
    /// it in a way that is of no use; why.
    Unsupported(String),
    /// The cookie is of no use to this server: everything has to be read again.
    RefreshRequired,
    /// The connection or the server failed.
    Failed(LdapError),
}

impl std::fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsupported(why) => f.write_str(why),
            Self::RefreshRequired => f.write_str("the server wants everything read again"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SubscribeError {}

impl From<LdapError> for SubscribeError {
    fn from(error: LdapError) -> Self {
        Self::Failed(error)
    }
}

impl Directory {
    /// Whether the server says in its root DSE that it can tell changes (RFC 4533).
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn supports_push(&self, deadline: Deadline) -> Result<bool, LdapError> {
        let filter = &Filter::present("objectClass");
        let attributes = &["supportedControl"];
        let search = Search { base: "", scope: Scope::Base, filter, attributes, limit: 1 };
        let entries = self.search(search, Purpose::Lookup, deadline).await?;
        Ok(entries.iter().flat_map(|entry| entry.values(attributes[0])).any(|oid| oid == REQUEST))
    }

    /// Hears of the users: everything since the cookie, or everything there is,
    /// and then each change as it happens. What has come without waiting comes in one
    /// batch. Ends only with an error; ended as well when it is dropped.
    pub async fn subscribe_users(
        &self,
        cookie: Option<Cookie>,
        to: Sender<Vec<News<UserEntry>>>,
    ) -> SubscribeError {
        let domain = match self.users_domain(Deadline::after(PATIENCE)).await {
            Ok(domain) => domain,
            Err(error) => return error.into(),
        };
        let attributes = sync::with_marks(self.schema.user_attributes());
        let read = |entry: &Entry, seen| self.read_user(entry, seen, &domain);
        let what = (Map::Users, &self.schema.users(), attributes.as_slice());
        self.subscribe(what, cookie, read, to).await
    }

    /// Hears of the groups, likewise.
    pub async fn subscribe_groups(
        &self,
        cookie: Option<Cookie>,
        to: Sender<Vec<News<GroupEntry>>>,
    ) -> SubscribeError {
        let attributes = sync::with_marks(self.schema.group_attributes());
        let read = |entry: &Entry, seen| self.read_group(entry, seen);
        let what = (Map::Groups, &self.schema.groups(), attributes.as_slice());
        self.subscribe(what, cookie, read, to).await
    }

    async fn subscribe<T>(
        &self,
        (map, filter, attributes): (Map, &Filter, &[&str]),
        cookie: Option<Cookie>,
        read: impl Fn(&Entry, Seen) -> (Read<T>, usize),
        to: Sender<Vec<News<T>>>,
    ) -> SubscribeError {
        let deadline = Deadline::after(PATIENCE);
        let (base, scope) = match self.place_of(map, deadline).await {
            Ok(place) => place,
            Err(error) => return error.into(),
        };
        let mut place = match self.pool.reading_place(deadline).await {
            Ok(place) => place,
            Err(error) => return error.into(),
        };
        let origin = match Origin::of(base, &mut place.connection, deadline).await {
            Ok(origin) => origin,
            Err(error) => return error.into(),
        };
        if cookie.as_ref().is_some_and(|cookie| !origin.fits(cookie)) {
            return SubscribeError::RefreshRequired;
        }
        let mut telling = Telling::new(cookie.is_some(), origin.base);
        let search = Search { base, scope, filter, attributes, limit: 0 };
        let cookie = cookie.map(|cookie| cookie.bytes);
        let start = Subscription::start(&place.connection, search, cookie, PROBE);
        let mut subscription = match walk::until(deadline, start).await {
            Ok(subscription) => subscription,
            Err(error) => return error.into(),
        };
        let server = place.connection.server;
        let error = loop {
            if let Err(error) =
                self.hear(&mut subscription, &mut telling, (map, server), &read, &to).await
            {
                break error;
            }
        };
        if error == SubscribeError::Failed(LdapError::TimedOut) {
            self.pool.fell_silent(&place.connection, PROBE.answer);
        }
        error
    }

    /// Waits for the next thing that the server says, and tells it with all that has come
    /// besides.
    async fn hear<T>(
        &self,
        subscription: &mut Subscription<'_>,
        telling: &mut Telling<T>,
        of: (Map, usize),
        read: impl Fn(&Entry, Seen) -> (Read<T>, usize),
        to: &Sender<Vec<News<T>>>,
    ) -> Result<(), SubscribeError> {
        let mut next = subscription.next().await;
        let end = loop {
            match next {
                Ok(said) => telling.hear(said, &read)?,
                Err(end) => break Some(end),
            }
            if telling.is_full() || telling.owes_ids() {
                break None;
            }
            next = tokio::select! {
                biased;
                next = subscription.next() => next,
                () = std::future::ready(()) => break None,
            };
        };
        // What was said before an end is told before it.
        tell(telling, to).await?;
        if telling.owes_ids() {
            self.tell_ids(of, to).await?;
            telling.ids_are_told();
            tell(telling, to).await?;
        }
        end.map_or(Ok(()), |end| Err(telling.why(end)))
    }

    /// Tells which entries there are on this server. When another one has answered it fails before
    /// that was all, and nothing follows from what was told.
    async fn tell_ids<T>(
        &self,
        (map, server): (Map, usize),
        to: &Sender<Vec<News<T>>>,
    ) -> Result<(), LdapError> {
        let (sender, mut batches) = mpsc::channel::<Vec<Seen>>(1);
        let pass_on = async move {
            while let Some(batch) = batches.recv().await {
                let ids = batch.iter().map(|seen| seen.id).collect();
                if to.send(vec![News::Present(ids)]).await.is_err() {
                    return;
                }
            }
        };
        let (read, ()) = tokio::join!(self.ids(map, PATIENCE, sender), pass_on);
        if read?.server != server {
            return Err(LdapError::Connect("another server has taken over".into()));
        }
        Ok(())
    }
}

async fn tell<T>(telling: &mut Telling<T>, to: &Sender<Vec<News<T>>>) -> Result<(), LdapError> {
    let batch = telling.batch();
    if batch.is_empty() {
        return Ok(());
    }
    to.send(batch).await.map_err(|_| LdapError::Protocol("nobody wants the rest"))
}

/// What gives cookies.
struct Origin {
    /// Whether it is an OpenLDAP: that says so in its root DSE, and in its cookies.
    is_openldap: bool,
    /// Otherwise, the id of the entry at the base, if the reader may see it.
    base: Option<EntryId>,
}

impl Origin {
    async fn of(
        base: &str,
        connection: &mut Connection,
        deadline: Deadline,
    ) -> Result<Self, LdapError> {
        let filter = &Filter::present("objectClass");
        let scope = Scope::Base;
        let attributes = &["objectClass"];
        let search = Search { base: "", scope, filter, attributes, limit: 1 };
        let entries = search::run(connection, search, deadline).await?;
        let mut classes = entries.iter().flat_map(|entry| entry.values(attributes[0]));
        let is_openldap = classes.any(|class| class.eq_ignore_ascii_case("OpenLDAProotDSE"));
        if is_openldap {
            return Ok(Self { is_openldap, base: None });
        }
        let search = Search { base, scope, filter, attributes: &sync::IDS, limit: 1 };
        let base = id_of_base(search::run(connection, search, deadline).await)?;
        Ok(Self { is_openldap, base })
    }

    /// Whether a cookie came from there.
    fn fits(&self, cookie: &Cookie) -> bool {
        let is_openldaps =
            [b"rid=".as_slice(), b"csn="].iter().any(|it| cookie.bytes.starts_with(it));
        let is_another = self.base.zip(cookie.base).is_some_and(|(now, then)| now.0 != then);
        self.is_openldap == is_openldaps && !is_another
    }
}

/// `None`: there is no such entry, or this identity may not read it.
fn id_of_base(entries: Result<Vec<Entry>, LdapError>) -> Result<Option<EntryId>, LdapError> {
    match entries {
        Err(LdapError::Result(code, _)) if ![BUSY, UNAVAILABLE].contains(&code) => Ok(None),
        entries => Ok(entries?.first().and_then(sync::own_id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_that_may_not_be_read_is_no_reason_against_a_subscription() {
        for code in [10, 32, 50] {
            let refused = Err(LdapError::Result(code, String::new()));
            assert_eq!(id_of_base(refused), Ok(None), "{code}");
        }
        assert!(id_of_base(Err(LdapError::Result(BUSY, String::new()))).is_err());
        assert!(id_of_base(Err(LdapError::TimedOut)).is_err());
        let id: &[(&str, &[&str])] = &[("entryUUID", &["6ba7b810-9dad-11d1-80b4-00C04FD430c8"])];
        assert!(id_of_base(Ok(vec![Entry::of("dc=x", id)])).unwrap().is_some());
    }
}
