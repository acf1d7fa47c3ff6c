//! How fast Rollcall is, as ratios to other clients measured in the same run.
//!
//! Run as root: `make bench`. Times of a machine mean little and change with
//! whatever else it does; the ratio of medians of one run is what counts.
//! Nothing here passes or fails.
//!
//! | file | idea |
//! |---|---|
//! | `arguments` | what the command line asks for |
//! | `people` `site` | who is in the directory, and the directory |
//! | `providers` `packages` | who is measured, and where their packages come from |
//! | `measure` | carries out the tasks with each of them |
//! | `inside` | what runs on their hosts: the calls and the clock |
//! | `lines` `unit` `table` | what is printed, and what is aimed at |
//! | `plots` | the same as pictures |
//! | `lookup` | the path without a table: a lookup against one search by ldap3 |
//! | `login` | the same for a PAM login and a bare bind |
//! | `load` `peers` `stand_in` | dlopen and first lookup against the modules of others |
//! | `freshness` | from a change on the server to another answer on the host |
//! | `outages` | lookups and logins while a server is away, and when it is back |
//! | `talk` | a process on a host that does what it is told |
//! | `plain` | ldap3 by itself |
//! | `lib_c` `lib_pam` | the calls that a C program makes |
//! | `samples` `report` | medians, and the lines of the older measurements |

mod arguments;
mod freshness;
mod inside;
mod lib_c;
mod lib_pam;
mod lines;
mod load;
mod login;
mod lookup;
mod measure;
mod outages;
mod packages;
mod peers;
mod people;
mod plain;
mod plots;
mod providers;
mod report;
mod samples;
mod site;
mod stand_in;
mod table;
mod talk;
mod unit;

use std::process::ExitCode;

use arguments::Arguments;

/// The measurements that take turns within one host, as `LINES=` names them.
const OLDER: [&str; 4] = ["daemon-lookups", "daemon-logins", "module-load", "freshness"];

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        // This program again, on a host of the harness, or in a fresh process.
        [inside::INSIDE, ref words @ ..] => inside::run(words),
        [lookup::INSIDE] => lookup::inside(),
        [login::INSIDE] => login::inside(),
        [freshness::INSIDE] => freshness::inside(),
        [load::INSIDE, ref modules @ ..] => load::inside(modules),
        [load::FRESH, module, prefix] => load::fresh(module, prefix),
        ["plots", ref words @ ..] => {
            return done(Arguments::parse(words).and_then(|a| plots::draw(&a)));
        }
        ref words => return done(Arguments::parse(words).map(|arguments| run(&arguments))),
    }
    ExitCode::SUCCESS
}

fn done(result: Result<(), String>) -> ExitCode {
    let Err(why) = result else { return ExitCode::SUCCESS };
    eprintln!("{why}");
    ExitCode::FAILURE
}

fn run(arguments: &Arguments) {
    let measures: [fn(people::People); 4] =
        [|_| lookup::measure(), |_| login::measure(), |_| load::measure(), freshness::measure];
    let older: Vec<_> =
        OLDER.iter().zip(measures).filter(|(name, _)| arguments.wants(name)).collect();
    let only_older = arguments.tasks.iter().all(|task| OLDER.contains(&task.as_str()));
    if arguments.tasks.is_empty() || !only_older {
        let mut site = site::Site::start(arguments.people);
        let results = measure::all(arguments, &mut site);
        println!("{} users\n\n{}", arguments.people.0, table::text(&results));
    }
    if !older.is_empty() {
        report::heading();
        for (_, measure) in older {
            measure(arguments.people);
        }
    }
}
