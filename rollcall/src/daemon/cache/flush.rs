//! Makes lookups see the directory as it is.
//!
//! On demand, what is known is let go of, and who asks next asks the directory. A replica
//! reads everything anew.

use std::collections::BTreeSet;

use common::account::Name;
use common::deadline::Deadline;
use common::handle::Peer;
use common::protocol::{Flush, Phase, Refused, Response, Unavailable};
use common::table::Found;

use super::{Asked, Cache, Known};
use crate::daemon::table::{Keeper, TableThread};

/// How often a flush is tried while the replica ends or begins anew.
const FLUSHES: usize = 3;

/// How far a flush came.
enum Flushed {
    Done,
    /// The replica ended, or began anew, meanwhile.
    NotYet,
    Failed(String),
}

impl Cache {
    /// Makes lookups see the directory as it is, and says whether it could.
    pub(super) async fn flush(&self, peer: Peer, flush: Flush, deadline: Deadline) -> Response {
        if !peer.is_root() {
            return Response::Refused(Refused::NotRoot);
        }
        // Who asks from now on doesn't get the answer of a search that began before.
        self.service.forget_searches();
        self.vain.clear();
        let Some(table) = self.table() else { return Response::Done };
        let work = async {
            for _ in 0..FLUSHES {
                match self.flush_once(table, &flush).await {
                    _ if self.is_stopped() => break,
                    Flushed::Done => return Response::Done,
                    Flushed::NotYet => {}
                    Flushed::Failed(why) => {
                        return Response::Unavailable(Unavailable::Flush(why));
                    }
                }
            }
            // What takes this one's place knows nothing of the flush.
            let why = "the configuration was read again meanwhile, or the copy was; try again";
            Response::Unavailable(Unavailable::Flush(why.into()))
        };
        let done = tokio::time::timeout_at(deadline.instant().into(), work).await;
        // Of a search that began before and ended meanwhile.
        self.vain.clear();
        done.unwrap_or(Response::Unavailable(Unavailable::TimedOut))
    }

    async fn flush_once(&self, table: &TableThread, flush: &Flush) -> Flushed {
        let wanted = flush.clone();
        let Some(is_forgotten) = table.run(move |keeper| keeper.flush(&wanted)).await else {
            return Flushed::Failed("the table can't be written; see the daemon's log".into());
        };
        match (is_forgotten, self.replica.phase()) {
            // The directory is asked for what was forgotten. A copy that is just being
            // read would bring it back.
            (true, Phase::Loading) => {
                self.replica.resync().await;
                Flushed::Done
            }
            // The next try to load it reads everything.
            (true, _) => Flushed::Done,
            // Whatever the replica has missed, this finds.
            (false, _) => {
                self.replica.resync().await;
                match (self.replica.failure(), self.replica.phase()) {
                    (Some(why), _) => Flushed::Failed(why),
                    (None, Phase::InStep) => Flushed::Done,
                    // Without it, what was to be forgotten is in the table.
                    (None, _) => Flushed::NotYet,
                }
            }
        }
    }
}

impl Keeper {
    /// Lets go of what was flushed, and says whether it could: while a replica keeps the table,
    /// nothing is let go of, and the replica has to read everything anew instead.
    pub(super) fn flush(&mut self, flush: &Flush) -> bool {
        self.outdate();
        if self.population.is_some() {
            return false;
        }
        match flush {
            Flush::User(name) => self.forget_user(name),
            Flush::Group(name) => self.forget_group(name),
            Flush::All => self.doubt_everything(),
            Flush::Offline => {}
        }
        true
    }

    /// Lets go of a user, under each name and under each id that the user has or had; and of
    /// all groups and lists of groups of that name: a group that the user was
    /// added to says nothing of that yet. An id's absence goes as well: it may be the user's.
    pub(super) fn forget_user(&mut self, name: &Name) {
        self.see_to_the_memory();
        let own = [Asked::UserByName(name.clone()), Asked::GroupsOf(name.clone())];
        let mut uids = BTreeSet::new();
        let mut names = BTreeSet::from([name.clone()]);
        // Another name of the same id may lead to yet another id, and so on.
        loop {
            let before = (uids.len(), names.len());
            self.for_each(|asked, known| {
                let Known::User(user) = known else { return };
                let by = match asked {
                    Asked::UserByName(by) => Some(by),
                    _ => None,
                };
                let is_meant = uids.contains(&user.uid)
                    || names.contains(&user.name)
                    || by.is_some_and(|by| names.contains(by));
                if is_meant {
                    uids.insert(user.uid);
                    names.insert(user.name.clone());
                    names.extend(by.cloned());
                }
            });
            if before == (uids.len(), names.len()) {
                break;
            }
        }
        self.forget(|asked, known| match known {
            Known::User(user) => uids.contains(&user.uid) || names.contains(&user.name),
            Known::Group(_) => true,
            Known::Absent => {
                matches!(asked, Asked::UserById(_) | Asked::GroupById(_))
            }
            Known::Gids(_) => matches!(asked, Asked::GroupsOf(of) if names.contains(of)),
        } || own.contains(asked));
    }

    /// Lets go of a group under each name and id, and of all lists of groups: a member that was
    /// added isn't in the group that is known.
    pub(super) fn forget_group(&mut self, name: &Name) {
        self.see_to_the_memory();
        let own = Asked::GroupByName(name.clone());
        let mut gids = BTreeSet::new();
        self.for_each(|asked, known| match known {
            Known::Group(group) if group.name == *name || *asked == own => {
                gids.insert(group.gid);
            }
            _ => {}
        });
        self.forget(|asked, known| match (asked, known) {
            (_, Known::Group(group)) => gids.contains(&group.gid) || group.name == *name,
            (Asked::GroupsOf(_), _) | (Asked::GroupById(_), Known::Absent) => true,
            _ => false,
        } || *asked == own);
    }

    fn for_each(&self, mut each: impl FnMut(&Asked, &Known)) {
        let Some(writer) = &self.writer else { return };
        writer.table().entries(|key, found: Found<'_>, _| {
            if let (Some(asked), Some(known)) = (Asked::of_key(key), Known::of_found(&found)) {
                each(&asked, &known);
            }
        });
    }

    fn forget(&mut self, which: impl Fn(&Asked, &Known) -> bool) {
        self.outdate();
        let mut gone = Vec::new();
        self.for_each(|asked, known| {
            if which(asked, known) {
                gone.push(asked.clone());
            }
        });
        let Some(writer) = &mut self.writer else { return };
        let mut change = writer.change();
        let removed = gone.iter().try_for_each(|asked| change.remove(asked.key()));
        if let Err(error) = removed.and_then(|()| change.commit()) {
            // Without a table nobody sees what should have gone.
            self.has_no_room(&error);
        }
    }
}
