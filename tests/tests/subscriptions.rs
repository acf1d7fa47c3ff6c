//! What a real server tells a subscription (RFC 4533), and how one ends.

mod ear;

use std::time::Duration;

use common::directory::subscribe::{News, SubscribeError};
use common::ldap::LdapError;
use ear::{Ear, reader};
use harness::{BASE, Directory, DirectoryBuilder, User};

fn user(name: &str, uid: u32) -> User {
    User::new(name).uid(uid)
}

fn dn(name: &str) -> String {
    user(name, 1).dn()
}

fn people() -> DirectoryBuilder {
    Directory::new().people([user("alice", 1001), user("bob", 1002), user("carol", 1003)])
}

/// A server, and a subscription that has been told everything.
fn following(directory: &Directory) -> Ear {
    let mut ear = Ear::new(&reader(directory), None);
    ear.refresh();
    ear
}

fn changes_come_as_they_happen(directory: &Directory) {
    let mut ear = Ear::new(&reader(directory), None);
    let told = ear.refresh();
    assert_eq!(told, ["alice /bin/sh", "bob /bin/sh", "carol /bin/sh", "nothing else"]);
    directory.add_user(&user("dave", 1004));
    assert_eq!(ear.next(), "dave /bin/sh");
    directory.replace(&dn("bob"), "loginShell", &["/bin/bash"]);
    assert_eq!(ear.next(), "bob /bin/bash");
    directory.rename(&dn("carol"), "uid=caroline");
    assert_eq!(ear.next(), "caroline /bin/sh");
    directory.delete(&dn("alice"));
    assert_eq!(ear.next(), "alice is gone");
    directory.delete(&dn("caroline"));
    assert_eq!(ear.next(), "caroline is gone", "the same entry as carol");
}

#[test]
fn each_change_is_told_when_it_happens() {
    changes_come_as_they_happen(&people().start());
}

#[test]
fn each_change_of_389_is_told_when_it_happens() {
    changes_come_as_they_happen(&people().ds389().start());
}

#[test]
fn a_389_tells_what_has_changed_since_the_cookie() {
    let told = a_resumed_one_tells_what_changed(&people().ds389().start());
    let told: Vec<_> = told.iter().filter(|text| !text.ends_with("is there")).collect();
    assert!(told.contains(&&"carol /bin/bash".to_owned()), "{told:?}");
    assert!(told.contains(&&"dave /bin/sh".to_owned()), "{told:?}");
    let gone = ["bob is gone".to_owned(), "nothing else".to_owned()];
    assert!(gone.iter().any(|text| told.contains(&text)), "{told:?}");
}

#[test]
fn an_entry_that_leaves_the_base_is_gone() {
    let directory = people()
        .ldif(&format!("dn: ou=old,{BASE}\nobjectClass: organizationalUnit\nou: old"))
        .start();
    let mut ear = Ear::new(
        &ear::reader_of(&directory, &format!("[directory.users]\nbase = \"ou=people,{BASE}\"\n")),
        None,
    );
    ear.refresh();
    directory.move_below(&dn("alice"), &format!("ou=old,{BASE}"));
    assert_eq!(ear.next(), "alice is gone");
    directory.move_below(&format!("uid=alice,ou=old,{BASE}"), &format!("ou=people,{BASE}"));
    assert_eq!(ear.next(), "alice /bin/sh");
}

#[test]
fn a_member_that_comes_or_goes_is_told_with_its_group() {
    let directory = people().group("crew", 2001, ["alice", "bob"]).start();
    let mut ear = Ear::of_groups(&reader(&directory), None);
    assert_eq!(ear.refresh(), ["crew alice bob", "nothing else"]);
    let crew = format!("cn=crew,ou=groups,{BASE}");
    directory.remove_value(&crew, "memberUid", "bob");
    assert_eq!(ear.next(), "crew alice");
    directory.add_value(&crew, "memberUid", "carol");
    assert_eq!(ear.next(), "crew alice carol");
}

/// What happened while nobody listened is told, and nothing else as news.
fn a_resumed_one_tells_what_changed(directory: &Directory) -> Vec<String> {
    let mut ear = following(directory);
    let (cookie, names) = ear.leave();
    directory.delete(&dn("bob"));
    directory.replace(&dn("carol"), "loginShell", &["/bin/bash"]);
    directory.add_user(&user("dave", 1004));
    let mut ear = Ear::knowing(&reader(directory), cookie, names);
    let told = ear.refresh();
    directory.delete(&dn("alice"));
    assert_eq!(ear.next(), "alice is gone");
    told
}

#[test]
fn a_server_with_a_log_tells_what_has_changed_since_the_cookie() {
    let told = a_resumed_one_tells_what_changed(&people().syncprov().start());
    assert_eq!(told, ["bob is gone", "carol /bin/bash", "dave /bin/sh"]);
}

#[test]
fn a_server_without_a_log_tells_what_has_changed_and_what_is_still_there() {
    let mut told = a_resumed_one_tells_what_changed(&people().start());
    assert!(told.contains(&"alice is there".to_owned()), "{told:?}");
    // That changed ones are there as well, it may say or not.
    told.retain(|text| !text.ends_with("is there"));
    assert_eq!(told, ["carol /bin/bash", "dave /bin/sh", "nothing else"]);
}

