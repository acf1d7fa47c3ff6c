//! How long a lookup waits for the daemon, and why.
//!
//! A socket says little. Whoever holds it accepts connections, and queues what is sent: systemd
//! while the daemon starts, and the kernel while the daemon hangs (stopped by a signal or a debugger, without
//! memory, waiting for a disk). Nobody can tell from a connection alone
//! whether it is worth waiting for. Three things tell more:
//!
//! * **The table's heart** ([`Heart`]). It beats while both of the daemon's threads go round. It goes on for at
//!   most [`PROMISE`](crate::table::layout::PROMISE) seconds after they don't.
//! * **Whether the request was read.** A daemon that lives reads at once, however long the directory takes
//!   for the answer. After [`PATIENCE`] an unread request lies before a daemon that hangs, or hasn't started.
//! * **What this process has met** (`hung`): one word, which a fork takes along.
//!
//! # The steps of a lookup
//!
//! 1. *A fresh table knows.* No wait, and nothing of what follows.
//! 2. *The heart beats.* The daemon lives: the lookup waits for its answer until the deadline.
//!    What was remembered of a hung daemon doesn't count.
//! 3. *There is no socket, or it refuses* (early boot, a daemon that was killed). Nobody is waited for, whatever
//!    is asked for: the old table answers, or it is "unavailable". So it is where the queue of a socket
//!    is full under a heart that has stopped.
//! 4. *Somebody may be there, and the heart doesn't beat.* The request is sent, and waits for
//!    [`PATIENCE`]; for [`LITTLE_PATIENCE`] where the heart stopped more than [`LONG_AGO`] seconds
//!    ago, as every process can see, a new one, too. If there is no answer by then:
//!    * Where the request was read under a heart of which nothing is known, the daemon lives, and
//!      may just have no room for a table: back to 2.
//!    * What the old table knows is answered from it ("can do without"): a user, a group, somebody's groups.
//!    * Whom a sealed copy doesn't have that had everybody when it was sealed nobody waits for either
//!      ("can do without"), and it is "unavailable": a host that boots asks for many users and groups that don't exist.
//!    * What it doesn't know is waited for until the deadline, once in this process. A daemon
//!      that is started by this very request takes a fraction of a second for its start, and
//!      a user who was made yesterday shouldn't be missing for that.
//! 5. *This process has waited in vain*, for its patience or for a whole deadline. For the next seconds nobody is
//!    asked: what the old table knows is answered at once. What it doesn't know is "unavailable" at once after a
//!    whole deadline; after a shorter wait it still has its one deadline. But where there is no heart that could
//!    begin to beat again, what isn't known is asked for all the same, for [`PATIENCE`] each time: nothing else
//!    would tell that the daemon is back.
//!    When these seconds are over (3, growing to 10), one lookup tries again as in 4, but no longer than its patience.
//!    An answer ends all this, and so does a heart that beats.
//!
//! An outage stays an outage: nothing in here turns it into "not found", it only comes sooner.
//!
//! **`initgroups` of a user of this host**, who is in no group of the directory, is asked at each login,
//! by `cron` and by `su`, and must not wait for a daemon that hangs. An old table that had everything
//! once, or in which it is written down that somebody is in no group, has an answer to that: there was none. It
//! can do without the daemon. What comes of it is "unavailable" all the same: somebody may have been put
//! into a group since then. Neither `getgrouplist(3)` nor `initgroups(3)` tells the two from each other,
//! and the groups of the host's own files are there in both cases.
//!
//! **Logins** and passwords have no table to fall back to, and are for the daemon alone. A login that
//! nobody reads is given up after [`UNREAD_LOGIN`], not after its whole deadline, and after
//! [`UNREAD_AGAIN`] in a process that has waited so long before.

use std::fmt;
use std::time::Duration;

use crate::deadline::{self, Deadline};
use crate::table::Heart;

/// How long a lookup that can do without the daemon waits for it, when its heart doesn't beat.
pub const PATIENCE: Duration = Duration::from_millis(200);
/// The same, when the heart stopped long ago.
pub const LITTLE_PATIENCE: Duration = Duration::from_millis(20);
/// So many seconds ago is long ago. No daemon takes so long to be started again.
pub const LONG_AGO: u32 = 10;
/// How long a login waits for somebody to read it.
pub const UNREAD_LOGIN: Duration = deadline::LOOKUP;
/// The same, in a process that has waited so long in vain.
pub const UNREAD_AGAIN: Duration = Duration::from_secs(1);

/// How long a lookup waits, see the head of this file.
pub struct Wait<'a> {
    /// The end of all waiting.
    pub deadline: Deadline,
    /// What the table says about its daemon.
    pub heart: Heart,
    /// Whether the caller can do without an answer; asked for after the patience, if at all.
    pub can_do_without: &'a mut dyn FnMut() -> bool,
}

impl Wait<'_> {
    /// When patience is over.
    pub(super) fn patience(&self) -> Deadline {
        self.deadline.at_most(match self.heart {
            Heart::Stopped(seconds) if seconds >= LONG_AGO => LITTLE_PATIENCE,
            _ => PATIENCE,
        })
    }

    /// Whether the daemon that had the table is known not to look after it.
    pub(super) fn has_stopped(&self) -> bool {
        matches!(self.heart, Heart::Stopped(_))
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deadline, heart, .. } = self;
        f.debug_struct("Wait").field("deadline", deadline).field("heart", heart).finish()
    }
}
