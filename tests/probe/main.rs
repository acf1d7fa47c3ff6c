//! A program that asks NSS as C programs do, and then does to its process what
//! C programs do: forks, starts threads, closes descriptors that aren't its own.
//!
//! It carries out its arguments in turn and writes a line for each that asks
//! something. The argument `-` reads more of them from standard input, one a
//! line. What they are is in [`Probe::run`].

mod descriptors;
mod hazards;
mod nss;
mod pace;
mod process;
mod threads;
mod watch;

use std::fs::File;
use std::io::{BufRead, Write};
use std::time::Instant;

use descriptors::Files;
use nss::Answer;

/// What the program has done so far.
#[derive(Default)]
struct Probe {
    /// Stands before every line, to tell the sides of a fork apart.
    side: &'static str,
    /// Where lines go if not to standard output; opened for each line, so that
    /// no descriptor of it is there to be closed.
    output: Option<String>,
    files: Files,
    child: Option<i32>,
}

fn main() {
    // Rust ignores it; a C program dies of it.
    process::default_sigpipe();
    let mut probe = Probe::default();
    for word in std::env::args().skip(1) {
        if word == "-" {
            for line in std::io::stdin().lock().lines() {
                probe.run(&line.expect("standard input can be read"));
            }
        } else {
            probe.run(&word);
        }
    }
    if let Some(child) = probe.child {
        probe.say(&format!("the child ended with {}", process::wait(child)));
    }
}

impl Probe {
    fn run(&mut self, command: &str) {
        let (verb, word) = command.split_once(' ').unwrap_or((command, ""));
        let number = || word.parse().expect("a number");
        match verb {
            // Lookups: "NAME:…", "none" or "error ERRNO".
            "user" => self.tell(nss::user(word)),
            "uid" => self.tell(nss::user_by_id(number())),
            "group" => self.tell(nss::group(word)),
            "gid" => self.tell(nss::group_by_id(number())),
            "groups" => self.say(&nss::groups_of(word)),
            // How long a lookup takes, in milliseconds.
            "time" => {
                let start = Instant::now();
                self.run(word);
                self.say(&start.elapsed().as_millis().to_string());
            }
            // An enumeration: begin, some names, all other names.
            "begin" => nss::begin(),
            "take" => self.take(Some(number() as usize)),
            "rest" => self.take(None),
            "fork" => {
                let child = process::fork();
                self.side = if child == 0 { "child: " } else { "parent: " };
                self.child = (child != 0).then_some(child);
            }
            "lookup-threads" => self.say(&threads::look_up(number())),
            "enumeration-threads" => self.say(&threads::enumerate(number())),
            "fork-within-lookups" => self.say(&hazards::fork_within_lookups(number())),
            "watch" => self.say(&watch::run(word)),
            // A lookup again and again for so many seconds: how long each took.
            "pace" => self.say(&pace::run(word)),
            // A lookup 2000 times, between two signposts: "true MILLISECONDS".
            "warm" => self.say(&hazards::warm(word, 2000)),
            "table" => self.say(&hazards::table_use()),
            "chroot" => process::change_root(word),
            "limit-memory" => process::limit_memory(number().into()),
            "output" => self.output = Some(word.into()),
            "closefrom" => descriptors::close_from(number()),
            "reuse" => self.files.open_up_to(word),
            "write" => self.files.write(),
            "check" => self.say(self.files.check()),
            "descriptors" => descriptors::have_open(number()),
            other => panic!("no such command: {other:?}"),
        }
    }

    fn tell(&self, answer: Answer) {
        self.say(&match answer {
            Ok(Some(line)) => line,
            Ok(None) => "none".into(),
            Err(errno) => format!("error {errno}"),
        });
    }

    /// The names that come next, and how the enumeration ended if it did.
    fn take(&self, limit: Option<usize>) {
        let mut names = Vec::new();
        while limit.is_none_or(|limit| names.len() < limit) {
            match nss::next_user() {
                Ok(line) => names.push(line.split(':').next().unwrap_or_default().to_owned()),
                Err(errno) => {
                    names.push(format!("end {errno}"));
                    break;
                }
            }
        }
        self.say(&names.join(" "));
    }

    fn say(&self, line: &str) {
        let line = format!("{}{line}\n", self.side);
        let written = match &self.output {
            None => std::io::stdout().write_all(line.as_bytes()),
            Some(path) => File::options()
                .create(true)
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(line.as_bytes())),
        };
        written.expect("the output can be written");
    }
}
