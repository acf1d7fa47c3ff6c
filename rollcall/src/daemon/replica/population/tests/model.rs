//! The population against a model that knows the rules and nothing else: after each
//! batch it works out every key from all entries.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What happens to the directories.
#[derive(Debug, Clone)]
enum Event {
    User { directory: u16, id: u128, names: Vec<usize>, uid: u32 },
    Group { directory: u16, id: u128, names: Vec<usize>, gid: u32, members: Vec<usize> },
    NobodyUser { directory: u16, id: u128 },
    NobodyGroup { directory: u16, id: u128 },
    RemoveUsers { directory: u16, kept: Vec<u128> },
    RemoveGroups { directory: u16, kept: Vec<u128> },
    Publish,
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn event() -> impl Strategy<Value = Event> {
    let directory = || 0_u16..2;
    let id = || 0_u128..5;
    let names = |least| prop::collection::vec(0..NAMES.len(), least..3);
    let members = prop::collection::vec(0..NAMES.len(), 0..4);
    let kept = || prop::collection::vec(0_u128..5, 0..5);
    prop_oneof![
        4 => (directory(), id(), names(1), 1001..1004_u32)
            .prop_map(|(directory, id, names, uid)| Event::User { directory, id, names, uid }),
        4 => (directory(), id(), names(0), 2001..2004_u32, members).prop_map(
            |(directory, id, names, gid, members)| {
                Event::Group { directory, id, names, gid, members }
            }
        ),
        1 => (directory(), id()).prop_map(|(directory, id)| Event::NobodyUser { directory, id }),
        1 => (directory(), id()).prop_map(|(directory, id)| Event::NobodyGroup { directory, id }),
        1 => (directory(), kept())
            .prop_map(|(directory, kept)| Event::RemoveUsers { directory, kept }),
        1 => (directory(), kept())
            .prop_map(|(directory, kept)| Event::RemoveGroups { directory, kept }),
        3 => Just(Event::Publish),
    ]
}

/// All entries, in the order in which they win a key: by directory, own name and id.
#[derive(Default)]
struct Model {
    users: BTreeMap<(u16, u128), UserEntry>,
    groups: BTreeMap<(u16, u128), GroupEntry>,
}

impl Model {
    fn expected(&self) -> BTreeMap<String, String> {
        let mut users: Vec<_> = self.users.iter().collect();
        users.sort_by_key(|((directory, id), user)| (*directory, user.user.name.clone(), *id));
        let mut groups: Vec<_> = self.groups.iter().filter(|(_, g)| g.name.is_some()).collect();
        groups.sort_by_key(|((directory, id), group)| (*directory, group.name.clone(), *id));

        let mut facts = BTreeMap::new();
        let mut owners = BTreeMap::new();
        for (_, UserEntry { user, names }) in users {
            let fact = format!("{} {} {:?}", user.name, user.uid, self.gids_of(&user.name));
            facts.entry(format!("uid {}", user.uid)).or_insert(fact.clone());
            for name in names {
                facts.entry(format!("user {name}")).or_insert(fact.clone());
                owners.entry(name.as_str()).or_insert(user.name.as_str());
            }
        }
        for (_, group) in groups {
            let own = group.name.as_ref().unwrap();
            let fact = format!("{own} {} {:?}", group.gid, group.members);
            facts.entry(format!("gid {}", group.gid)).or_insert(fact.clone());
            for name in &group.names {
                facts.entry(format!("group {name}")).or_insert(fact.clone());
            }
        }
        for text in NAMES {
            let gids = self.gids_of(&name(text));
            if !gids.is_empty() && owners.get(text) != Some(&text) {
                facts.insert(format!("gids of {text}"), format!("{gids:?}"));
            }
        }
        facts
    }

    fn gids_of(&self, name: &Name) -> Vec<u32> {
        let lists = |group: &&GroupEntry| group.members.iter().any(|m| m == name.as_str());
        let mut gids: Vec<u32> =
            self.groups.values().filter(lists).map(|group| group.gid.get()).collect();
        gids.sort_unstable();
        gids.dedup();
        gids
    }
}

fn texts(names: &[usize]) -> Vec<&'static str> {
    let mut texts: Vec<&str> = Vec::new();
    for name in names {
        if !texts.contains(&NAMES[*name]) {
            texts.push(NAMES[*name]);
        }
    }
    texts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_table_always_says_what_the_rules_say(events in prop::collection::vec(event(), 0..40)) {
        let (mut kept, mut model) = (Kept::default(), Model::default());
        for event in events.into_iter().chain([Event::Publish]) {
            match event {
                Event::User { directory, id, names, uid } => {
                    let read = user(id, &texts(&names), uid);
                    kept = kept.user(directory, &read);
                    model.users.insert((directory, id), read.entry.unwrap());
                }
                Event::Group { directory, id, names, gid, members } => {
                    let members: Vec<&str> = members.iter().map(|at| NAMES[*at]).collect();
                    let read = group(id, &texts(&names), gid, &members);
                    kept = kept.group(directory, &read);
                    model.groups.insert((directory, id), read.entry.unwrap());
                }
                Event::NobodyUser { directory, id } => {
                    kept = kept.user(directory, &rejected(id));
                    model.users.remove(&(directory, id));
                }
                Event::NobodyGroup { directory, id } => {
                    kept = kept.group(directory, &rejected(id));
                    model.groups.remove(&(directory, id));
                }
                Event::RemoveUsers { directory, kept: ids } => {
                    kept = kept.only(Map::Users, directory, &ids);
                    model.users.retain(|(d, id), _| *d != directory || ids.contains(id));
                }
                Event::RemoveGroups { directory, kept: ids } => {
                    kept = kept.only(Map::Groups, directory, &ids);
                    model.groups.retain(|(d, id), _| *d != directory || ids.contains(id));
                }
                Event::Publish => {
                    kept.publish();
                    prop_assert_eq!(&kept.said.facts, &model.expected());
                    prop_assert_eq!(kept.publish(), 0, "nothing is left to publish");
                }
            }
        }
        prop_assert_eq!(kept.population.counts(), (model.users.len(), model.groups.len()));
    }
}
