//! `rollcall check`: says what the configuration means, or what is wrong with it.
//!
//! Touches no network. Secrets are read, since a bad one is an error, but
//! never printed.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::Duration;

use common::config::{
    CacheConfig, CacheMode, Config, DirectoryConfig, Identity, LoginRules, OfflineConfig, PathRule,
    SchemaKind, Server, Source, Tls,
};
use common::handle::Service;

use super::Done;
use super::status::span;
use crate::cli::CheckOptions;

pub(crate) fn run(options: &CheckOptions) -> Done {
    let path = options.config.display();
    let config = Config::load(&options.config)?;
    let text = summary(&config)?;
    // Finds what only shows when it is used: a CA file that isn't one.
    Service::new(config).map_err(|e| e.to_string())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{path} is fine:")?;
    out.write_all(text.as_bytes())?;
    Ok(())
}

/// The lines of the answer.
fn summary(config: &Config) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn fmt::Display| writeln!(text, "  {key:<12} {value}");
    for directory in &config.directories {
        describe(directory, &mut line)?;
    }
    line("logins", &logins(&config.login))?;
    let ids = &config.ids;
    line(
        "ids",
        &format!(
            "users {} to {}, groups {} to {}",
            ids.min_uid, ids.max_uid, ids.min_gid, ids.max_gid
        ),
    )?;
    line("homes", &paths(&config.home))?;
    line("shells", &paths(&config.shell))?;
    let limits = &config.timeouts;
    line(
        "time limits",
        &format!(
            "lookup {}, login {}, reaching a server {}",
            time(limits.lookup),
            time(limits.login),
            time(limits.connect)
        ),
    )?;
    line("connections", &format!("at most {} of each kind", config.connections.max))?;
    line("cache", &cache(&config.cache))?;
    line("offline", &offline(&config.offline))?;
    Ok(text)
}

type Line<'a> = dyn FnMut(&str, &dyn fmt::Display) -> fmt::Result + 'a;

fn describe(directory: &DirectoryConfig, line: &mut Line<'_>) -> fmt::Result {
    let servers: Vec<String> = directory.servers.iter().map(address).collect();
    line("servers", &servers.join(", then "))?;
    line("base", &directory.base.as_deref().unwrap_or("the naming context that the server names"))?;
    line("read as", &who(directory.reader.as_ref(), "anybody (no bind_dn)"))?;
    line("reset as", &who(directory.resetter.as_ref(), "nobody: root can't reset passwords"))?;
    line("protection", &protection(directory))?;
    line(
        "schema",
        &match directory.schema {
            SchemaKind::Rfc2307 => "RFC 2307 (memberUid)",
            #[allow(unreachable_patterns, reason = "more schemas come")]
            _ => "another",
        },
    )
}

fn address(source: &Source) -> String {
    let server = match source {
        Source::Server(server) => server,
        Source::Domain(domain) => {
            return format!(
                "those that the DNS names for {domain} (_ldap._tcp, port and order too)"
            );
        }
    };
    match server {
        Server::Tcp { host, port, implicit_tls } => {
            let scheme = if *implicit_tls { "ldaps" } else { "ldap" };
            if host.contains(':') {
                format!("{scheme}://[{host}]:{port}")
            } else {
                format!("{scheme}://{host}:{port}")
            }
        }
        Server::Unix(path) => format!("ldapi:{}", path.display()),
    }
}

fn who<'a>(identity: Option<&'a Identity>, nobody: &'a str) -> &'a str {
    identity.map_or(nobody, |identity| &identity.dn)
}

fn protection(directory: &DirectoryConfig) -> String {
    let Tls { starttls, ca_file, client_certificate, allow_cleartext_passwords } = &directory.tls;
    let clear = !starttls
        && directory.servers.iter().any(|source| {
            matches!(
                source,
                Source::Domain(_) | Source::Server(Server::Tcp { implicit_tls: false, .. })
            )
        });
    let mut text = match (clear, allow_cleartext_passwords) {
        (false, _) => "TLS, certificates verified against ".to_owned(),
        (true, false) => {
            return "none: anybody on the network can forge answers; no logins".to_owned();
        }
        (true, true) => return "none: passwords travel in clear".to_owned(),
    };
    match ca_file {
        Some(file) => text.push_str(&file.display().to_string()),
        None => text.push_str("the system's authorities"),
    }
    if ca_file.is_none() && directory.servers.iter().any(|s| matches!(s, Source::Domain(_))) {
        text.push_str(" (so the DNS may only name servers within the domain)");
    }
    if let Some((certificate, _)) = client_certificate {
        let _ = write!(text, ", with the certificate {}", certificate.display());
    }
    text
}

