//! What nothing leads to any more.

use super::Sheet;
use crate::table::layout::{Key, Kind, low};

impl Sheet {
    /// How many words of these records nothing leads to any more. A record that only other
    /// names lead to is taken for dead: then the table is built anew too early.
    pub(super) fn dead(&self, mut left: Vec<u32>) -> usize {
        let aliased: Vec<u32> = left.iter().filter_map(|offset| self.target(*offset)).collect();
        left.extend(aliased);
        left.sort_unstable();
        left.dedup();
        let dead = left.into_iter().filter(|offset| !self.is_found(*offset));
        dead.filter_map(|offset| self.record(offset)?.length()).sum()
    }

    /// Where an alias leads.
    pub(in crate::table::writer) fn target(&self, offset: u32) -> Option<u32> {
        let record = self.record(offset).filter(|record| record.kind() == Some(Kind::Alias))?;
        record.word(1).map(low)
    }

    fn is_found(&self, offset: u32) -> bool {
        let mut name = [0; 255];
        let Some(record) = self.record(offset) else { return false };
        let id = record.word(1).map_or(0, low);
        let Some(name) = record.name(&mut name) else { return false };
        let keys = [
            Key::UserName(name),
            Key::GroupName(name),
            Key::GidsOf(name),
            Key::Uid(id),
            Key::Gid(id),
        ];
        keys.into_iter().any(|key| record.has_key(key) && self.find(key) == offset)
    }
}
