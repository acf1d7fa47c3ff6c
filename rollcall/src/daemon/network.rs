//! Hears from the kernel that the network has changed (`rtnetlink(7)`): a cable, an
//! address, a route. Then servers that failed are tried at once, and connections are
//! checked that may lead nowhere any more.
//!
//! What has changed isn't read: it would have to be understood for every kind of
//! network, and a look at the servers costs little. Where there is no such socket
//! (a container's filter, a unit without `AF_NETLINK`), the probes' own pace remains.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::sync::Arc;
use std::time::Duration;

use nix::libc::{
    ENOBUFS, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
};
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};
use tokio::net::UnixDatagram;
use tracing::{debug, info};

use super::accept::Shared;

/// Changes come in bursts. How long it must be quiet before the servers are looked at.
const QUIET: Duration = Duration::from_millis(100);
/// How long a burst may put that off.
const LONGEST: Duration = Duration::from_millis(500);
/// How long nothing is done after that. On a host of containers the changes never end.
const PAUSE: Duration = Duration::from_secs(10);

/// Listens for ever. Returns only if that isn't possible here.
pub(super) async fn watch(shared: Arc<Shared>) {
    match listen() {
        Ok(socket) => {
            let Err(why) = follow(&socket, &shared).await;
            info!("changes of the network aren't heard of any more: {why}");
        }
        Err(why) => info!("changes of the network aren't heard of: {why}"),
    }
}

fn listen() -> io::Result<UnixDatagram> {
    let groups = RTMGRP_LINK
        | RTMGRP_IPV4_IFADDR
        | RTMGRP_IPV6_IFADDR
        | RTMGRP_IPV4_ROUTE
        | RTMGRP_IPV6_ROUTE;
    let groups = u32::try_from(groups).map_err(io::Error::other)?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    // Not one of that family, but the same calls receive from every socket of messages.
    UnixDatagram::from_std(StdDatagram::from(socket))
}

async fn follow(socket: &UnixDatagram, shared: &Shared) -> io::Result<Infallible> {
    loop {
        changed(socket).await?;
        let quiet = async {
            while let Ok(more) = tokio::time::timeout(QUIET, changed(socket)).await {
                more?;
            }
            io::Result::Ok(())
        };
        if let Ok(ended) = tokio::time::timeout(LONGEST, quiet).await {
            ended?;
        }
        debug!("the network has changed");
        if let Ok(active) = shared.configuration.in_use() {
            active.cache.network_changed();
        }
        // What comes meanwhile waits in the socket.
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns when something has changed. Cancel safe.
async fn changed(socket: &UnixDatagram) -> io::Result<()> {
    // The rest of a longer message is dropped by the kernel.
    match socket.recv(&mut [0; 64]).await {
        // Too many at once: some were lost, so there were some.
        Err(error) if error.raw_os_error() == Some(ENOBUFS) => Ok(()),
        received => received.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_system_has_such_a_socket() {
        listen().unwrap();
    }
}
