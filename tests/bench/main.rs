//! How fast Rollcall is, as ratios to other clients measured in the same run.
//!
//! Run as root: `make bench`. Times of a machine mean little and change with
//! whatever else it does; so ours and theirs take turns, and the ratio of
//! their medians is what counts. Nothing here passes or fails.
//!
//! | file | idea |
//! |---|---|
//! | `lookup` | a lookup against one search by ldap3 |
//! | `login` | a PAM login against a bare bind by ldap3 |
//! | `load` | dlopen and first lookup against the modules of others |
//! | `stand_in` | daemons that answer at once |
//! | `peers` | where the others' modules come from |
//! | `plain` | ldap3 by itself |
//! | `lib_c` `lib_pam` | the calls that a C program makes |
//! | `samples` `report` | medians, and the lines that are printed |

mod lib_c;
mod lib_pam;
mod load;
mod login;
mod lookup;
mod peers;
mod plain;
mod report;
mod samples;
mod stand_in;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            report::heading();
            lookup::measure();
            login::measure();
            load::measure();
        }
        // This program again, on a host of the harness, or in a fresh process.
        [lookup::INSIDE] => lookup::inside(),
        [login::INSIDE] => login::inside(),
        [load::INSIDE, ref modules @ ..] => load::inside(modules),
        [load::FRESH, module, prefix] => load::fresh(module, prefix),
        _ => {
            eprintln!("usage: bench (no arguments; as root)");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
