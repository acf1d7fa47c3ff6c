//! The order that RFC 2782 wants: priorities one after the other, and within one
//! a lottery in which a server's weight is the number of its tickets.

/// A record of `_ldap._tcp.DOMAIN`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    /// Lower ones come first.
    pub(super) priority: u16,
    pub(super) weight: u16,
    /// A name, without a trailing dot, in lower case.
    pub(super) target: String,
    pub(super) port: u16,
}

/// Puts records into the order to try them. `draw` gives a number from 0 to the
/// given one, both included.
pub(super) fn order(mut records: Vec<Record>, mut draw: impl FnMut(u32) -> u32) -> Vec<Record> {
    // Those without weight stand before the others, so that they have a chance at all.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let equal = records.iter().take_while(|record| record.priority == priority);
        let sum = equal.map(|record| u32::from(record.weight)).sum();
        let drawn = draw(sum);
        let mut running = 0;
        let chosen = records.iter().position(|record| {
            running += u32::from(record.weight);
            running >= drawn
        });
        ordered.push(records.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> Record {
        Record { priority, weight, target: target.into(), port: 389 }
    }

    /// xorshift: the same numbers in each run.
    fn seeded() -> impl FnMut(u32) -> u32 {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        move |most| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u32::try_from(state % (u64::from(most) + 1)).unwrap()
        }
    }

    #[test]
    fn a_lower_priority_comes_first_whatever_the_weights() {
        let mut draw = seeded();
        for _ in 0..100 {
            let records = vec![record(20, 65535, "c"), record(10, 0, "a"), record(15, 1, "b")];
            let targets: Vec<_> = order(records, &mut draw).into_iter().map(|r| r.target).collect();
            assert_eq!(targets, ["a", "b", "c"]);
        }
    }

    #[test]
    fn a_server_of_three_times_the_weight_comes_first_three_times_as_often() {
        let mut draw = seeded();
        let first = (0..10_000)
            .filter(|_| {
                order(vec![record(0, 25, "a"), record(0, 75, "b")], &mut draw)[0].target == "b"
            })
            .count();
        assert!((7_300..7_700).contains(&first), "{first}");
    }

    #[test]
    fn a_server_without_weight_is_chosen_seldom_but_not_never() {
        let mut draw = seeded();
        let first = (0..10_000)
            .filter(|_| {
                order(vec![record(0, 9, "a"), record(0, 0, "b")], &mut draw)[0].target == "b"
            })
            .count();
        assert!((800..1_200).contains(&first), "{first}");
    }

    #[test]
    fn no_record_is_lost() {
        let records: Vec<_> =
            (0..50).map(|n| record(n % 3, n % 7, &format!("server{n:02}"))).collect();
        let mut ordered = order(records.clone(), seeded());
        assert_ne!(ordered, records);
        ordered.sort_by(|a, b| a.target.cmp(&b.target));
        assert_eq!(ordered, records);
    }
}
