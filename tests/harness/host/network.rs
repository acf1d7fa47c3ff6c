//! What goes wrong between a host and its directory.
//!
//! Everything here happens in the network namespace of one host. Packets are
//! dropped where they arrive, so that whoever sends them learns nothing, as with
//! a cable that was cut further away.

use super::Host;

/// The table of `nft(8)` that holds what is dropped.
const TABLE: &str = "rollcall-test";

impl Host {
    /// Drops every packet to and from port 389 of an address (`127.0.0.1`, `::1`),
    /// of connections that stand as well, until [`Host::heal`].
    pub fn blackhole(&self, address: &str) {
        let family = if address.contains(':') { "ip6" } else { "ip" };
        let rules = format!(
            "table inet {TABLE} {{
                chain arriving {{
                    type filter hook input priority 0;
                    {family} daddr {address} tcp dport 389 drop
                    {family} saddr {address} tcp sport 389 drop
                }}
            }}"
        );
        crate::need::program("nft", "nftables");
        self.run(["nft", &rules]).success();
    }

    /// Undoes all of [`Host::blackhole`]. What was sent meanwhile is sent once
    /// more by TCP, by and by.
    pub fn heal(&self) {
        self.run(["nft", "delete", "table", "inet", TABLE]).success();
    }

    /// Gives the host one more address, of no network but its own; the kernel
    /// tells whoever listens to rtnetlink(7). The addresses on which its
    /// directories listen it has from the start.
    pub fn add_address(&self, address: &str) {
        self.run(["ip", "address", "add", address, "dev", "lo"]).success();
    }

    /// Takes an address away, as if the cable was pulled: who connects to it is told
    /// that nothing is reachable, and connections that stand hear nothing more.
    /// Not for `127.0.0.1`, which is always there.
    pub fn remove_address(&self, address: &str) {
        self.run(["ip", "address", "del", address, "dev", "lo"]).success();
    }
}
