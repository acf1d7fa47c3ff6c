//! Lookups and enumerations with a source that needs no daemon.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::thread;

use common::account::{AbsolutePath, Field, Gid, Group, Name, Shadow, Uid, User};
use common::client::Wait;
use common::protocol::{Batch, Cursor, Map, Request, Response, Unavailable};
use common::table::shared::Shared;
use libc::c_char;

use crate::answer::{self, Record};
use crate::buffer::Target;
use crate::enumerate::{next, reset};
use crate::status::Failure;
use crate::table::Asked;

mod table;

/// A lookup where there is no table.
fn lookup<R: Record>(
    asked: Asked<'_>,
    mut target: Target<R::C>,
    ask: impl FnOnce(&Request, Wait<'_>) -> Response,
) -> Result<(), Failure> {
    answer::lookup::<R>(asked, &mut target, &NOWHERE, ask)
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn user(text: &str) -> User {
    User {
        name: name(text),
        uid: Uid::new(2000).unwrap(),
        gid: Gid::new(3000).unwrap(),
        gecos: Field::cleaned("Alice Ä."),
        home: AbsolutePath::parse("/home/alice").unwrap(),
        shell: AbsolutePath::parse("/bin/sh").unwrap(),
    }
}

fn group(members: usize) -> Group {
    let members: Vec<Name> = (0..members).map(|i| name(&format!("user{i}"))).collect();
    Group { name: name("staff"), gid: Gid::new(3000).unwrap(), members: members.iter().collect() }
}

fn by_name(text: &str) -> Asked<'_> {
    Asked::Name(Some(text.as_bytes()))
}

/// A host without a table.
static NOWHERE: Shared = Shared::new("/nonexistent/table", "/nonexistent/sealed");

/// Calls with a buffer of this size and reads what came back.
fn call<R: Record, T>(
    size: usize,
    call: impl FnOnce(Target<R::C>) -> Result<(), Failure>,
    read: impl FnOnce(R::C) -> T,
) -> Result<T, Failure> {
    let mut result = MaybeUninit::<R::C>::uninit();
    let mut buffer: Vec<c_char> = vec![0x55; size];
    // SAFETY: both live until the call is over, and nobody else uses them.
    let target = unsafe { Target::new(result.as_mut_ptr(), buffer.as_mut_ptr(), size) };
    call(target)?;
    // SAFETY: a call that succeeded has written it.
    Ok(read(unsafe { result.assume_init() }))
}

/// A string of an answer.
fn text(at: *mut c_char) -> String {
    // SAFETY: the answers' strings are NUL-terminated and in the call's buffer.
    unsafe { CStr::from_ptr(at) }.to_str().unwrap().to_owned()
}

/// The names of a list of members.
fn texts(mut list: *mut *mut c_char) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        // SAFETY: the list ends with a NULL, and this stops there.
        let at = unsafe { *list };
        if at.is_null() {
            return texts;
        }
        texts.push(text(at));
        // SAFETY: behind a place that isn't NULL there is another one.
        list = unsafe { list.add(1) };
    }
}

fn look_up(
    size: usize,
    asked: Asked<'_>,
    ask: impl Fn(&Request) -> Response,
) -> Result<String, Failure> {
    call::<User, _>(
        size,
        |target| lookup::<User>(asked, target, |request, _| ask(request)),
        |user| text(user.pw_name),
    )
}

#[test]
fn a_user_arrives_as_the_directory_has_it() {
    let fields = call::<User, _>(
        1024,
        |target| lookup::<User>(by_name("alice"), target, |_, _| Response::User(user("alice"))),
        |u| {
            let texts = [u.pw_name, u.pw_passwd, u.pw_gecos, u.pw_dir, u.pw_shell].map(text);
            (texts.join(":"), u.pw_uid, u.pw_gid)
        },
    );
    assert_eq!(fields, Ok(("alice:x:Alice Ä.:/home/alice:/bin/sh".into(), 2000, 3000)));
}

#[test]
fn a_shadow_entry_has_no_hash_and_minus_one_for_what_is_not_set() {
    let shadow = Shadow {
        name: name("alice"),
        last_change: Some(19_000),
        min: None,
        max: Some(90),
        warn: None,
        inactive: None,
        expire: None,
        flag: None,
    };
    let fields = call::<Shadow, _>(
        1024,
        |target| {
            let ask = |_: &Request, _: Wait<'_>| Response::Shadow(shadow.clone());
            lookup::<Shadow>(by_name("alice"), target, ask)
        },
        |s| (text(s.sp_pwdp), s.sp_lstchg, s.sp_min, s.sp_max, s.sp_warn, s.sp_expire, s.sp_flag),
    );
    assert_eq!(fields, Ok(("*".into(), 19_000, -1, 90, -1, -1, u64::MAX)));
}

