//! Makes lookups see the directory as it is.
//!
//! On demand, what is known of somebody is let go of, and everything, where that is flushed, is
//! kept for the case that nobody can be asked (`OUTDATED` in `age.rs`). Who asks next asks the directory, and
//! waits for it as long as a lookup may take. A replica reads everything anew.

use std::collections::BTreeSet;
use std::io;

use common::account::{Gid, Name, Uid};
use common::deadline::Deadline;
use common::directory::sync::GroupEntry;
use common::handle::Peer;
use common::protocol::{Flush, Phase, Refused, Response, Unavailable};
use common::table::writer::Change;
use common::table::{Found, Now};

use super::age::heard_at;
use super::{Asked, Cache, Known, LONG_AGO, OUTDATED};
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
    pub(in crate::daemon) fn flush(&mut self, flush: &Flush) -> bool {
        self.outdate();
        if self.population.is_some() {
            return false;
        }
        match flush {
            Flush::User(name) => self.forget_user(name),
            Flush::Group(name) => self.forget_group(name),
            Flush::All => self.outdate_everything(),
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
        let (names, uids) = self.names_and_ids(BTreeSet::from([name.clone()]), BTreeSet::new());
        self.forget(|asked, known| match known {
            Known::User(user) => uids.contains(&user.uid) || names.contains(&user.name),
            Known::Group(_) => true,
            Known::Absent => {
                matches!(asked, Asked::UserById(_) | Asked::GroupById(_))
            }
            Known::Gids(_) => matches!(asked, Asked::GroupsOf(of) if names.contains(of)),
        } || own.contains(asked));
    }

    /// Outdates what is known of users who were changed or added, of these names and ids, under
    /// each name and id. Their groups are news of their own.
    pub(super) fn doubt_users(&mut self, names: BTreeSet<Name>, uids: BTreeSet<Uid>) {
        self.see_to_the_memory();
        let (names, uids) = self.names_and_ids(names, uids);
        self.doubt(|asked, known| match (asked, known) {
            (_, Known::User(user)) => uids.contains(&user.uid) || names.contains(&user.name),
            (Asked::UserByName(name), _) => names.contains(name),
            (Asked::UserById(uid), _) => uids.contains(uid),
            _ => false,
        });
    }

    /// All names and ids of users who have one of these, as far as they are known.
    fn names_and_ids(
        &self,
        mut names: BTreeSet<Name>,
        mut uids: BTreeSet<Uid>,
    ) -> (BTreeSet<Name>, BTreeSet<Uid>) {
        // Another name of the same id may lead to yet another id, and so on.
        loop {
            let before = (uids.len(), names.len());
            self.for_each(|asked, known, _| {
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
                return (names, uids);
            }
        }
    }

    /// Lets go of a group under each name and id, and of all lists of groups: a member that was
    /// added isn't in the group that is known.
    pub(super) fn forget_group(&mut self, name: &Name) {
        self.see_to_the_memory();
        let own = Asked::GroupByName(name.clone());
        let mut gids = BTreeSet::new();
        self.for_each(|asked, known, _| match known {
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

    /// Outdates what is known of groups that have changed, under each name and id, and the lists of
    /// groups that say otherwise about who is in them. `old` are the ids that they had, or that
    /// groups have had that are gone.
    pub(super) fn doubt_groups(&mut self, changed: &[GroupEntry], mut old: BTreeSet<Gid>) {
        self.see_to_the_memory();
        let mut gids = BTreeSet::new();
        let mut names = BTreeSet::new();
        for entry in changed {
            gids.insert(entry.gid);
            names.extend(entry.names.iter().chain(&entry.name).cloned());
        }
        // A group that was known by another id.
        self.for_each(|asked, known, _| {
            let Known::Group(group) = known else { return };
            let by = matches!(asked, Asked::GroupByName(by) if names.contains(by));
            if by || names.contains(&group.name) {
                old.insert(group.gid);
            }
        });
        let members = |entry: &GroupEntry| -> BTreeSet<Name> {
            let listed = entry.members.iter().filter_map(|name| Name::parse(name).ok());
            listed.chain(entry.besides.iter().cloned()).collect()
        };
        let members: Vec<_> = changed.iter().map(|entry| (entry.gid, members(entry))).collect();
        let is_wrong = |of: &Name, gids: &[Gid]| {
            gids.iter().any(|gid| old.contains(gid) && !members.iter().any(|(new, _)| new == gid))
                || members.iter().any(|(gid, names)| gids.contains(gid) != names.contains(of))
        };
        self.doubt(|asked, known| match (asked, known) {
            (_, Known::Group(group)) => {
                gids.contains(&group.gid) || old.contains(&group.gid) || names.contains(&group.name)
            }
            (Asked::GroupsOf(of), Known::Gids(gids)) => is_wrong(of, gids),
            (Asked::GroupsOf(of), _) => is_wrong(of, &[]),
            (Asked::GroupByName(of), _) => names.contains(of),
            (Asked::GroupById(gid), _) => gids.contains(gid),
            _ => false,
        });
    }

    fn for_each(&self, mut each: impl FnMut(&Asked, &Known, u32)) {
        let Some(writer) = &self.writer else { return };
        writer.table().entries(|key, found: Found<'_>, expires| {
            if let (Some(asked), Some(known)) = (Asked::of_key(key), Known::of_found(&found)) {
                each(&asked, &known, expires);
            }
        });
    }

    /// Lets go of answers for good.
    fn forget(&mut self, which: impl Fn(&Asked, &Known) -> bool) {
        let all = self.all(|asked, known, _| which(asked, known));
        if let Some(writer) = &mut self.writer
            && all.iter().any(|(_, known)| !known.is_absent())
        {
            writer.leaves_out();
        }
        self.change(&all, |change, asked, _| change.remove(asked.key()));
    }

    /// Makes answers ones that count only when nobody can be asked.
    fn doubt(&mut self, which: impl Fn(&Asked, &Known) -> bool) {
        let all = self.all(|asked, known, _| which(asked, known));
        self.mark(&all, OUTDATED);
    }

    /// Doubts what was learned up to this moment, since the daemon's start. What was known before
    /// that is doubted already.
    pub(super) fn doubt_what_was_learned(&mut self, until: Now) {
        let Some(cache) = self.cache else { return };
        self.see_to_the_memory();
        let heard = |known: &Known, expires| heard_at(known, expires, &cache);
        let all = self.all(|_, known, expires| heard(known, expires).is_some_and(|at| at <= until));
        self.mark(&all, LONG_AGO);
    }

    /// Gives answers this mark, and lets go of absences.
    fn mark(&mut self, all: &[(Asked, Known)], mark: u32) {
        self.change(all, |change, asked, known| match known {
            Known::Absent => change.remove(asked.key()),
            known => change.put(known.fact(), &[asked.key()], mark),
        });
    }

    /// Those answers of which this is true; it is told when they expire, too.
    fn all(&self, which: impl Fn(&Asked, &Known, u32) -> bool) -> Vec<(Asked, Known)> {
        let mut all = Vec::new();
        self.for_each(|asked, known, expires| {
            if which(asked, known, expires) {
                all.push((asked.clone(), known.clone()));
            }
        });
        all
    }

    fn change(
        &mut self,
        all: &[(Asked, Known)],
        how: impl Fn(&mut Change<'_>, &Asked, &Known) -> io::Result<()>,
    ) {
        self.outdate();
        let Some(writer) = &mut self.writer else { return };
        let mut change = writer.change();
        let done = all.iter().try_for_each(|(asked, known)| how(&mut change, asked, known));
        if let Err(error) = done.and_then(|()| change.commit()) {
            // Without a table nobody sees what should have gone.
            self.has_no_room(&error);
        }
    }
}
