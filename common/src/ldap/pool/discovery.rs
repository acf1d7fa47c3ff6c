//! Servers that the DNS names: `srv:example.org` in `uri` (RFC 2782).
//!
//! One task of a directory asks for `_ldap._tcp.example.org`, and again when the
//! records' time to live is over, within [`SOONEST`] and [`LATEST`]. What is the
//! same as before keeps its order, so that connections stay where they are. When
//! the DNS fails, or knows nothing any more, the servers that were known stay:
//! the directory may be well all the same. A target "." says that there is no service.
//!
//! DNS answers can be forged. A certificate shows that a target is the host whose
//! name the DNS gave, and nothing more: who can forge the answer and has any
//! certificate of a public authority would pass. So, unless `ca_file` names an authority of one's
//! own, a target must lie in the domain that the configuration names.
//!
//! It begins with the first request, so a configuration is taken into use without
//! the network, and ends with the pool.

use std::sync::{Arc, Weak};
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::time::{Instant, sleep_until, timeout};

use super::servers::Servers;
use super::srv::{Record, order};
use crate::config::{Server, Source};
use crate::random;

/// How soon the DNS is asked again, however short its records live.
const SOONEST: Duration = Duration::from_secs(30);
/// How soon, when somebody has reason to think that it says something else by now.
const EARLY: Duration = Duration::from_secs(3);
/// How late, however long.
const LATEST: Duration = Duration::from_secs(86_400);
/// The pauses after which it is asked again when it failed, in seconds; the last one repeats.
const PAUSES: [u64; 6] = [1, 1, 2, 4, 8, 15];
/// How long it has to answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// The most servers taken from one answer.
const MOST: usize = 32;

/// What is known of a domain's servers.
#[derive(Debug)]
struct Domain {
    name: String,
    /// The targets, in the order to try them.
    targets: Vec<Record>,
    /// Why there are none, or why it could not be asked again.
    why: Option<String>,
    failures: usize,
    asked: Option<Instant>,
    next: Instant,
}

/// The servers of a list of sources, each with its tier, and why there are none.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Tier and address, in the order to try them. Those of a lower tier are preferred.
    pub(super) servers: Vec<(usize, Server)>,
    pub(super) why: Option<String>,
}

/// The servers that the configuration itself names.
pub(super) fn fixed(sources: &[Source]) -> Listed {
    list(sources, &[])
}

fn list(sources: &[Source], domains: &[Domain]) -> Listed {
    let mut listed = Listed::default();
    for (position, source) in sources.iter().enumerate() {
        let tier = position << 16;
        match source {
            Source::Server(server) => listed.servers.push((tier, server.clone())),
            Source::Domain(name) => {
                let Some(domain) = domains.iter().find(|domain| domain.name == *name) else {
                    continue;
                };
                for Record { priority, target, port, .. } in &domain.targets {
                    let server = Server::named(target, *port);
                    listed
                        .servers
                        .extend(server.map(|server| (tier | usize::from(*priority), server)));
                }
                listed.why = listed.why.take().or_else(|| domain.why.clone());
            }
        }
    }
    listed
}

/// Keeps the list of servers up to date, for as long as there is a pool.
pub(super) async fn keep(servers: Weak<Servers>) {
    let Some((sources, asked_for, strict)) = servers.upgrade().map(|servers| {
        (servers.sources().to_vec(), servers.asked_for(), servers.wants_own_targets())
    }) else {
        return;
    };
    let mut domains: Vec<Domain> = sources
        .iter()
        .filter_map(|source| match source {
            Source::Domain(name) => Some(Domain::new(name)),
            Source::Server(_) => None,
        })
        .collect();
    loop {
        // Not held while the DNS is asked: it ends with its last user.
        if servers.strong_count() == 0 {
            return;
        }
        let now = Instant::now();
        for domain in domains.iter_mut().filter(|domain| domain.next <= now) {
            domain.renew(strict).await;
        }
        match servers.upgrade() {
            Some(servers) => servers.list(list(&sources, &domains)),
            None => return,
        }
        let next = domains.iter().map(|domain| domain.next).min().unwrap_or(now + LATEST);
        tokio::select! {
            () = sleep_until(next) => {}
            () = asked_for.notified() => {
                // Somebody has reason to think that the DNS says something else by now,
                // or the pool has ended.
                for domain in &mut domains {
                    domain.hurry(Instant::now());
                }
            }
        }
    }
}

