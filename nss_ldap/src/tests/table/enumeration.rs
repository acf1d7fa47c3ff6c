//! Enumerations of a table.

use super::*;

impl Host {
    fn next(&self, size: usize) -> Result<String, Failure> {
        call::<User, _>(
            size,
            |target| {
                let ask = |_: &Request, _: Wait<'_>| panic!("the daemon was asked");
                next::<User>(target, self.shared, ask)
            },
            |user| text(user.pw_name),
        )
    }

    fn rest(&self) -> Vec<String> {
        let mut names: Vec<String> = std::iter::from_fn(|| self.next(1024).ok()).collect();
        names.sort_unstable();
        names
    }
}

#[test]
fn an_enumeration_of_the_table_is_complete_and_can_be_repeated() {
    let host = Host::new();
    let users: Vec<User> = (0..1000).map(numbered).collect();
    let _writer = host.publish(&users, &[]);
    let mut names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(host.rest(), names);
    assert_eq!(host.next(1024), Err(Failure::NotFound));
    reset::<User>().unwrap();
    assert_eq!(host.rest(), names);
}

#[test]
fn an_entry_of_the_table_that_does_not_fit_is_not_lost() {
    let host = Host::new();
    let users: Vec<User> = (0..9).map(numbered).collect();
    let _writer = host.publish(&users, &[]);
    let first = host.next(1024).unwrap();
    assert_eq!(host.next(3), Err(Failure::ShortBuffer));
    assert_eq!(host.next(9), Err(Failure::ShortBuffer));
    let rest = host.rest();
    assert!(rest.len() == 8 && !rest.contains(&first));
}

#[test]
fn an_enumeration_across_a_replaced_table_gives_each_user_once_and_lets_go() {
    let host = Host::new();
    let users: Vec<User> = (0..100).map(numbered).collect();
    let mut writer = host.publish(&users, &[]);
    let mut names: Vec<String> = (0..50).map(|_| host.next(1024).unwrap()).collect();
    writer.retire();
    drop(writer);
    let _next = host.publish(&users[..1], &[]);
    assert_eq!(host.maps(), 2, "the enumeration's and the writer's");
    names.append(&mut host.rest());
    assert_eq!(names.len(), 100);
    assert_eq!(BTreeSet::from_iter(names).len(), 100);
    assert_eq!(host.maps(), 1, "it is let go of at the end");
    reset::<User>().unwrap();
    assert_eq!(host.rest(), ["user0"]);
}

#[test]
fn an_enumeration_lets_go_of_the_table_when_it_is_left_or_its_thread_ends() {
    let host = Host::new();
    let _writer = host.publish(&[numbered(1), numbered(2)], &[]);
    host.next(1024).unwrap();
    let before = host.maps();
    reset::<User>().unwrap();
    assert_eq!(host.maps(), before - 1);
    thread::scope(|scope| {
        // Joined, so that the thread's own data is gone as well.
        scope.spawn(|| host.next(1024).unwrap()).join().unwrap();
    });
    assert_eq!(host.maps(), before - 1);
}
