use std::sync::Arc;

use super::*;

const IDLE: Duration = Duration::from_secs(900);

type Task = tokio::task::JoinHandle<Result<(), LdapError>>;

/// A guard between a server's end and ldap3's end.
fn guarded(idle: Duration) -> (UnixStream, UnixStream, Task) {
    guarded_past(idle, &Arc::default())
}

/// The same with this way past ldap3.
fn guarded_past(idle: Duration, bypass: &Arc<Bypass>) -> (UnixStream, UnixStream, Task) {
    let (server, inside) = UnixStream::pair().unwrap();
    let (ldap3, mut other) = UnixStream::pair().unwrap();
    let bypass = Arc::clone(bypass);
    let task = tokio::spawn(async move { guard(inside, &mut other, idle, &bypass).await });
    (server, ldap3, task)
}

/// A search request with this id.
fn search_request(id: u8) -> Vec<u8> {
    // id, SearchRequest [3] { "", base, never, 0, 0, false, (objectClass=*), {} }
    let mut body =
        vec![0x02, 1, id, 0x63, 0x20, 4, 0, 0x0a, 1, 0, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0];
    body.extend([0x87, 11]);
    body.extend(b"objectClass");
    body.extend([0x30, 0]);
    // the SearchRequest's length counts what follows it
    body[4] = u8::try_from(body.len() - 5).unwrap();
    let mut whole = vec![0x30, u8::try_from(body.len()).unwrap()];
    whole.extend(body);
    whole
}

fn search_done(id: u8) -> Vec<u8> {
    vec![0x30, 0x0c, 2, 1, id, 0x65, 7, 0x0a, 1, 0, 4, 0, 4, 0]
}

fn bind_response(id: u8) -> Vec<u8> {
    vec![0x30, 0x0c, 2, 1, id, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0]
}

async fn open_search(server: &mut UnixStream, ldap3: &mut UnixStream, id: u8) {
    let request = search_request(id);
    ldap3.write_all(&request).await.unwrap();
    let mut seen = vec![0; request.len()];
    server.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, request);
}

#[tokio::test]
async fn a_response_to_an_open_request_passes_even_byte_by_byte() {
    let (mut server, mut ldap3, _task) = guarded(IDLE);
    open_search(&mut server, &mut ldap3, 1).await;
    for byte in search_done(1) {
        server.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut seen = [0; 14];
    ldap3.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen.as_slice(), search_done(1));
}

async fn ends_with(bytes: &[u8]) -> String {
    let (mut server, mut ldap3, task) = guarded(IDLE);
    open_search(&mut server, &mut ldap3, 1).await;
    server.write_all(bytes).await.unwrap();
    let mut passed = Vec::new();
    ldap3.read_to_end(&mut passed).await.unwrap();
    assert!(passed.is_empty(), "ldap3 saw {passed:?}");
    task.await.unwrap().unwrap_err().to_string()
}

#[tokio::test]
async fn a_response_of_another_kind_than_its_request_ends_the_connection() {
    assert!(ends_with(&bind_response(1)).await.contains("fit"));
}

#[tokio::test]
async fn a_response_to_an_abandoned_request_is_left_out() {
    let (mut server, mut ldap3, _task) = guarded(IDLE);
    open_search(&mut server, &mut ldap3, 1).await;
    open_search(&mut server, &mut ldap3, 2).await;
    let abandon = [0x30, 6, 2, 1, 3, 0x50, 1, 1];
    ldap3.write_all(&abandon).await.unwrap();
    server.read_exact(&mut [0; 8]).await.unwrap();
    server.write_all(&[search_done(1), search_done(2)].concat()).await.unwrap();
    let mut seen = [0; 14];
    ldap3.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen.as_slice(), search_done(2));
}

#[tokio::test]
async fn garbage_ends_the_connection() {
    ends_with(b"HTTP/1.1 400 Bad Request\r\n").await;
}

#[tokio::test]
async fn an_announced_two_gibibytes_end_the_connection() {
    assert!(ends_with(&[0x30, 0x84, 0x80, 0, 0, 0]).await.contains("longer"));
}

#[tokio::test]
async fn a_notice_of_disconnection_ends_the_connection() {
    let notice = [0x30, 0x0c, 2, 1, 0, 0x78, 7, 0x0a, 1, 52, 4, 0, 4, 0];
    assert!(ends_with(&notice).await.contains("closed"));
}

