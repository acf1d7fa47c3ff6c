//! What a server was asked, from its log (`loglevel stats`).

use std::collections::HashSet;
use std::ops::Sub;

use super::READER;

/// What came over TCP; the harness's own requests come over the Unix socket.
/// slapd writes the line of a request before it answers, so an answered
/// request is always counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of LDAP's operations")]
pub struct Counts {
    pub connections: usize,
    pub searches: usize,
    /// Of the searches, those of the root DSE: what somebody asks of a server, not of people.
    pub root_searches: usize,
    pub binds: usize,
    /// Of the binds, those of [`READER`]: one for each connection that searches.
    pub reader_binds: usize,
    pub password_changes: usize,
}

impl Counts {
    pub(crate) fn of(log: &str) -> Self {
        let mut counts = Self::default();
        let mut ours = HashSet::new();
        let reader = format!(" BIND dn=\"{}\"", READER.0);
        for line in log.lines() {
            let Some((_, rest)) = line.split_once("conn=") else { continue };
            let Some((connection, what)) = rest.split_once(' ') else { continue };
            if what.contains("ACCEPT from PATH=") {
                ours.insert(connection);
            } else if what.contains("ACCEPT from IP=") {
                ours.remove(connection);
                counts.connections += 1;
            } else if ours.contains(connection) {
                // The harness itself.
            } else if what.contains(" SRCH base=") {
                counts.searches += 1;
                counts.root_searches += usize::from(what.contains(" SRCH base=\"\" scope=0 "));
            } else if what.contains(" BIND dn=") && what.contains(" method=") {
                counts.binds += 1;
                counts.reader_binds += usize::from(what.contains(&reader));
            } else if what.contains(" PASSMOD") {
                counts.password_changes += 1;
            }
        }
        counts
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            connections: self.connections - before.connections,
            searches: self.searches - before.searches,
            root_searches: self.root_searches - before.root_searches,
            binds: self.binds - before.binds,
            reader_binds: self.reader_binds - before.reader_binds,
            password_changes: self.password_changes - before.password_changes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_over_the_unix_socket_are_not_counted() {
        let log = "conn=1 fd=12 ACCEPT from PATH=/x (PATH=/x)\nconn=1 op=0 SRCH base=\"\"\n\
                   conn=2 fd=13 ACCEPT from IP=127.0.0.1:1 (IP=127.0.0.1:389)\n\
                   conn=2 op=1 BIND dn=\"uid=a\" method=128\n\
                   conn=2 op=1 BIND dn=\"uid=a\" mech=SIMPLE ssf=0\n\
                   conn=2 op=2 SRCH base=\"dc=x\" scope=2\n";
        let expected = Counts { connections: 1, searches: 1, binds: 1, ..Counts::default() };
        assert_eq!(Counts::of(log), expected);
    }

    #[test]
    fn what_a_connection_begins_with_is_counted_apart() {
        let log = "conn=2 fd=13 ACCEPT from IP=127.0.0.1:1 (IP=127.0.0.1:389)\n\
                   conn=2 op=1 BIND dn=\"cn=reader,dc=example,dc=org\" method=128\n\
                   conn=2 op=2 SRCH base=\"\" scope=0 deref=0 filter=\"(objectClass=*)\"\n\
                   conn=2 op=3 BIND dn=\"uid=a\" method=128\n\
                   conn=2 op=4 SRCH base=\"dc=x\" scope=2\n";
        let Counts { searches, root_searches, binds, reader_binds, .. } = Counts::of(log);
        assert_eq!([searches, root_searches, binds, reader_binds], [2, 1, 2, 1]);
    }
}
