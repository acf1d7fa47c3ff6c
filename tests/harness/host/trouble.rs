//! What can befall the first server of a host.

use super::Host;

/// Its kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Its process is gone: connections are closed, new ones refused.
    Killed,
    /// Its process stands still (SIGSTOP): the kernel accepts, nobody answers.
    Frozen,
    /// Packets to and from it are dropped.
    Blackholed,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Killed, Self::Frozen, Self::Blackholed];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Blackholed => "blackholed",
        }
    }

    /// Befalls the server.
    pub fn begin(self, host: &mut Host) {
        match self {
            Self::Killed => host.directory().kill(),
            Self::Frozen => host.directory().freeze(),
            Self::Blackholed => {
                let address = host.directory().address().to_owned();
                host.blackhole(&address);
            }
        }
    }

    /// Is over when this returns: from then on the server could answer.
    pub fn end(self, host: &mut Host) {
        match self {
            Self::Killed => host.directory().start(),
            Self::Frozen => host.directory().thaw(),
            Self::Blackholed => host.heal(),
        }
    }
}