fn logins(rules: &LoginRules) -> String {
    let mut who = Vec::new();
    if !rules.allow_users.is_empty() {
        let names: Vec<&str> = rules.allow_users.iter().map(AsRef::as_ref).collect();
        who.push(format!("the users {}", names.join(", ")));
    }
    if !rules.allow_groups.is_empty() {
        let names: Vec<&str> = rules.allow_groups.iter().map(AsRef::as_ref).collect();
        who.push(format!("the members of {}", names.join(", ")));
    }
    let who =
        if who.is_empty() { "every user of the directory".to_owned() } else { who.join(" and ") };
    match &rules.filter {
        Some(filter) => format!("{who}, if their entry matches {filter}"),
        None => who,
    }
}

fn cache(cache: &CacheConfig) -> String {
    let on_demand = format!(
        "what was asked for, at most {} names and ids, for {} (what doesn't exist: {})",
        cache.max_entries,
        time(cache.lifetime),
        time(cache.negative_lifetime)
    );
    let told = if cache.push { "told of changes by the server, or else " } else { "" };
    let replica = format!("all users and groups, {told}asked for every {}", time(cache.refresh));
    let kept = match cache.mode {
        CacheMode::Off => return "nothing: every lookup asks the directory".into(),
        CacheMode::OnDemand => on_demand,
        CacheMode::Replica => replica,
        CacheMode::Auto => {
            format!("{replica}; of more than {} {on_demand}", cache.max_replica)
        }
    };
    format!("{kept}; in an outage for {}", time(cache.max_stale))
}

fn offline(offline: &OfflineConfig) -> String {
    if offline.max_age.is_zero() {
        return "no logins while no server answers".into();
    }
    let OfflineConfig { max_age, max_failures } = offline;
    let age = time(*max_age);
    format!(
        "who has logged in here in the last {age} may log in while no server answers, until \
         {max_failures} wrong passwords"
    )
}

/// A time in words; one with a fraction in seconds.
fn time(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => span(time.as_secs()),
        _ => format!("{} s", time.as_secs_f64()),
    }
}

fn paths(rule: &PathRule) -> &'static str {
    match (&rule.overriding, &rule.default) {
        (Some(_), _) => "the same rule for everybody",
        (None, Some(_)) => "as the entry says, else the default",
        (None, None) => "as the entry says",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::account::Name;

    #[test]
    fn no_rule_means_every_user() {
        assert_eq!(logins(&LoginRules::default()), "every user of the directory");
    }

    #[test]
    fn users_and_groups_add_to_each_other() {
        let rules = LoginRules {
            allow_users: vec![Name::parse("alice").unwrap()],
            allow_groups: vec![Name::parse("staff").unwrap(), Name::parse("ops").unwrap()],
            filter: None,
        };
        assert_eq!(logins(&rules), "the users alice and the members of staff, ops");
    }

    #[test]
    fn a_time_is_printed_as_it_was_written() {
        let times =
            [0.5, 1.5, 5.0, 60.0, 90.0].map(|seconds| time(Duration::from_secs_f64(seconds)));
        assert_eq!(times, ["0.5 s", "1.5 s", "5 s", "1 min", "1 min 30 s"]);
    }

    #[test]
    fn logins_without_a_server_are_named_with_their_limits() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let text = offline(&OfflineConfig { max_age: days(14), max_failures: 5 });
        assert!(text.contains("in the last 14 d ") && text.contains("until 5 wrong"), "{text}");
        let text = offline(&OfflineConfig { max_age: days(0), max_failures: 5 });
        assert_eq!(text, "no logins while no server answers");
    }

    #[test]
    fn an_ipv6_address_is_printed_as_a_uri_has_it() {
        let server = Server::Tcp { host: "::1".into(), port: 389, implicit_tls: false };
        assert_eq!(address(&Source::Server(server)), "ldap://[::1]:389");
    }
}
