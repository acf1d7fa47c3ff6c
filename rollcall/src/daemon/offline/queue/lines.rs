//! What is to be done, in which order, and for whom.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use common::secret::Secret;

use super::super::book::Book;
use super::super::hash::are_same;
use super::super::whose::Whose;
use super::{Era, MOST, MOST_DOUBTS, MOST_OF_ONE};

pub(super) type Work = Box<dyn FnOnce(&mut Book) + Send>;

/// Something to do.
pub(super) struct Item {
    pub(super) whose: Option<Whose>,
    pub(super) kind: Kind,
    pub(super) work: Work,
}

/// What something to do is about.
pub(super) enum Kind {
    /// Somebody waits for it, or it makes room.
    Urgent,
    /// A password that was accepted.
    Accepted,
    /// A password that was refused.
    Refused(Arc<Secret>),
    /// What an account is like now.
    Renewal,
}

#[derive(Default)]
pub(super) struct Lines {
    pub(super) first: VecDeque<Item>,
    pub(super) later: VecDeque<Item>,
    pub(super) rest_until: Option<Instant>,
    /// It rests no more.
    pub(super) is_in_a_hurry: bool,
    /// Whose work is being done.
    pub(super) at_work: Option<Whose>,
    pub(super) era: Era,
    /// Nothing is to be kept.
    pub(super) is_off: bool,
}

impl Item {
    /// Something that comes before what nobody waits for.
    pub(super) fn urgent(work: impl FnOnce(&mut Book) + Send + 'static) -> Self {
        Self { whose: None, kind: Kind::Urgent, work: Box::new(work) }
    }

    /// Whether it may be about this user.
    pub(super) fn is_of(&self, whose: &Whose) -> bool {
        self.whose.as_ref().is_some_and(|own| own.may_be(whose))
    }

    fn is_doubt(&self) -> bool {
        matches!(self.kind, Kind::Refused(_))
    }
}

impl Lines {
    /// Whether there is something to do for this user.
    pub(super) fn has_work_for(&self, whose: &Whose) -> bool {
        self.at_work.as_ref().is_some_and(|at_work| at_work.may_be(whose))
            || self.first.iter().chain(&self.later).any(|item| item.is_of(whose))
    }

    /// Takes out what is owed for a user, under each name of the entry, and tells for whom it was.
    pub(super) fn let_go_of(&mut self, whose: &Whose) -> Vec<Whose> {
        let own = self.later.iter().filter(|item| item.is_of(whose));
        let own: Vec<Whose> = own.filter_map(|item| item.whose.clone()).collect();
        let (gone, left): (VecDeque<Item>, _) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|item| own.iter().any(|whose| item.is_of(whose)));
        self.later = left;
        gone.into_iter().filter_map(|item| item.whose).collect()
    }

    /// Whether there is room for one more that isn't a doubt.
    pub(super) fn has_room_for(&self, whose: &Whose, is_alike: impl Fn(&Kind) -> bool) -> bool {
        let own = self.later.iter().filter(|item| item.is_of(whose) && is_alike(&item.kind));
        self.later.len() < MOST && own.count() < MOST_OF_ONE
    }

    /// Whether a refused password is to be looked at, and can be.
    pub(super) fn has_room_for_doubt(&self, whose: &Whose, password: &Secret) -> bool {
        let own = || self.later.iter().filter(|item| item.is_of(whose));
        let is_this = |item: &Item| match &item.kind {
            Kind::Refused(other) => are_same(other, password),
            _ => false,
        };
        self.later.iter().filter(|item| item.is_doubt()).count() < MOST_DOUBTS
            && own().filter(|item| item.is_doubt()).count() < MOST_OF_ONE
            // Once is enough, unless it was accepted meanwhile.
            && !own().rev().take_while(|item| item.is_doubt()).any(is_this)
    }
}
