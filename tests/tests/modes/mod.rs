//! The ways in which a daemon may cache. What is true with one is true with all.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use harness::{Host, HostBuilder, Output, PATIENCE, until};

/// What the daemon says once it hears of changes, in either way.
const HEARS: [&str; 2] = ["the server tells of changes", "changes are asked for every"];

/// How a host caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Not at all.
    Off,
    /// All of the directory, which tells what changes.
    Replica,
    /// All of the directory, asking each second what has changed.
    Polled,
    /// What was asked for, for a second.
    OnDemand,
}

impl Mode {
    /// Starts a host; a replica is complete then, and on demand changes are heard of: what was
    /// answered before that counts for less.
    pub(crate) fn start(self, builder: HostBuilder) -> Host {
        let host = self.complete(self.start_at_once(builder));
        if self == Self::OnDemand {
            let hears = |line: &String| HEARS.iter().any(|way| line.contains(way));
            until(PATIENCE, || host.log().iter().any(hears).then_some(()))
                .unwrap_or_else(|| panic!("no changes are heard of:\n{}", host.log().join("\n")));
        }
        host
    }

    /// Starts a host, whatever its replica has.
    pub(crate) fn start_at_once(self, builder: HostBuilder) -> Host {
        match self {
            Self::Off => builder.start(),
            Self::Replica => builder.cache("mode = \"replica\"\nrefresh = 1\n").start(),
            Self::Polled => {
                builder.cache("mode = \"replica\"\nrefresh = 1\npush = false\n").start()
            }
            Self::OnDemand => {
                builder.cache("mode = \"on-demand\"\nlifetime = 1\nnegative_lifetime = 1\n").start()
            }
        }
    }

    /// Starts a host that asks for nothing again on its own for the length of a test.
    pub(crate) fn start_lazy(self, builder: HostBuilder) -> Host {
        self.complete(match self {
            Self::Off => builder.start(),
            Self::Replica | Self::Polled => {
                builder.cache("mode = \"replica\"\nrefresh = 3600\npush = false\n").start()
            }
            Self::OnDemand => builder
                .cache(
                    "mode = \"on-demand\"\nlifetime = 3600\nnegative_lifetime = 3600\n\
                     refresh = 3600\npush = false\n",
                )
                .start(),
        })
    }

    fn complete(self, mut host: Host) -> Host {
        if self != Self::Off && self != Self::OnDemand {
            host.daemon().wait_until_complete();
        }
        host
    }
}

/// Runs a command twice: what the first one leaves in a cache changes no answer.
#[track_caller]
pub(crate) fn twice<const N: usize>(host: &Host, command: [&str; N]) -> Output {
    let first = host.run(command);
    let second = host.run(command);
    assert_eq!(first, second, "{command:?}");
    second
}

/// A test for each way of caching, or for some.
#[allow(unused_macros, reason = "each file of tests uses a part of it")]
macro_rules! modes {
    (all: $($rest:tt)+) => {
        modes! { [with_the_cache_off Off, in_a_replica Replica, on_demand OnDemand] $($rest)+ }
    };
    (caching: $($rest:tt)+) => {
        modes! { [in_a_replica Replica, on_demand OnDemand] $($rest)+ }
    };
    (following: $($rest:tt)+) => {
        modes! {
            [in_a_replica Replica, in_a_polled_replica Polled, on_demand OnDemand] $($rest)+
        }
    };
    ([$($test:ident $mode:ident),+]
     $(#[$attribute:meta])* fn $name:ident($argument:ident: Mode) $body:block $($rest:tt)*) => {
        mod $name {
            #[allow(unused_imports, reason = "each test uses a part of them")]
            use super::*;

            $(#[$attribute])*
            fn claim($argument: Mode) $body

            $(
                #[test]
                fn $test() {
                    claim(Mode::$mode);
                }
            )+
        }
        modes! { [$($test $mode),+] $($rest)* }
    };
    ([$($test:ident $mode:ident),+]) => {};
}