impl Domain {
    fn new(name: &str) -> Self {
        let (targets, why) = (Vec::new(), None);
        let (name, next) = (name.to_owned(), Instant::now());
        Self { name, targets, why, failures: 0, asked: None, next }
    }

    /// Has the DNS asked soon: not at each of many changes of the network.
    fn hurry(&mut self, now: Instant) {
        let soonest = self.asked.map_or(now, |asked| (asked + EARLY).max(now));
        self.next = self.next.min(soonest);
    }

    /// Asks the DNS.
    async fn renew(&mut self, strict: bool) {
        self.asked = Some(Instant::now());
        let asked = timeout(PATIENCE, ask(&self.name));
        let found = asked.await.unwrap_or(Err("the DNS doesn't answer".into()));
        let pause = match found {
            Ok((records, lifetime)) => {
                self.failures = 0;
                self.take(records, strict);
                lifetime.clamp(SOONEST, LATEST)
            }
            Err(why) => {
                let why = format!("srv:{}: {why}", self.name);
                if self.failures == 0 {
                    tracing::warn!(why, known = self.targets.len(), "servers can't be looked for");
                }
                self.why = Some(why);
                let pause = PAUSES[self.failures.min(PAUSES.len() - 1)];
                self.failures += 1;
                Duration::from_secs(pause)
            }
        };
        self.next = Instant::now() + pause;
    }

    /// Takes an answer into use.
    fn take(&mut self, mut records: Vec<Record>, strict: bool) {
        records.retain(|record| {
            let fits = Server::named(&record.target, record.port).is_some()
                && (!strict || is_within(&record.target, &self.name));
            if !fits {
                tracing::warn!(
                    domain = self.name, target = ?record.target,
                    "a server that the DNS names isn't used: it is outside of the domain, \
                     and no ca_file is set, or it has no proper name"
                );
            }
            fits
        });
        records.truncate(MOST);
        self.why = records
            .is_empty()
            .then(|| format!("srv:{}: the DNS says that there is no LDAP server", self.name));
        if !same(&self.targets, &records) {
            self.targets = order(records, draw);
            let targets: Vec<_> = self.targets.iter().map(|record| &record.target).collect();
            tracing::info!(domain = self.name, ?targets, "the DNS names servers");
        }
    }
}

/// Whether a host is in a domain.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether two answers are the same, in whatever order.
fn same(a: &[Record], b: &[Record]) -> bool {
    let sorted = |records: &[Record]| {
        let mut records = records.to_vec();
        records.sort();
        records
    };
    sorted(a) == sorted(b)
}

/// A number from 0 to this one.
fn draw(most: u32) -> u32 {
    let number = random::token().unwrap_or_default() % (u64::from(most) + 1);
    u32::try_from(number).unwrap_or_default()
}

/// The records of a domain and how long they live. No record is a failure, but for the
/// one that says so. `resolv.conf(5)` is read anew: the network may be another one.
async fn ask(domain: &str) -> Result<(Vec<Record>, Duration), String> {
    let mut builder = Resolver::builder_tokio().map_err(|e| format!("/etc/resolv.conf: {e}"))?;
    let options = builder.options_mut();
    options.timeout = Duration::from_secs(1);
    options.attempts = 2;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let resolver = builder.build().map_err(|e| e.to_string())?;
    // With its dot it is looked for nowhere else.
    let name = format!("_ldap._tcp.{domain}.");
    let answer = resolver.lookup(name, RecordType::SRV).await.map_err(|e| e.to_string())?;
    let mut lifetime = LATEST;
    let mut records = Vec::new();
    let mut denied = false;
    for record in answer.answers() {
        let RData::SRV(srv) = &record.data else { continue };
        lifetime = lifetime.min(Duration::from_secs(record.ttl.into()));
        if srv.target.is_root() {
            denied = true;
            continue;
        }
        let target = srv.target.to_ascii().to_ascii_lowercase();
        records.push(Record {
            priority: srv.priority,
            weight: srv.weight,
            target: target.strip_suffix('.').unwrap_or(&target).to_owned(),
            port: srv.port,
        });
    }
    if records.is_empty() && !denied {
        return Err("the DNS knows no server".into());
    }
    Ok((records, lifetime))
}

