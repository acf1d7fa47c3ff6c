//! Whom something is about.

use common::account::Name;

/// A user by the name of a login, and the entry's name if it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Whose {
    pub(super) name: Name,
    pub(super) dn: Option<String>,
}

impl Whose {
    /// Whether both may be about one user: they share the name or the entry.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        self.name == other.name || other.dn.as_deref().is_some_and(|dn| self.has_dn(dn))
    }

    /// Whether this is the entry's name, as far as that is known.
    pub(super) fn has_dn(&self, dn: &str) -> bool {
        self.dn.as_deref().is_some_and(|own| are_one_dn(own, dn))
    }
}

/// Whether two DNs are one: a server spells it in one way but for the case.
pub(super) fn are_one_dn(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}
