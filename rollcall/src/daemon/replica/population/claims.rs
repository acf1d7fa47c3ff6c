//! Which entries claim a key.

use hashbrown::HashTable;

/// Hashes of keys, and the entries that claim them. Two keys may have the same hash: whoever asks
/// looks at the entries.
#[derive(Default)]
pub(super) struct Claims(HashTable<Claim>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Claim {
    hash: u32,
    entry: u32,
}

/// A hash of 32 bits as one of 64, of which the table uses both ends.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[expect(clippy::cast_possible_truncation, reason = "a half of a hash is a hash")]
fn half(hash: u64) -> u32 {
    hash as u32
}

impl Claims {
    /// An entry claims a key.
    pub(super) fn add(&mut self, hash: u64, entry: u32) {
        let claim = Claim { hash: half(hash), entry };
        self.0.insert_unique(spread(claim.hash), claim, |claim| spread(claim.hash));
    }

    /// An entry claims it no longer.
    pub(super) fn remove(&mut self, hash: u64, entry: u32) {
        let claim = Claim { hash: half(hash), entry };
        if let Ok(found) = self.0.find_entry(spread(claim.hash), |other| *other == claim) {
            found.remove();
        }
    }

    /// One of both.
    pub(super) fn change(&mut self, add: bool, hash: u64, entry: u32) {
        if add { self.add(hash, entry) } else { self.remove(hash, entry) }
    }

    /// The entries that may claim it.
    pub(super) fn of(&self, hash: u64) -> impl Iterator<Item = u32> {
        let hash = half(hash);
        let claims = self.0.iter_hash(spread(hash)).filter(move |claim| claim.hash == hash);
        claims.map(|claim| claim.entry)
    }

    /// How many claims there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