/// Starts [`keep`] once.
pub(super) fn begin(servers: &Arc<Servers>) {
    tokio::spawn(keep(Arc::downgrade(servers)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, target: &str) -> Record {
        Record { priority, weight: 1, target: target.into(), port: 389 }
    }

    fn addresses(listed: &Listed) -> Vec<String> {
        listed.servers.iter().map(|(_, server)| server.to_string()).collect()
    }

    #[test]
    fn servers_of_a_domain_stand_where_the_domain_stands() {
        let plain = |text: &str| Source::Server(Server::named(text, 389).unwrap());
        let sources = [plain("a"), Source::Domain("x".into()), plain("z")];
        let mut domain = Domain::new("x");
        domain.take(vec![record(2, "c.x"), record(1, "b.x")], true);
        let listed = list(&sources, &[domain]);
        assert_eq!(addresses(&listed), ["ldap://a", "ldap://b.x", "ldap://c.x", "ldap://z"]);
        assert!(listed.servers.is_sorted_by_key(|(tier, _)| *tier));
    }

    #[test]
    fn a_target_outside_of_the_domain_needs_an_authority_of_ones_own() {
        let targets = || vec![record(1, "ldap.example.org"), record(1, "evil-example.org")];
        let mut domain = Domain::new("example.org");
        domain.take(targets(), true);
        assert_eq!(domain.targets, [record(1, "ldap.example.org")]);
        domain.take(targets(), false);
        assert_eq!(domain.targets.len(), 2);
    }

    #[test]
    fn the_same_answer_keeps_its_order() {
        let mut domain = Domain::new("x");
        let records: Vec<_> = (0..20).map(|n| record(0, &format!("h{n}.x"))).collect();
        domain.take(records.clone(), true);
        let before = domain.targets.clone();
        domain.take(records.into_iter().rev().collect(), true);
        assert_eq!(domain.targets, before);
    }

    #[test]
    fn a_domain_without_the_service_has_no_servers() {
        let mut domain = Domain::new("x");
        domain.take(vec![record(0, "a.x")], true);
        domain.take(Vec::new(), true);
        let listed = list(&[Source::Domain("x".into())], &[domain]);
        assert!(listed.servers.is_empty());
        assert!(listed.why.unwrap().contains("no LDAP server"));
    }

    #[test]
    fn the_dns_is_not_asked_at_each_of_many_changes() {
        let mut domain = Domain::new("x");
        let now = Instant::now();
        (domain.asked, domain.next) = (Some(now), now + SOONEST);
        domain.hurry(now + EARLY / 2);
        assert_eq!(domain.next, now + EARLY);
        domain.hurry(now + EARLY * 2);
        assert_eq!(domain.next, now + EARLY);
    }

    #[tokio::test]
    async fn the_asking_ends_with_the_pool() {
        let config = crate::ldap::pool::tests::config(389);
        let servers = Arc::new(Servers::new(&config.directories[0], &config.timeouts).unwrap());
        let keeping = tokio::spawn(keep(Arc::downgrade(&servers)));
        crate::ldap::pool::servers::wait_for_the_first_list(&servers).await;
        drop(servers);
        timeout(PATIENCE, keeping).await.unwrap().unwrap();
    }

    #[test]
    fn a_target_that_is_no_host_is_passed_over() {
        let mut domain = Domain::new("x");
        domain.take(vec![record(0, "a b.x"), record(0, "")], false);
        assert!(domain.targets.is_empty());
    }
}
