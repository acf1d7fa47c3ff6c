//! Tells systemd how things stand (`sd_notify(3)`, `Type=notify-reload`).
//!
//! Outside systemd all of this does nothing. A message that can't be sent is
//! no reason to stop: whoever waits for it has a time limit.

use common::protocol::Unavailable;
use sd_notify::NotifyState;

/// Whether systemd, or something like it, started the daemon and is told how things stand.
pub(super) fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// The socket listens. That needs no network and no directory, so nothing that
/// is ordered after the daemon waits for either.
pub(super) fn ready() {
    send(&[NotifyState::Ready, NotifyState::Status("Answering requests")]);
}

/// The socket listens, but there is nothing to answer from.
pub(super) fn without_configuration(why: &Unavailable) {
    // A status is one line.
    let status =
        format!("Answering nothing, the configuration can't be used: {why}").replace('\n', " ");
    send(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The configuration is about to be read again.
pub(super) fn reloading() {
    // systemd matches the two messages of a reload by this time.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        send(&[NotifyState::Reloading, now]);
    }
}

/// The configuration was read again, and could not be used.
pub(super) fn kept_the_old_configuration() {
    send(&[
        NotifyState::Ready,
        NotifyState::Status(
            "Answering requests; the new configuration is wrong, the old one is in use",
        ),
    ]);
}

/// The daemon is about to end.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("Answering the last requests")]);
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::debug!("systemd can't be told: {error}");
    }
}