/// glibc's loop: the buffer is doubled until the answer fits.
#[test]
fn a_group_of_fifty_thousand_members_costs_one_lookup() {
    let asked = Cell::new(0);
    let mut size = 1024;
    let members = loop {
        let outcome = call::<Group, _>(
            size,
            |target| {
                lookup::<Group>(by_name("staff"), target, |_, _| {
                    asked.set(asked.get() + 1);
                    Response::Group(group(50_000))
                })
            },
            |group| (text(group.gr_name), text(group.gr_passwd), texts(group.gr_mem)),
        );
        match outcome {
            Ok(answer) => break answer,
            Err(failure) => assert_eq!(failure, Failure::ShortBuffer),
        }
        size *= 2;
    };
    let expected: Vec<String> = group(50_000).members.iter().map(str::to_owned).collect();
    assert_eq!(members, ("staff".into(), "*".into(), expected));
    assert_eq!(asked.get(), 1);
}

#[test]
fn a_buffer_fits_exactly_from_the_size_that_is_needed() {
    let needed = "alice\0x\0Alice Ä.\0/home/alice\0/bin/sh\0".len();
    let ask = |_: &Request| Response::User(user("alice"));
    assert_eq!(look_up(needed - 1, by_name("alice"), ask), Err(Failure::ShortBuffer));
    assert_eq!(look_up(needed, by_name("alice"), ask), Ok("alice".into()));
}

#[test]
fn an_answer_that_did_not_fit_is_used_once() {
    let asked = Cell::new(0);
    let ask = |_: &Request| {
        asked.set(asked.get() + 1);
        Response::User(user("alice"))
    };
    assert_eq!(look_up(1, by_name("alice"), ask), Err(Failure::ShortBuffer));
    assert_eq!(look_up(1024, by_name("alice"), ask), Ok("alice".into()));
    assert_eq!(asked.get(), 1);
    assert_eq!(look_up(1024, by_name("alice"), ask), Ok("alice".into()));
    assert_eq!(asked.get(), 2);
}

#[test]
fn an_answer_that_did_not_fit_answers_nothing_else() {
    let ask = |_: &Request| Response::User(user("alice"));
    assert_eq!(look_up(1, by_name("alice"), ask), Err(Failure::ShortBuffer));
    assert_eq!(look_up(1024, by_name("bob"), |_| Response::NotFound), Err(Failure::NotFound));
    // It was let go by that call.
    assert_eq!(look_up(1024, by_name("alice"), |_| Response::NotFound), Err(Failure::NotFound));
}

/// Programs look users and groups up in turn; what is kept of a large group
/// must not stay until the next group.
#[test]
fn an_answer_that_did_not_fit_is_let_go_by_a_lookup_in_another_database() {
    let large = |answer: Response| {
        let request = by_name("staff");
        call::<Group, _>(9, |target| lookup::<Group>(request, target, |_, _| answer), |_| ())
    };
    assert_eq!(large(Response::Group(group(9))), Err(Failure::ShortBuffer));
    assert_eq!(look_up(1024, by_name("bob"), |_| Response::NotFound), Err(Failure::NotFound));
    assert_eq!(large(Response::NotFound), Err(Failure::NotFound));
}

#[test]
fn an_answer_that_did_not_fit_stays_in_its_thread() {
    let ask = |_: &Request| Response::User(user("alice"));
    assert_eq!(look_up(1, by_name("alice"), ask), Err(Failure::ShortBuffer));
    let elsewhere = thread::spawn(|| look_up(1024, by_name("alice"), |_| Response::NotFound));
    assert_eq!(elsewhere.join().unwrap(), Err(Failure::NotFound));
}

#[test]
fn not_found_and_an_outage_are_different_failures() {
    let request = || Asked::Id(2000);
    assert_eq!(look_up(1024, request(), |_| Response::NotFound), Err(Failure::NotFound));
    let outage = |_: &Request| Response::Unavailable(Unavailable::TimedOut);
    assert_eq!(look_up(1024, request(), outage), Err(Failure::Unavailable));
}

/// A directory of users in batches, as the daemon hands them out.
struct Batches {
    batches: Vec<Vec<User>>,
    asked: RefCell<Vec<Option<Cursor>>>,
}

impl Batches {
    fn new(batches: &[&[&str]]) -> Self {
        let batches = batches.iter().map(|names| names.iter().map(|n| user(n)).collect()).collect();
        Self { batches, asked: RefCell::default() }
    }

