//! What the command line asks for: words like `N=10000`, as `make` passes them on.

use crate::people::People;
use crate::providers::Kind;

/// What is to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    /// `N=`: how many users there are.
    pub(crate) people: People,
    /// `PEERS=`: who is measured besides Rollcall.
    pub(crate) kinds: Vec<Kind>,
    /// `LINES=`: the tasks to carry out; all, if empty.
    pub(crate) tasks: Vec<String>,
}

/// How the words are to be.
pub(crate) const USAGE: &str = "usage: bench [plots] [N=10000] \
    [PEERS=\"sssd nslcd nslcd-nscd ...\"] [LINES=\"warm logins ...\"]";

/// The fewest users that the samples can be taken from.
const FEWEST: u32 = 100;

impl Arguments {
    /// Reads them. A word without a value counts as not given.
    ///
    /// # Errors
    /// Which word isn't understood.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut arguments =
            Self { people: People(10_000), kinds: Kind::ALL.to_vec(), tasks: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some((_, "")) => {}
                Some(("N", number)) => {
                    let users = number.parse().ok().filter(|users| *users >= FEWEST);
                    arguments.people = People(users.ok_or(format!("N= is from {FEWEST} on"))?);
                }
                Some(("PEERS", names)) => {
                    arguments.kinds =
                        names.split_whitespace().map(kind).collect::<Result<_, _>>()?;
                    // What the others are compared with.
                    arguments.kinds.extend(Kind::ALL.into_iter().filter(|kind| !kind.is_peer()));
                    arguments.kinds.sort_unstable();
                    arguments.kinds.dedup();
                }
                Some(("LINES", names)) => {
                    arguments.tasks =
                        names.split_whitespace().map(task).collect::<Result<_, _>>()?;
                }
                _ => return Err(format!("{word:?}?\n{USAGE}")),
            }
        }
        Ok(arguments)
    }

    /// Whether this task is to be carried out.
    pub(crate) fn wants(&self, task: &str) -> bool {
        self.tasks.is_empty() || self.tasks.iter().any(|wanted| wanted == task)
    }
}

fn kind(name: &str) -> Result<Kind, String> {
    let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| format!("PEERS= {name:?} is none of: {}", names.join(" ")))
}

fn task(name: &str) -> Result<String, String> {
    let tasks =
        crate::measure::TASKS.iter().chain([&crate::measure::ENUMERATE, &crate::measure::OUTAGES]);
    let names: Vec<_> = tasks.map(|task| task.name).collect();
    let found = names.contains(&name) || crate::OLDER.contains(&name);
    let all = || [&names[..], &crate::OLDER].concat().join(" ");
    found.then(|| name.to_owned()).ok_or_else(|| format!("LINES= {name:?} is none of: {}", all()))
}
