//! What can befall the first server of a host.

use harness::Host;

/// Its kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Its process is gone: connections are closed, new ones refused.
    Killed,
    /// Its process stands still (SIGSTOP): the kernel accepts, nobody answers.
    Frozen,
    /// Packets to and from it are dropped.
    Blackholed,
}

impl Trouble {
    pub(super) const ALL: [Self; 3] = [Self::Killed, Self::Frozen, Self::Blackholed];

    /// What the names of its figures have in them.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Blackholed => "blackholed",
        }
    }

    pub(super) fn begin(self, host: &mut Host) {
        match self {
            Self::Killed => host.directory().kill(),
            Self::Frozen => host.directory().freeze(),
            Self::Blackholed => {
                let address = host.directory().address().to_owned();
                host.blackhole(&address);
            }
        }
    }

    /// When this returns, the server could answer.
    pub(super) fn end(self, host: &mut Host) {
        match self {
            Self::Killed => host.directory().start(),
            Self::Frozen => host.directory().thaw(),
            Self::Blackholed => host.heal(),
        }
    }
}
