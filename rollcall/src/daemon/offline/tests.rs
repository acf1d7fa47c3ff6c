//! What is remembered between the two questions of a login, and which password is kept in the end.

use super::accepted::tests::{accepted, account, queue, secret};
use super::record::tests::{policy, record};
use super::*;

/// Alice is kept with the password "right".
fn offline() -> (tempfile::TempDir, Offline) {
    let (folder, queue) = queue();
    (folder, Offline { queue, accepted: Moments::default(), shown: Moments::default() })
}

fn alice() -> Whose {
    Whose { name: record().user.name, dn: Some(record().dn) }
}

async fn holds(offline: &Offline) -> usize {
    let alice = alice().name;
    offline.queue.ask(Some(&alice), |book| book.names().count()).await.unwrap()
}

/// Whether this asker's account check has it kept.
fn keep(offline: &Offline, asker: u32) -> bool {
    let accepted = offline.accepted.take(&alice().name, asker);
    let is_kept = accepted.is_some();
    if let Some(accepted) = accepted {
        accepted.keep(account(), &Arc::new(policy()));
    }
    is_kept
}

#[tokio::test]
async fn an_older_password_is_not_kept_after_a_newer_one_however_late_its_account_check_comes() {
    let (_folder, offline) = offline();
    offline.accept(1, accepted(&offline.queue, "older"));
    offline.accept(2, accepted(&offline.queue, "newer"));
    assert!(keep(&offline, 2));
    assert!(!keep(&offline, 1));
    assert_eq!(holds(&offline).await, 1);
}

#[tokio::test]
async fn each_asker_of_the_same_password_has_it_kept() {
    let (_folder, offline) = offline();
    for asker in [1, 2] {
        offline.accept(asker, accepted(&offline.queue, "right"));
    }
    assert!(keep(&offline, 1) && keep(&offline, 2));
}

#[tokio::test]
async fn a_password_that_is_refused_before_the_account_check_is_not_kept() {
    let (_folder, offline) = offline();
    for (password, is_kept) in [("mistyped", true), ("right", false)] {
        offline.accept(1, accepted(&offline.queue, "right"));
        offline.refuse(alice(), secret(password));
        assert_eq!(keep(&offline, 1), is_kept, "{password}");
    }
}

/// The account check hasn't come yet, and never will.
#[tokio::test]
async fn a_daemon_that_ends_leaves_no_password_that_is_older_than_the_last_login() {
    let (_folder, offline) = offline();
    offline.accept(1, accepted(&offline.queue, "newer"));
    offline.finish(Duration::from_secs(60)).await;
    assert_eq!(holds(&offline).await, 0);
}
