//! Anybody can have a password refused, as often as they like: that takes no offline login away,
//! but the password that is kept counts no more once it is refused.

use super::super::super::accepted::tests::{account, queue, secret};
use super::super::super::book::Welcome;
use super::super::super::record::tests::{LOGIN, policy};
use super::*;

/// A queue that knows that alice is kept with the password "right" since [`LOGIN`], and whose
/// thread is held up until the sender is dropped.
async fn kept() -> (tempfile::TempDir, Queue, mpsc::Sender<()>) {
    let (folder, queue) = queue();
    queue.ask(None, |book| book.read().unwrap()).await.unwrap();
    let release = hold(&queue);
    (folder, queue, release)
}

async fn holds(queue: &Queue) -> usize {
    queue.ask(Some(&name("alice")), |book| book.names().count()).await.unwrap()
}

fn keep_right(as_whom: &str) -> impl FnOnce(&mut Book) + Send + 'static {
    let as_whom = name(as_whom);
    move |book| {
        let (password, password_ends) = (secret("right"), None);
        let welcome = Welcome { account: account(), password, password_ends, login: LOGIN + 1 };
        book.keep(&as_whom, welcome, &policy(), LOGIN + 1);
    }
}

#[tokio::test]
async fn refused_passwords_make_nobody_forgotten_however_many_they_are() {
    let (_folder, queue, release) = kept().await;
    for number in 0..2 * MOST_OF_ONE {
        queue.doubt(whose("alice"), secret(&format!("mistyped {number}")));
    }
    drop(release);
    assert_eq!(holds(&queue).await, 1);
}

#[tokio::test]
async fn the_same_refused_password_takes_room_once() {
    let (_folder, queue, release) = kept().await;
    for _ in 0..2 * MOST_OF_ONE {
        queue.doubt(whose("alice"), secret("mistyped"));
    }
    queue.doubt(whose("alice"), secret("right"));
    drop(release);
    assert_eq!(holds(&queue).await, 0);
}

#[tokio::test]
async fn refused_passwords_of_strangers_take_no_room() {
    let (_folder, queue, release) = kept().await;
    for number in 0..2 * MOST_DOUBTS {
        queue.doubt(whose(&format!("u{number}")), secret("any"));
    }
    queue.doubt(whose("alice"), secret("right"));
    drop(release);
    assert_eq!(holds(&queue).await, 0);
}

#[tokio::test]
async fn a_password_that_is_refused_after_it_was_accepted_is_not_kept() {
    let (_folder, queue, release) = held();
    queue.owe(whose("alice"), Era(0), keep_right("alice"));
    queue.doubt(whose("alice"), secret("right"));
    drop(release);
    assert_eq!(holds(&queue).await, 0);
}

/// Under another name of the entry.
#[tokio::test]
async fn a_password_that_is_refused_again_after_it_was_accepted_is_not_kept() {
    let (_folder, queue, release) = kept().await;
    queue.doubt(whose("alice"), secret("right"));
    let alias = Whose { name: name("asmith"), ..whose("alice") };
    queue.owe(alias, Era(0), keep_right("asmith"));
    queue.doubt(whose("alice"), secret("right"));
    drop(release);
    assert_eq!(holds(&queue).await, 0);
}

#[tokio::test]
async fn a_renewal_that_there_is_no_room_for_is_left_out_and_nobody_is_forgotten() {
    let (_folder, queue, release) = kept().await;
    let (done, order) = mpsc::channel();
    for _ in 0..2 * MOST_OF_ONE {
        let done = done.clone();
        queue.renew(whose("alice"), move |_| done.send(()).unwrap());
    }
    drop((release, done));
    assert_eq!(order.iter().count(), MOST_OF_ONE);
    assert_eq!(holds(&queue).await, 1);
}

/// She logged in under another name than her entry's first one.
#[tokio::test]
async fn who_is_kept_under_another_name_is_forgotten_under_the_entrys_own() {
    let (_folder, queue, release) = held();
    queue.owe(whose("asmith"), Era(0), keep_right("asmith"));
    drop(release);
    queue.ask(Some(&name("asmith")), |_| ()).await.unwrap();
    assert_eq!(holds(&queue).await, 1);
    queue.forget(name("alice"), None);
    assert_eq!(holds(&queue).await, 0);
}

/// The daemon ends, and the disk or a crowd has taken the time.
#[tokio::test]
async fn those_for_whom_there_is_no_time_are_forgotten() {
    let (_folder, queue, release) = kept().await;
    let (done, order) = mpsc::channel();
    let also = done.clone();
    queue.owe(whose("alice"), Era(0), move |_| done.send("alice's hash").unwrap());
    queue.owe(whose("bob"), Era(0), move |_| also.send("bob's hash").unwrap());
    assert!(tokio::time::timeout(Duration::ZERO, queue.finish()).await.is_err());
    tokio::join!(queue.give_up(), async { drop(release) });
    assert_eq!(order.iter().count(), 0, "none of it is done");
    assert_eq!(holds(&queue).await, 0);
}

#[tokio::test]
async fn those_for_whom_nothing_is_owed_when_there_is_no_time_stay() {
    let (_folder, queue, release) = kept().await;
    queue.owe(whose("bob"), Era(0), |_| ());
    tokio::join!(queue.give_up(), async { drop(release) });
    assert_eq!(holds(&queue).await, 1);
}