#[tokio::test]
async fn a_notice_of_disconnection_that_complains_is_told_from_a_server_that_ends() {
    let notice = [0x30, 0x0c, 2, 1, 0, 0x78, 7, 0x0a, 1, 2, 4, 0, 4, 0];
    assert!(ends_with(&notice).await.contains("complains"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_word_is_closed() {
    let (mut server, _ldap3, task) = guarded(Duration::from_secs(10));
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    task.await.unwrap().unwrap();
}

/// A search request with this id and the Sync Request control.
fn subscription_request(id: u8) -> Vec<u8> {
    request_with(id, super::super::content_sync::REQUEST)
}

/// A search request with this id and a control.
fn request_with(id: u8, control: &str) -> Vec<u8> {
    let oid = control.as_bytes();
    let length = |more: usize| u8::try_from(oid.len() + more).unwrap();
    let mut whole = search_request(id);
    whole.extend([0xa0, length(4), 0x30, length(2), 4, length(0)]);
    whole.extend(oid);
    whole[1] = u8::try_from(whole.len() - 2).unwrap();
    whole
}

/// A Sync Info message with this value.
fn sync_info(id: u8, value: &[u8]) -> Vec<u8> {
    let name = super::super::content_sync::INFO.as_bytes();
    let element =
        |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let response = element(0x79, &[element(0x80, name), element(0x81, value)].concat());
    element(0x30, &[vec![2, 1, id], response].concat())
}

#[tokio::test(start_paused = true)]
async fn a_subscription_may_be_silent_for_as_long_as_nothing_changes() {
    let bypass = Arc::default();
    let (mut server, mut ldap3, task) = guarded_past(Duration::from_secs(10), &bypass);
    let reader = bypass.reader();
    ldap3.write_all(&subscription_request(1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert!(!task.is_finished());
    let info = sync_info(1, &[0x80, 1, b'c']);
    server.write_all(&info).await.unwrap();
    reader.came().await;
    assert_eq!(&*reader.take([1; 2]).unwrap().bytes, info);
}

#[tokio::test]
async fn what_a_page_finds_goes_past_ldap3_and_its_result_does_not() {
    for control in ["1.2.840.113556.1.4.319", super::super::content_sync::REQUEST] {
        let bypass = Arc::default();
        let (mut server, mut ldap3, _task) = guarded_past(IDLE, &bypass);
        let reader = bypass.reader();
        ldap3.write_all(&request_with(1, control)).await.unwrap();
        server.read_exact(&mut vec![0; request_with(1, control).len()]).await.unwrap();
        open_search(&mut server, &mut ldap3, 2).await;
        let entry = |id| vec![0x30, 9, 2, 1, id, 0x64, 4, 4, 0, 0x30, 0];
        let said = [entry(1), entry(2), entry(1), search_done(2), search_done(1)];
        server.write_all(&said.concat()).await.unwrap();
        let shown = [entry(2), search_done(2), search_done(1)].concat();
        let mut seen = vec![0; shown.len()];
        ldap3.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, shown);
        let passed: Vec<_> = std::iter::from_fn(|| reader.take([1; 2])).collect();
        assert_eq!(passed.len(), 2);
        assert!(passed.iter().all(|message| *message.bytes == *entry(1)));
    }
}

#[tokio::test]
async fn news_that_are_not_well_formed_end_the_connection() {
    for value in [&[0x84, 0][..], &[0xa3, 2, 0x31, 5], &[0xa1, 3, 1, 2, 0]] {
        ends_with(&sync_info(1, value)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_news_are_taken_than_somebody_reads() {
    let bypass = Arc::default();
    let (mut server, mut ldap3, _task) = guarded_past(IDLE, &bypass);
    let reader = bypass.reader();
    ldap3.write_all(&subscription_request(1)).await.unwrap();
    server.read_exact(&mut vec![0; subscription_request(1).len()]).await.unwrap();
    let message = sync_info(1, &[0x80, 1, b'c']).repeat(1000);
    let mut sent = 0;
    // Whoever sends has to wait, and nothing else happens then.
    while let Ok(result) = timeout(Duration::from_secs(5), server.write_all(&message)).await {
        result.unwrap();
        sent += message.len();
        assert!(sent < 8 << 20);
    }
    let mut taken = 0;
    while let Some(message) = reader.take([1; 2]) {
        taken += message.bytes.len();
    }
    assert!((1 << 20..5 << 20).contains(&taken), "{taken} bytes waited");
    timeout(Duration::from_secs(5), server.write_all(&message)).await.unwrap().unwrap();
}
