//! TCP to a host that may have several addresses, some of which may be silent.
//!
//! An address that doesn't answer within [`HEAD_START`] isn't given up, but the
//! next one is tried beside it, in the spirit of RFC 8305. After the last one
//! it begins again: the kernel repeats a lost SYN only after 1 s, 3 s and 7 s, and
//! a server whose packets vanished is to be found as soon as it is back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::LdapError;
use super::connect::unreachable;
use super::names::Names;

/// How long an address has before the next one is tried as well.
const HEAD_START: Duration = Duration::from_millis(250);
/// How long after the last address all of them are tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Connects to a host. The caller limits the time.
pub(super) async fn connect(
    names: &Arc<Names>,
    host: &str,
    port: u16,
) -> Result<TcpStream, LdapError> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => names.addresses(host).await?,
    };
    let addresses: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    let stream = race(&addresses).await?;
    tune(&stream);
    Ok(stream)
}

/// The first address that answers. Those that refuse aren't asked again.
async fn race(addresses: &[SocketAddr]) -> Result<TcpStream, LdapError> {
    let mut waiting = addresses.to_vec();
    let mut last = LdapError::Connect("the name has no address".into());
    let mut attempts = JoinSet::new();
    loop {
        let round = waiting.clone();
        for (position, address) in round.iter().enumerate() {
            if !waiting.contains(address) {
                continue;
            }
            let address = *address;
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            let pause = if position + 1 == round.len() { AGAIN } else { HEAD_START };
            let pause = sleep(pause);
            tokio::pin!(pause);
            loop {
                let ended = tokio::select! {
                    ended = attempts.join_next() => ended,
                    () = &mut pause => break,
                };
                match ended {
                    Some(Ok((_, Ok(stream)))) => return Ok(stream),
                    Some(Ok((refused, Err(error)))) => {
                        last = unreachable(error);
                        waiting.retain(|address| *address != refused);
                        if refused == address {
                            break;
                        }
                    }
                    Some(Err(_)) => {}
                    None => break,
                }
            }
        }
        if waiting.is_empty() {
            return Err(last);
        }
    }
}

/// No delay for small requests. A peer that vanished is noticed within half a minute on
/// an idle connection, and within some seconds when bytes are under way: that
/// long they may stay without the kernel's confirmation, which a server that is
/// merely slow, or stopped, gives all the same. A system that can't do one of these
/// works without.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(5))
        .with_retries(2);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(Duration::from_secs(3)));
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn nobody() -> SocketAddr {
        listener().1
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let (_open, address) = listener();
        let stream = race(&[nobody(), address]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn an_address_that_is_silent_gives_way_to_the_next() {
        let (_open, address) = listener();
        // TEST-NET-1: nobody is there, whether somebody says so or not.
        let silent = "192.0.2.1:389".parse().unwrap();
        let stream = race(&[silent, address]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn when_all_addresses_refuse_that_is_the_error() {
        let error = race(&[nobody(), nobody()]).await.unwrap_err();
        assert!(matches!(error, LdapError::Connect(_)), "{error:?}");
        assert!(race(&[]).await.is_err());
    }
}
