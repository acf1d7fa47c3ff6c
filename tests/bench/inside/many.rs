//! Many processes that look different users up at the same time.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::calls::{Caller, Key};
use crate::people::{People, Sample};

/// The task of one of the processes.
pub(super) const ONE: &str = "one-of-many";

const PROCESSES: u32 = 100;

/// Starts them all, and lets them begin together.
pub(super) fn processes(people: People) {
    let sample = people.sample(Sample::Processes);
    let each = u32::try_from(sample.len()).expect("a sample is small").div_ceil(PROCESSES);
    let parts = sample.clone().step_by(each as usize).map(|first| {
        let last = (first + each).min(sample.end);
        vec![first.to_string(), last.to_string()]
    });
    together(people, ONE, parts);
}

/// Runs this program once for each of these arguments. They say when they are
/// ready, begin together, and may print a line in the end.
pub(super) fn together(
    people: People,
    task: &str,
    arguments: impl Iterator<Item = Vec<String>>,
) -> Vec<String> {
    let start = |arguments: Vec<String>| -> Child {
        let mut command = Command::new("/proc/self/exe");
        command.args([super::INSIDE, &people.0.to_string(), task]).args(arguments);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        started.expect("this program can be started")
    };
    let mut children: Vec<_> = arguments.map(start).collect();
    let mut outputs: Vec<_> = children
        .iter_mut()
        .map(|child| BufReader::new(child.stdout.take().expect("it is a pipe")).lines())
        .collect();
    for output in &mut outputs {
        assert_eq!(output.next().and_then(Result::ok).as_deref(), Some("ready"));
    }
    for child in &mut children {
        drop(child.stdin.take());
    }
    let lines = outputs.into_iter().flatten().map_while(Result::ok).collect();
    for mut child in children {
        assert!(child.wait().expect("it is our child").success());
    }
    lines
}

/// Waits until all are ready.
pub(super) fn wait() {
    println!("ready");
    std::io::stdout().flush().expect("it is a pipe");
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// One of them: the users from a number to a number.
pub(super) fn one(people: People, range: &[&str]) {
    let [first, last] = range else { panic!("two numbers: {range:?}") };
    let number = |text: &str| text.parse::<u32>().expect("a number");
    let mut caller = Caller::new();
    wait();
    for i in number(first)..number(last).min(people.0) {
        assert!(caller.call(&Key::user(&People::user(i))), "{i} is there");
    }
}
