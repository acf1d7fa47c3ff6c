//! Where log lines go, and what they look like.
//!
//! The same line everywhere: the level, the number of the request, a sentence.
//!
//! | where the daemon runs | where its lines go |
//! |---|---|
//! | systemd connected its standard error to the journal | there, with the level in front (`sd-daemon(3)`) |
//! | in the foreground | standard error, with the time |
//! | detached | the system's log, `/dev/log` (the journal listens there as well) |
//!
//! Code that doesn't belong to this project is heard only from a warning on:
//! what a library logs to find its own bugs may contain what it was given. ldap3
//! isn't heard at all: it warns of each search that was given up and of each
//! connection that broke, and what of that matters is said by `common`.

mod system;

use std::io;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging.
pub(super) fn start(level: LevelFilter, detached: bool) {
    let plain = layer().with_ansi(false).with_target(false);
    let lines = if detached {
        plain.without_time().with_level(false).with_writer(system::SystemLog::new()).boxed()
    } else if stderr_is_the_journal() {
        plain.without_time().with_level(false).with_writer(system::WithPriority).boxed()
    } else {
        plain.with_writer(io::stderr).boxed()
    };
    // Fails only if it was started before.
    let _ = tracing_subscriber::registry().with(lines.with_filter(heard(level))).try_init();
    std::panic::set_hook(Box::new(|panic| error!("a bug: {panic}")));
}

/// What is logged.
fn heard(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("rollcall", level)
        .with_target("common", level)
        .with_target("ldap3", LevelFilter::OFF)
}

/// `JOURNAL_STREAM` names the device and inode of what systemd connected; a
/// program in between may have connected something else since (`systemd.exec(5)`).
fn stderr_is_the_journal() -> bool {
    let Some((device, inode)) = std::env::var("JOURNAL_STREAM").ok().and_then(|text| {
        let (device, inode) = text.split_once(':')?;
        Some((device.parse().ok()?, inode.parse().ok()?))
    }) else {
        return false;
    };
    nix::sys::stat::fstat(io::stderr().as_fd())
        .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (device, inode))
}

/// Something that may happen many times a second, and is said once a minute.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is to be said now.
    pub(super) fn is_due(&self) -> bool {
        let Ok(mut last) = self.0.lock() else { return false };
        let due = last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60));
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_library_is_heard_from_a_warning_on() {
        let heard = heard(LevelFilter::TRACE);
        assert!(heard.would_enable("rustls::conn", &Level::WARN));
        assert!(!heard.would_enable("rustls::conn", &Level::INFO));
        assert!(heard.would_enable("common::login", &Level::TRACE));
    }

    #[test]
    fn the_ldap_library_is_not_heard() {
        assert!(!heard(LevelFilter::TRACE).would_enable("ldap3::conn", &Level::ERROR));
    }

    #[test]
    fn what_happens_often_is_said_once() {
        let seldom = Seldom::default();
        assert_eq!([seldom.is_due(), seldom.is_due(), seldom.is_due()], [true, false, false]);
    }
}
