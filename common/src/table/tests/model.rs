//! A table says what a map of what was put into it would say.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 6] = ["alice", "bob", "carol", "a-name-of-more-than-a-word", "e", "frederik"];

/// A key with memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OwnKey {
    UserName(usize),
    Uid(u32),
    GroupName(usize),
    Gid(u32),
    GidsOf(usize),
}

impl OwnKey {
    fn key(self) -> Key<'static> {
        match self {
            Self::UserName(name) => Key::UserName(NAMES[name].as_bytes()),
            Self::Uid(id) => Key::Uid(id),
            Self::GroupName(name) => Key::GroupName(NAMES[name].as_bytes()),
            Self::Gid(id) => Key::Gid(id),
            Self::GidsOf(name) => Key::GidsOf(NAMES[name].as_bytes()),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let names = 0..NAMES.len();
        names.flat_map(|n| {
            let id = 1000 + u32::try_from(n).unwrap();
            [Self::UserName(n), Self::Uid(id), Self::GroupName(n), Self::Gid(id), Self::GidsOf(n)]
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Value, Vec<OwnKey>),
    Remove(OwnKey),
}

#[derive(Clone, Debug)]
enum Act {
    Change(Vec<Step>, bool),
    Publish,
    Rebuild,
}

fn name() -> impl Strategy<Value = usize> {
    0..NAMES.len()
}

fn id() -> impl Strategy<Value = u32> {
    1000..1000 + u32::try_from(NAMES.len()).unwrap()
}

fn own_key() -> impl Strategy<Value = OwnKey> {
    prop_oneof![
        name().prop_map(OwnKey::UserName),
        id().prop_map(OwnKey::Uid),
        name().prop_map(OwnKey::GroupName),
        id().prop_map(OwnKey::Gid),
        name().prop_map(OwnKey::GidsOf),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // Long texts make a table full soon.
    let gecos = prop_oneof![Just(0usize), Just(5), Just(1000)];
    let groups = prop::option::of(prop::collection::btree_set(1u32..20, 0..4));
    let user_step = (name(), id(), gecos, groups, any::<[bool; 2]>(), name()).prop_map(
        |(name, id, gecos, groups, which, alias)| {
            let mut user = user(NAMES[name], id);
            user.gecos = Field::cleaned(&"g".repeat(gecos));
            let keys = [
                (which[0], OwnKey::UserName(name)),
                (which[1], OwnKey::Uid(id)),
                (!which[0], OwnKey::UserName(alias)),
            ];
            let keys = keys.into_iter().filter_map(|(is, key)| is.then_some(key)).collect();
            Step::Put(Value::User(user, groups.map(|ids| ids.into_iter().collect())), keys)
        },
    );
    let members = prop::collection::vec(name(), 0..4);
    let group_step =
        (name(), id(), members, any::<bool>()).prop_map(|(name, id, members, both)| {
            let members: Vec<&str> = members.into_iter().map(|name| NAMES[name]).collect();
            let mut keys = vec![OwnKey::Gid(id)];
            keys.extend(both.then_some(OwnKey::GroupName(name)));
            Step::Put(Value::Group(group(NAMES[name], id, &members)), keys)
        });
    prop_oneof![
        4 => user_step,
        2 => group_step,
        1 => (name(), prop::collection::btree_set(1u32..20, 1..9)).prop_map(|(name, ids)| {
            Step::Put(Value::Gids(ids.into_iter().collect()), vec![OwnKey::GidsOf(name)])
        }),
        1 => prop::collection::vec(own_key(), 1..3).prop_map(|keys| Step::Put(Value::Absent, keys)),
        3 => own_key().prop_map(Step::Remove),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => (prop::collection::vec(step(), 0..12), prop::bool::weighted(0.8))
            .prop_map(|(steps, commit)| Act::Change(steps, commit)),
        1 => Just(Act::Publish),
        1 => Just(Act::Rebuild),
    ]
}

type Model = BTreeMap<OwnKey, Value>;

fn check(view: &View<'_>, model: &Model) {
    for key in OwnKey::all() {
        let found = view.look(key.key()).map(|(found, _)| Value::from(found));
        assert_eq!(found.as_ref(), model.get(&key), "{key:?}");
    }
    let (mut users, mut slot) = (Vec::new(), 0);
    while let Some((user, next)) = view.next_user(slot) {
        users.push(user.to_user().unwrap());
        slot = next;
    }
    users.sort_by(|a, b| a.name.cmp(&b.name));
    let expected = model.iter().filter_map(|(key, value)| match (key, value) {
        (OwnKey::UserName(name), Value::User(user, _)) if user.name.as_str() == NAMES[*name] => {
            Some(user.clone())
        }
        _ => None,
    });
    let mut expected: Vec<User> = expected.collect();
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(users, expected);
}

fn apply(step: &Step, change: &mut super::super::writer::Change<'_>, model: &mut Model) {
    let (value, own_keys) = match step {
        Step::Remove(key) => {
            change.remove(key.key()).unwrap();
            model.remove(key);
            return;
        }
        Step::Put(value, keys) => (value, keys),
    };
    let keys: Vec<Key<'_>> = own_keys.iter().map(|key| key.key()).collect();
    match value {
        Value::User(user, groups) => {
            let groups = groups.as_deref().map(gids);
            change.put(Fact::User(user, groups.as_deref()), &keys, NEVER)
        }
        Value::Group(group) => change.put(Fact::Group(group), &keys, NEVER),
        Value::Gids(ids) => change.put(Fact::Gids(&gids(ids)), &keys, NEVER),
        Value::Absent => change.put(Fact::Absent, &keys, NEVER),
    }
    .unwrap();
    for key in own_keys {
        model.insert(*key, value.clone());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 40 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_table_says_what_was_put_into_it(
        acts in prop::collection::vec(act(), if cfg!(miri) { 1..6 } else { 1..40 }),
    ) {
        let mut writer = Writer::in_memory(Room::default()).unwrap();
        let mut model = Model::new();
        let mut is_published = false;
        for act in acts {
            match act {
                Act::Publish => {
                    writer.publish().unwrap();
                    is_published = true;
                }
                Act::Rebuild => writer.rebuild(|_, _, _| true).unwrap(),
                Act::Change(steps, commit) => {
                    let mut next = model.clone();
                    let mut change = writer.change();
                    for step in &steps {
                        apply(step, &mut change, &mut next);
                        if is_published {
                            // Readers see the old state until it is published.
                            let memory = change.memory();
                            let table = super::super::Table::new(memory.words()).unwrap();
                            check(&table.timeless().unwrap(), &model);
                        }
                        for key in OwnKey::all() {
                            let found = change.get(key.key()).map(Value::from);
                            assert_eq!(found.as_ref(), next.get(&key), "{key:?} in the change");
                        }
                    }
                    if commit {
                        change.commit().unwrap();
                        model = next;
                    }
                }
            }
            check(&writer.table().timeless().unwrap(), &model);
            let stats = writer.stats();
            assert_eq!(stats.keys, model.len());
            let mut listed = 0;
            writer.table().entries(|_, _, _| listed += 1);
            assert_eq!(listed, model.len());
        }
    }
}
