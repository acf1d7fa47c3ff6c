//! A DNS server of a host's own.

use std::fmt::Write as _;
use std::process::Stdio;

use rustix::process::Signal;

use super::Host;
use super::namespace::Inside;
use crate::need;
use crate::wait::PATIENCE;

/// Where it listens; `resolv.conf(5)` of the host says so.
const ADDRESS: &str = "127.0.0.53";

/// What a host's DNS server knows. Nothing else has a name there.
#[derive(Debug, Clone, Default)]
pub struct Names {
    records: Vec<String>,
    ttl: u32,
}

impl Names {
    /// Knows nothing; records live for a second.
    pub fn new() -> Self {
        Self { records: Vec::new(), ttl: 1 }
    }

    /// How long records live, in seconds.
    #[must_use]
    pub fn ttl(self, seconds: u32) -> Self {
        Self { ttl: seconds, ..self }
    }

    /// A name of an address, A or AAAA.
    #[must_use]
    pub fn address(mut self, name: &str, address: &str) -> Self {
        self.records.push(format!("host-record={name},{address}"));
        self
    }

    /// A server for LDAP of a domain: `_ldap._tcp.DOMAIN` (RFC 2782).
    #[must_use]
    pub fn server(
        mut self,
        domain: &str,
        target: &str,
        port: u16,
        priority: u16,
        weight: u16,
    ) -> Self {
        self.records
            .push(format!("srv-host=_ldap._tcp.{domain},{target},{port},{priority},{weight}"));
        self
    }

    fn configuration(&self) -> String {
        let mut text = format!(
            "no-resolv\nno-hosts\nno-daemon\nlog-queries\nbind-interfaces\nlisten-address={ADDRESS}\n\
             local=//\nlocal-ttl={}\nneg-ttl={}\nuser=root\npid-file=\n",
            self.ttl, self.ttl
        );
        for record in &self.records {
            let _ = writeln!(text, "{record}");
        }
        text
    }
}

impl Host {
    /// Starts its DNS server, or starts it anew with other records.
    pub fn serve_names(&mut self, names: &Names) {
        self.stop_names();
        need::program("dnsmasq", "dnsmasq-base");
        self.write("/etc/dnsmasq-test.conf", &names.configuration());
        self.write("/etc/resolv.conf", &format!("nameserver {ADDRESS}\n"));
        // Hosts without such a server look nowhere but into their files.
        let switch = ["sed", "-i", "s/^hosts:.*/hosts: files dns/", "/etc/nsswitch.conf"];
        self.run(switch).success();
        let switch = std::fs::read_to_string(self.path("/etc/nsswitch.conf"));
        let switch = switch.expect("every host has it");
        self.write("/etc/nsswitch.conf", &switch.replace("hosts: files\n", "hosts: files dns\n"));
        let child = self
            .command(["dnsmasq", "--conf-file=/etc/dnsmasq-test.conf"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("nsenter can be started");
        let from = self.log().len();
        self.log.follow("dns", child.stderr.take().expect("it is a pipe"));
        self.names = Some(Inside::new(child));
        self.wait_for_log_from(from, "dns: dnsmasq: started", PATIENCE);
    }

    /// Ends its DNS server, if there is one: names are asked for in vain.
    pub fn stop_names(&mut self) {
        if let Some(mut server) = self.names.take() {
            server.signal(Signal::KILL);
            server.wait();
        }
    }
}
