//! Tells systemd how things stand (`sd_notify(3)`, `Type=notify-reload`).
//!
//! Outside systemd all of this does nothing. A message that can't be sent is
//! no reason to stop: whoever waits for it has a time limit.

use sd_notify::NotifyState;

/// The socket listens. That needs no network and no directory, so nothing that
/// is ordered after the daemon waits for either.
pub(super) fn ready() {
    send(&[NotifyState::Ready, NotifyState::Status("Answering requests")]);
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