#[test]
fn where_nothing_changed_nothing_is_told() {
    let directory = people().start();
    let (cookie, names) = following(&directory).leave();
    let mut ear = Ear::knowing(&reader(&directory), cookie, names);
    assert!(ear.refresh().is_empty());
}

#[test]
fn a_reading_says_from_where_a_subscription_goes_on() {
    let directory = people().syncprov().start();
    // slapd has no number before the first change.
    directory.replace(&dn("bob"), "loginShell", &["/bin/zsh"]);
    let cookie = ear::read(&reader(&directory)).cookie;
    assert!(cookie.is_some());
    let mut ear = Ear::new(&reader(&directory), cookie.clone());
    assert!(ear.refresh().is_empty());
    directory.replace(&dn("carol"), "loginShell", &["/bin/bash"]);
    assert_eq!(ear.next(), "carol /bin/bash");
    let mut late = Ear::new(&reader(&directory), cookie);
    assert_eq!(late.refresh(), ["carol /bin/bash"]);
}

#[test]
fn a_cookie_of_the_distant_past_is_answered_with_everything() {
    let directory = people().start();
    directory.delete(&dn("bob"));
    let past = ear::cookie("rid=000,csn=20010101000000.000000Z#000000#000#000000");
    let mut ear = Ear::new(&reader(&directory), Some(past));
    assert_eq!(ear.refresh(), ["alice /bin/sh", "carol /bin/sh", "nothing else"]);
}

#[test]
fn a_cookie_of_the_future_or_of_another_kind_wants_everything_read_again() {
    let directory = people().start();
    directory.delete(&dn("bob"));
    for text in ["rid=000,csn=20990101000000.000000Z#000000#000#000000", "host:389#client#7"] {
        let ear = Ear::new(&reader(&directory), Some(ear::cookie(text)));
        assert_eq!(ear.end(), SubscribeError::RefreshRequired, "{text}");
    }
}

#[test]
fn a_server_that_was_set_up_anew_tells_everything() {
    let (cookie, names) = {
        let directory = people().start();
        let mut ear = following(&directory);
        directory.delete(&dn("bob"));
        ear.next();
        ear.leave()
    };
    let directory = people().start();
    let mut ear = Ear::knowing(&reader(&directory), cookie, names);
    // Some of them may be named once more, as being there.
    let mut told = ear.refresh();
    told.retain(|news| news != "somebody is there");
    assert_eq!(told, ["alice /bin/sh", "bob /bin/sh", "carol /bin/sh", "nothing else"]);
}

#[test]
fn a_389_that_was_loaded_anew_wants_everything_read_again() {
    let mut directory = people().ds389().start();
    let (cookie, _) = following(&directory).leave();
    directory.wipe(people());
    let ear = Ear::new(&reader(&directory), Some(cookie.expect("it was told")));
    assert_eq!(ear.end(), SubscribeError::RefreshRequired);
}

#[test]
fn a_server_without_the_overlay_is_no_source_of_news() {
    let directory = people().start();
    let reader = ear::reader_of(&directory, "[directory.users]\nbase = \"cn=config\"\n");
    let end = Ear::new(&reader, None).end();
    assert!(matches!(end, SubscribeError::Unsupported(_) | SubscribeError::Failed(_)), "{end:?}");
}

#[test]
fn a_server_says_that_it_tells_changes() {
    let directory = people().start();
    assert!(ear::supports(&reader(&directory)));
}

#[test]
fn a_killed_server_ends_the_subscription() {
    let mut directory = people().start();
    let ear = following(&directory);
    directory.kill();
    let end = ear.end();
    assert!(matches!(end, SubscribeError::Failed(LdapError::Connect(_))), "{end:?}");
}

#[test]
fn a_frozen_server_ends_the_subscription() {
    let directory = people().start();
    let ear = following(&directory);
    directory.freeze();
    assert_eq!(ear.end(), SubscribeError::Failed(LdapError::TimedOut));
}

#[test]
fn a_subscription_outlives_a_long_silence() {
    let directory = people().start();
    let mut ear = following(&directory);
    ear.nothing_for(Duration::from_secs(35));
    directory.delete(&dn("bob"));
    assert_eq!(ear.next(), "bob is gone");
}

#[test]
fn who_leaves_closes_the_connection() {
    let directory = people().start();
    let mut ear = following(&directory);
    ear.leave();
    harness::until(harness::PATIENCE, || directory.log().contains("closed").then_some(()))
        .expect("slapd says so");
}

#[test]
fn a_thousand_changes_are_all_told_in_order() {
    let directory = people().start();
    let mut ear = following(&directory);
    let changes: Vec<String> = (0..1000).map(|n| format!("/bin/{n}")).collect();
    let ldif: Vec<String> = changes
        .iter()
        .map(|shell| {
            format!(
                "dn: {}\nchangetype: modify\nreplace: loginShell\nloginShell: {shell}\n",
                dn("bob")
            )
        })
        .collect();
    directory.ldapmodify(&ldif.join("\n"));
    let told: Vec<String> = changes.iter().map(|_| ear.next()).collect();
    let wanted: Vec<String> = changes.iter().map(|shell| format!("bob {shell}")).collect();
    assert!(told == wanted, "{told:?}");
}

#[test]
fn everything_told_of_a_batch_comes_before_its_cookie() {
    let directory = people().start();
    let mut ear = following(&directory);
    directory.delete(&dn("bob"));
    ear.batch(|batch| {
        assert!(matches!(batch.last(), Some(News::Cookie(_))), "{batch:?}");
    });
}
