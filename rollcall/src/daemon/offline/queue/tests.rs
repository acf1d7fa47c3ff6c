mod refused;

use std::sync::mpsc;

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn whose(text: &str) -> Whose {
    Whose { name: name(text), dn: Some(format!("uid={text},dc=x")) }
}

/// A queue whose thread is held up until the sender is dropped.
fn held() -> (tempfile::TempDir, Arc<Queue>, mpsc::Sender<()>) {
    let folder = tempfile::tempdir().unwrap();
    let queue = Arc::new(Queue::start(Book::new(folder.path())).unwrap());
    let release = hold(&queue);
    (folder, queue, release)
}

fn hold(queue: &Queue) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (running, runs) = mpsc::channel();
    queue.owe(whose("holder"), queue.era(), move |_| {
        running.send(()).unwrap();
        let _ = held.recv();
    });
    runs.recv().unwrap();
    release
}

#[tokio::test]
async fn who_waits_comes_before_what_is_owed_to_others_and_after_what_is_owed_to_them() {
    let (_folder, queue, release) = held();
    let (done, order) = mpsc::channel();
    let say = |word| {
        let done = done.clone();
        move |_: &mut Book| done.send(word).unwrap()
    };
    queue.owe(whose("bob"), Era(0), say("bob's hash"));
    queue.owe(whose("alice"), Era(0), say("alice's hash"));
    let asked = name("alice");
    let answer = queue.ask(Some(&asked), say("alice's login"));
    let release = async { drop(release) };
    tokio::join!(answer, release);
    let order: Vec<_> = (0..3).map(|_| order.recv().unwrap()).collect();
    assert_eq!(order, ["alice's hash", "alice's login", "bob's hash"]);
}

#[tokio::test]
async fn the_newest_password_of_a_user_is_the_one_that_is_hashed() {
    let (_folder, queue, release) = held();
    let (done, order) = mpsc::channel();
    for word in ["older", "newer"] {
        let done = done.clone();
        queue.owe(whose("alice"), Era(0), move |_| done.send(word).unwrap());
    }
    drop((release, done));
    assert_eq!(order.iter().collect::<Vec<_>>(), ["newer"]);
}

#[tokio::test]
async fn what_keeps_nothing_comes_after_the_password_that_is_kept() {
    let (_folder, queue, release) = held();
    let (done, order) = mpsc::channel();
    let say = |word| {
        let done = done.clone();
        move |_: &mut Book| done.send(word).unwrap()
    };
    queue.owe(whose("alice"), Era(0), say("accepted"));
    queue.owe_besides(whose("alice"), say("not kept"));
    queue.renew(whose("alice"), say("renewed"));
    drop(release);
    let order: Vec<_> = (0..3).map(|_| order.recv().unwrap()).collect();
    assert_eq!(order, ["accepted", "not kept", "renewed"]);
}

#[tokio::test]
async fn somebody_with_too_many_accepted_passwords_is_not_kept() {
    let (_folder, queue, release) = held();
    let (done, order) = mpsc::channel();
    for _ in 0..=MOST_OF_ONE {
        let done = done.clone();
        queue.owe_besides(whose("alice"), move |_| done.send(()).unwrap());
    }
    drop((release, done));
    assert_eq!(order.iter().count(), 0, "she is forgotten, and what is owed for her");
}

#[tokio::test]
async fn who_is_to_be_forgotten_is_not_kept_afterwards() {
    let (_folder, queue, release) = held();
    let (done, order) = mpsc::channel();
    let also = done.clone();
    queue.owe(whose("alice"), Era(0), move |_| also.send("alice").unwrap());
    queue.forget(name("alice"), None);
    queue.owe(whose("bob"), Era(0), move |_| done.send("bob").unwrap());
    drop(release);
    assert_eq!(order.iter().collect::<Vec<_>>(), ["bob"], "she was to be forgotten");
}

#[tokio::test]
async fn nothing_is_kept_of_what_began_before_everything_was_removed() {
    let (_folder, queue, release) = held();
    let (done, order) = mpsc::channel();
    let say = |word| {
        let done = done.clone();
        move |_: &mut Book| done.send(word).unwrap()
    };
    let began = queue.era();
    queue.owe(whose("alice"), began, say("it was owed"));
    let (destroyed, ()) = tokio::join!(queue.destroy(false), async {
        queue.owe(whose("bob"), began, say("it began before"));
        drop(release);
    });
    destroyed.unwrap().unwrap();
    queue.owe(whose("carol"), queue.era(), say("carol"));
    drop(done);
    assert_eq!(order.iter().collect::<Vec<_>>(), ["carol"]);
}

#[tokio::test]
async fn at_the_end_all_that_is_owed_is_done() {
    let (_folder, queue, release) = held();
    let (done, order) = mpsc::channel();
    for who in ["alice", "bob"] {
        let done = done.clone();
        queue.owe(whose(who), queue.era(), move |_| {
            done.send(who).unwrap();
        });
    }
    let release = async { drop(release) };
    tokio::join!(queue.finish(), release);
    assert_eq!(order.try_iter().collect::<Vec<_>>(), ["alice", "bob"]);
}

#[tokio::test]
async fn nothing_is_kept_while_it_is_off() {
    let (_folder, queue, release) = held();
    drop(release);
    queue.destroy(true).await.unwrap().unwrap();
    let (done, order) = mpsc::channel();
    let alice = done.clone();
    queue.owe(whose("alice"), queue.era(), move |_| alice.send("it is off").unwrap());
    queue.turn_on();
    queue.owe(whose("bob"), queue.era(), move |_| done.send("bob").unwrap());
    assert_eq!(order.iter().collect::<Vec<_>>(), ["bob"]);
}

#[tokio::test]
async fn what_is_owed_to_another_name_of_the_entry_is_forgotten_as_well() {
    let (_folder, queue, release) = held();
    let alias = Whose { name: name("asmith"), ..whose("alice") };
    let (done, order) = mpsc::channel();
    let also = done.clone();
    queue.owe(alias, Era(0), move |_| also.send("asmith").unwrap());
    queue.forget(name("alice"), Some("uid=alice,dc=x".into()));
    drop(release);
    queue.owe(whose("bob"), Era(0), move |_| done.send("bob").unwrap());
    assert_eq!(order.iter().collect::<Vec<_>>(), ["bob"]);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_begun() {
    let (_folder, queue, release) = held();
    let (done, order) = mpsc::channel();
    let nobody = queue.ask(None, move |_| done.send(()).unwrap());
    assert!(tokio::time::timeout(Duration::ZERO, nobody).await.is_err());
    drop(release);
    assert_eq!(order.iter().count(), 0);
}
