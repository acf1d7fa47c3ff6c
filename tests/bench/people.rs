//! Who is in the directory of the benchmark. The number of users says all, so
//! that the program inside a host knows it as well as the one that loads it.
//!
//! With N users there are N/10 groups of some 50 members: each user is in five,
//! and has one of them as the primary group besides. The group `large` has the second half of
//! the users as members, at most 50,000; each sample of users below is from the
//! first half. The users `many` and `lots` are in 500 groups each, and every
//! program that shows their groups looks up all of those.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::ops::Range;
use std::path::Path;

use harness::BASE;

/// Groups that `many` and `lots` are in, each.
pub(crate) const MANY: u32 = 500;
/// Groups that an ordinary user is in, besides the primary one.
pub(crate) const FEW: u32 = 5;
/// Who is only there to see whether anybody answers.
pub(crate) const PROBE: &str = "probe";
/// The large group.
pub(crate) const LARGE: &str = "large";

const FIRST_UID: u32 = 100_000;
const FIRST_GID: u32 = 3_000_000;
const LARGE_GID: u32 = 5_000_000;
/// The gids of the groups of `many` and of `lots`.
const MANY_GIDS: [(&str, u32); 2] = [("many", 6_000_000), ("lots", 7_000_000)];
const OTHERS: [&str; 3] = ["many", "lots", PROBE];
const OTHER_ID: u32 = 90_000;

/// A directory with so many users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct People(pub(crate) u32);

/// Users that nobody has looked up before, for one measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample {
    /// Owners of the files of a folder; the first ones are in every directory.
    Owners,
    /// Looked up by name, then again and again.
    Lookups,
    /// Asked for their groups.
    Groups,
    /// Looked up by many processes.
    Processes,
    /// Logged in.
    Logins,
    /// Looked up for the plots.
    Plots,
}

/// A line of passwd or group.
struct Line {
    name: String,
    id: u32,
    gid: u32,
}

impl People {
    /// The name of a user, by number from 0 on.
    pub(crate) fn user(number: u32) -> String {
        format!("user{number:07}")
    }

    /// The uid of a user.
    pub(crate) fn uid(number: u32) -> u32 {
        FIRST_UID + number
    }

    /// The password of a user.
    pub(crate) fn password(user: &str) -> String {
        format!("secret of {user}")
    }

    /// The gid of an ordinary group.
    pub(crate) fn gid(group: u32) -> u32 {
        FIRST_GID + group
    }

    /// How many ordinary groups there are.
    pub(crate) fn groups(self) -> u32 {
        (self.0 / 10).max(FEW)
    }

    /// How many are in the large group.
    pub(crate) fn large(self) -> u32 {
        (self.0 / 2).min(50_000)
    }

    /// The users of a sample, at most 1000; those of two samples differ.
    pub(crate) fn sample(self, sample: Sample) -> Range<u32> {
        let size = (self.0 / 12).clamp(1, 1000);
        let first = size * sample as u32;
        first..first + size
    }

    /// The bytes that the members of all groups take as text, and how many there are.
    pub(crate) fn member_bytes(self) -> u64 {
        let named = u64::from(self.0) * u64::from(FEW) + u64::from(self.large());
        let name = Self::user(0).len() as u64 + 1;
        named * name + 2 * u64::from(MANY) * 5
    }

    fn users(self) -> impl Iterator<Item = Line> {
        let ordinary = (0..self.0).map(move |i| Line {
            name: Self::user(i),
            id: Self::uid(i),
            gid: Self::gid(i % self.groups()),
        });
        ordinary.chain((OTHER_ID..).zip(OTHERS).map(|(id, name)| Line {
            name: name.into(),
            id,
            gid: MANY_GIDS[0].1,
        }))
    }

    /// Each group's name, gid and members.
    fn all_groups(self) -> impl Iterator<Item = (String, u32, Vec<String>)> {
        let count = self.groups();
        let mut members = vec![Vec::new(); count as usize];
        for user in 0..self.0 {
            for which in 0..FEW {
                // Five different ones, spread over all of them.
                let group = (user + 1 + which * (count / FEW)) % count;
                members[group as usize].push(Self::user(user));
            }
        }
        let ordinary = (0..).zip(members).map(|(i, m)| (format!("group{i:06}"), Self::gid(i), m));
        let large = self.0 - self.large()..self.0;
        let large = (LARGE.to_owned(), LARGE_GID, large.map(Self::user).collect());
        let many = MANY_GIDS.into_iter().flat_map(|(name, first)| {
            (0..MANY).map(move |i| (format!("{name}{i:03}"), first + i, vec![name.to_owned()]))
        });
        ordinary.chain([large]).chain(many)
    }

    /// Writes all of them as LDIF.
    pub(crate) fn write_ldif(self, path: &Path) -> Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for Line { name, id, gid } in self.users() {
            let password = Self::password(&name);
            write!(
                file,
                "dn: uid={name},ou=people,{BASE}\nobjectClass: account\n\
                 objectClass: posixAccount\nobjectClass: shadowAccount\nuid: {name}\n\
                 cn: One Of Many\ngecos: One Of Many\nuidNumber: {id}\ngidNumber: {gid}\n\
                 homeDirectory: /home/{name}\nloginShell: /bin/bash\nuserPassword: {password}\n\n"
            )?;
        }
        for (name, gid, members) in self.all_groups() {
            write!(
                file,
                "dn: cn={name},ou=groups,{BASE}\nobjectClass: posixGroup\ncn: {name}\n\
                 gidNumber: {gid}\n"
            )?;
            for member in members {
                writeln!(file, "memberUid: {member}")?;
            }
            writeln!(file)?;
        }
        file.flush()
    }

    /// The same as lines of `passwd(5)` and `group(5)`.
    pub(crate) fn files(self) -> (String, String) {
        let passwd = self.users().map(|Line { name, id, gid }| {
            format!("{name}:x:{id}:{gid}:One Of Many:/home/{name}:/bin/bash\n")
        });
        let group =
            self.all_groups().map(|(name, gid, m)| format!("{name}:x:{gid}:{}\n", m.join(",")));
        (passwd.collect(), group.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: [Sample; 6] = [
        Sample::Owners,
        Sample::Lookups,
        Sample::Groups,
        Sample::Processes,
        Sample::Logins,
        Sample::Plots,
    ];

    #[test]
    fn nobody_is_in_two_samples_or_in_a_sample_and_the_large_group() {
        for people in [People(100), People(10_000), People(1_000_000)] {
            let mut ends: Vec<_> = SAMPLES.iter().map(|s| people.sample(*s)).collect();
            ends.sort_by_key(|range| range.start);
            assert!(ends.windows(2).all(|two| two[0].end <= two[1].start), "{ends:?}");
            assert!(ends[5].end <= people.0 - people.large());
        }
    }

    #[test]
    fn each_user_is_in_as_many_groups_as_is_said() {
        let people = People(300);
        let all: Vec<_> = people.all_groups().filter(|(name, ..)| name != LARGE).collect();
        let groups =
            |user: &str| all.iter().filter(|(_, _, m)| m.contains(&user.to_owned())).count();
        assert!((0..300).all(|i| groups(&People::user(i)) == FEW as usize));
        assert_eq!(groups("many"), MANY as usize);
        assert_eq!(groups("lots"), MANY as usize);
    }
}