    fn answer(&self, request: &Request) -> Response {
        let Request::Enumerate(Map::Users, cursor) = request else { panic!("{request:?}") };
        self.asked.borrow_mut().push(*cursor);
        let number = cursor.map_or(0, |cursor| cursor.batch);
        let Some(entries) = self.batches.get(number as usize) else {
            return Response::Unavailable(Unavailable::Directory("gone".into()));
        };
        let next = (number as usize + 1 < self.batches.len() || self.is_cut())
            .then_some(Cursor { session: 1, batch: number + 1 });
        Response::Users(Batch { entries: entries.clone(), next })
    }

    /// An empty batch at the end stands for a directory that goes away there.
    fn is_cut(&self) -> bool {
        self.batches.last().is_some_and(Vec::is_empty)
    }

    fn next(&self, size: usize) -> Result<String, Failure> {
        call::<User, _>(
            size,
            |target| next::<User>(target, &NOWHERE, |request, _| self.answer(request)),
            |user| text(user.pw_name),
        )
    }

    fn rest(&self) -> (Vec<String>, Failure) {
        let mut names = Vec::new();
        loop {
            match self.next(1024) {
                Ok(name) => names.push(name),
                Err(failure) => return (names, failure),
            }
        }
    }
}

#[test]
fn an_enumeration_without_setpwent_is_complete_over_empty_batches() {
    let source = Batches::new(&[&["a", "b"], &[], &["c"]]);
    assert_eq!(source.rest().0, ["a", "b", "c"]);
    assert_eq!(source.asked.borrow().len(), 3);
}

#[test]
fn after_the_end_there_is_nothing_more_until_setpwent() {
    let source = Batches::new(&[&["a"]]);
    assert_eq!(source.rest(), (vec!["a".into()], Failure::NotFound));
    assert_eq!(source.rest(), (vec![], Failure::NotFound));
    reset::<User>().unwrap();
    assert_eq!(source.rest().0, ["a"]);
}

#[test]
fn setpwent_asks_for_nothing_and_starts_anew() {
    let source = Batches::new(&[&["a", "b"]]);
    assert_eq!(source.next(1024), Ok("a".into()));
    reset::<User>().unwrap();
    assert_eq!(source.asked.borrow().len(), 1);
    assert_eq!(source.rest().0, ["a", "b"]);
}

#[test]
fn an_entry_that_does_not_fit_is_not_lost() {
    let source = Batches::new(&[&["a"], &["b"]]);
    assert_eq!(source.next(1024), Ok("a".into()));
    assert_eq!(source.next(3), Err(Failure::ShortBuffer));
    assert_eq!(source.next(30), Err(Failure::ShortBuffer));
    assert_eq!(source.rest().0, ["b"]);
    assert_eq!(source.asked.borrow().len(), 2);
}

#[test]
fn an_outage_in_the_middle_neither_ends_nor_restarts_the_enumeration() {
    let source = Batches::new(&[&["a"], &["b"], &[]]);
    assert_eq!(source.rest(), (vec!["a".into(), "b".into()], Failure::Unavailable));
    let asked = source.asked.borrow().len();
    assert_eq!(source.rest(), (vec![], Failure::Unavailable));
    assert_eq!(source.asked.borrow().len(), asked);
    reset::<User>().unwrap();
    assert_eq!(source.next(1024), Ok("a".into()));
}

#[test]
fn a_panic_in_the_middle_does_not_restart_the_enumeration() {
    let source = Batches::new(&[&["a"]]);
    let panics = || {
        call::<User, _>(
            1024,
            |target| next::<User>(target, &NOWHERE, |_, _| panic!("on purpose")),
            |_| (),
        )
    };
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(source.rest(), (vec![], Failure::Unavailable));
}

#[test]
fn threads_do_not_disturb_each_others_enumerations() {
    let threads: Vec<_> = (0..32)
        .map(|_| {
            thread::spawn(|| {
                let source = Batches::new(&[&["a", "b", "c"], &["d"], &["e", "f"]]);
                source.rest().0
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), ["a", "b", "c", "d", "e", "f"]);
    }
}

#[test]
fn a_group_without_members_has_an_empty_list() {
    let members = call::<Group, _>(
        64,
        |target| {
            let ask = |_: &Request, _: Wait<'_>| Response::Group(group(0));
            lookup::<Group>(Asked::Id(3000), target, ask)
        },
        |group| texts(group.gr_mem),
    );
    assert_eq!(members, Ok(vec![]));
}
