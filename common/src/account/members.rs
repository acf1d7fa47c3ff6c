//! The members of a group.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::{self, Name, NameError};

/// The names of a group's members in one run, each followed by a NUL: the form
/// in which they lie in a caller's buffer, so that a group of 50,000 members
/// costs one copy and not 50,000 allocations.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Members {
    run: String,
    count: usize,
}

impl Members {
    /// Adds a name at the end.
    pub fn push(&mut self, name: &Name) {
        self.run.push_str(name.as_str());
        self.run.push('\0');
        self.count += 1;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The names, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.run.split_terminator('\0')
    }

    /// The run of NUL-terminated names itself.
    pub fn as_run(&self) -> &str {
        &self.run
    }
}

impl TryFrom<String> for Members {
    type Error = NameError;

    fn try_from(run: String) -> Result<Self, NameError> {
        if !run.is_empty() && !run.ends_with('\0') {
            return Err(NameError::Form);
        }
        let mut count = 0;
        for text in run.split_terminator('\0') {
            name::check(text)?;
            count += 1;
        }
        Ok(Self { run, count })
    }
}

impl From<Members> for String {
    fn from(members: Members) -> Self {
        members.run
    }
}

impl<'a> FromIterator<&'a Name> for Members {
    fn from_iter<I: IntoIterator<Item = &'a Name>>(names: I) -> Self {
        let mut members = Self::default();
        names.into_iter().for_each(|name| members.push(name));
        members
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Members {
        names.iter().map(|n| Name::parse(n).unwrap()).collect::<Vec<_>>().iter().collect()
    }

    #[test]
    fn members_keep_their_order_and_number() {
        let members = of(&["bob", "alice"]);
        assert_eq!(members.iter().collect::<Vec<_>>(), ["bob", "alice"]);
        assert_eq!(members.len(), 2);
        assert_eq!(members.as_run(), "bob\0alice\0");
    }

    #[test]
    fn members_survive_the_wire() {
        for members in [of(&[]), of(&["a"]), of(&["a", "b"])] {
            let wire = postcard::to_allocvec(&members).unwrap();
            assert_eq!(postcard::from_bytes::<Members>(&wire).unwrap(), members);
        }
    }

    #[test]
    fn a_run_with_a_bad_name_cannot_be_deserialized() {
        for run in ["a", "a\0b", "\0", "a\0\0", "a:b\0", "1000\0"] {
            let wire = postcard::to_allocvec(run).unwrap();
            assert!(postcard::from_bytes::<Members>(&wire).is_err(), "{run:?}");
        }
    }
}
