//! A writer that is killed leaves its file as it is at that moment. So whoever looks
//! after each single store sees all that could ever be left.

use std::cell::RefCell;
use std::sync::atomic::AtomicU64;

use super::super::Table;
use super::*;

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// What looks at the words of a table.
type Look = Box<dyn FnMut(&[AtomicU64])>;

/// Looks at a table after each store.
struct Watch {
    start: *const AtomicU64,
    look: Look,
}

/// The writer calls this after each store to the memory of a table.
pub(in super::super) fn after_store(words: &[AtomicU64]) {
    WATCH.with_borrow_mut(|watch| {
        if let Some(watch) = watch
            && watch.start == words.as_ptr()
        {
            (watch.look)(words);
        }
    });
}

const DOMAIN: [Key<'_>; 12] = [
    Key::UserName(b"alice"),
    Key::UserName(b"al"),
    Key::UserName(b"alicia"),
    Key::Uid(1000),
    Key::Uid(1001),
    Key::UserName(b"bob"),
    Key::Uid(1002),
    Key::GroupName(b"staff"),
    Key::Gid(50),
    Key::Gid(51),
    Key::GidsOf(b"alicia"),
    Key::GidsOf(b"local"),
];

type State = (Vec<Answer<Value>>, Vec<u32>);

/// Everything that can be seen.
fn state(table: Table<'_>) -> State {
    let view = table.fresh(NOW).unwrap();
    let answers = DOMAIN.iter().map(|key| answer(&view, *key)).collect();
    let (mut users, mut slot) = (Vec::new(), 0);
    while let Some((user, next)) = view.next_user(slot) {
        users.push(user.uid);
        slot = next;
    }
    users.sort_unstable();
    (answers, users)
}

/// The states that are seen after the stores of this change, without repetitions.
fn states(change: impl FnOnce(&mut Writer)) -> Vec<State> {
    use std::rc::Rc;
    let mut writer = published();
    let alice = user("alice", 1000);
    let bob = user("bob", 1002);
    let staff = group("staff", 50, &["alice"]);
    let mut first = writer.change();
    let names = [Key::UserName(b"alice"), Key::UserName(b"al"), Key::Uid(1000)];
    first.put(Fact::User(&alice, Some(&gids(&[50]))), &names, NEVER).unwrap();
    first.put(Fact::User(&bob, Some(&[])), &keys(&bob), NEVER).unwrap();
    first.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
    first.commit().unwrap();
    let seen = Rc::new(RefCell::new(vec![state(writer.table())]));
    let memory = writer.memory();
    let look = {
        let seen = Rc::clone(&seen);
        move |words: &[AtomicU64]| {
            let state = state(Table::new(words).unwrap());
            if seen.borrow().last() != Some(&state) {
                seen.borrow_mut().push(state);
            }
        }
    };
    WATCH.set(Some(Watch { start: memory.words().as_ptr(), look: Box::new(look) }));
    change(&mut writer);
    WATCH.set(None);
    assert_eq!(seen.borrow().last().unwrap(), &state(writer.table()));
    seen.take()
}

/// A renamed user with another id, another group, somebody removed, somebody new.
fn rename(change: &mut super::super::writer::Change<'_>) {
    let alicia = user("alicia", 1001);
    let staff = group("staff", 51, &["alicia", "local"]);
    change.remove(Key::UserName(b"alice")).unwrap();
    change.remove(Key::UserName(b"al")).unwrap();
    change.remove(Key::Uid(1000)).unwrap();
    // In between, it is somebody else.
    change.put(Fact::Absent, &[Key::UserName(b"alicia")], NEVER).unwrap();
    change.put(Fact::User(&alicia, Some(&gids(&[51]))), &keys(&alicia), NEVER).unwrap();
    change.remove(Key::Gid(50)).unwrap();
    change.put(Fact::Group(&staff), &group_keys(&staff), NEVER).unwrap();
    change.put(Fact::Gids(&gids(&[51])), &[Key::GidsOf(b"local")], NEVER).unwrap();
    change.remove(Key::UserName(b"bob")).unwrap();
    change.remove(Key::Uid(1002)).unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "far too many looks")]
fn a_writer_killed_at_any_store_leaves_the_old_state_or_the_new_one() {
    let states = states(|writer| {
        let mut change = writer.change();
        rename(&mut change);
        assert!(change.commit().unwrap());
    });
    assert_eq!(states.len(), 2);
    assert_ne!(states[0], states[1]);
}

#[test]
#[cfg_attr(miri, ignore = "far too many looks")]
fn a_writer_killed_while_it_drops_a_change_leaves_the_old_state() {
    let states = states(|writer| {
        let mut change = writer.change();
        rename(&mut change);
        drop(change);
    });
    assert_eq!(states.len(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "far too many looks")]
fn changes_after_a_dropped_one_are_whole_as_well() {
    let states = states(|writer| {
        let mut change = writer.change();
        rename(&mut change);
        drop(change);
        put(writer, &user("carol", 1003), None);
        let mut change = writer.change();
        rename(&mut change);
        change.commit().unwrap();
    });
    // The first one, the one with carol, the last one.
    assert_eq!(states.len(), 3);
}

#[test]
#[cfg_attr(miri, ignore = "far too many looks")]
fn a_writer_killed_while_it_fills_another_file_leaves_the_old_state() {
    let states = states(|writer| {
        let mut change = writer.change();
        rename(&mut change);
        for number in 0..200 {
            let absent = [Key::Uid(5000 + number), Key::Gid(5000 + number)];
            change.put(Fact::Absent, &absent, NEVER).unwrap();
        }
        drop(change);
    });
    assert_eq!(states.len(), 1);
}
