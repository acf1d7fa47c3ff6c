//! How the demo looks: a heading, the command, its output, what to notice.

use std::io::IsTerminal;
use std::process::ExitCode;

use harness::{Host, Outcome, Output};

/// Prints steps and keeps account of those that went wrong.
#[derive(Debug, Default)]
pub(crate) struct Show {
    steps: usize,
    wrong: Vec<String>,
}

impl Show {
    /// Begins a step.
    pub(crate) fn heading(&mut self, text: &str) {
        self.steps += 1;
        println!("\n{}", bold(&format!("{}. {text}", self.steps)));
    }

    /// Runs a command, shows it, and says what to notice.
    pub(crate) fn run(
        &mut self,
        host: &Host,
        command: &[&str],
        right: impl Fn(&Output) -> bool,
        notice: &str,
    ) {
        let output = host.run(command);
        let quoted =
            |word: &&str| if word.contains(' ') { format!("\"{word}\"") } else { (*word).into() };
        prompt(&command.iter().map(quoted).collect::<Vec<String>>().join(" "));
        indented(&output.stdout);
        indented(&output.stderr);
        if output.status != Some(0) {
            println!("    (exit status {})", output.status.map_or("?".into(), |s| s.to_string()));
        }
        self.notice(right(&output), notice);
    }

    /// Shows a login, and says what to notice.
    pub(crate) fn login(&mut self, command: &str, outcome: &Outcome, right: bool, notice: &str) {
        prompt(command);
        indented(&outcome.transcript);
        self.notice(right, notice);
    }

    /// Shows a line that was logged.
    pub(crate) fn log(&mut self, host: &Host, texts: &[&str], notice: &str) {
        let find = || host.log().into_iter().find(|line| texts.iter().all(|t| line.contains(t)));
        let line = harness::until(harness::PATIENCE, find);
        prompt("tail /var/log/syslog");
        indented(line.as_deref().unwrap_or("(nothing)"));
        self.notice(line.is_some(), notice);
    }

    fn notice(&mut self, right: bool, text: &str) {
        if right {
            println!("  → {text}");
        } else {
            println!("  ✗ This should be so, and isn't: {text}");
            self.wrong.push(format!("step {}: {text}", self.steps));
        }
    }

    /// The last line, and the exit status.
    pub(crate) fn end(self) -> ExitCode {
        if self.wrong.is_empty() {
            println!("\n{}", bold(&format!("All {} steps did what they should.", self.steps)));
            return ExitCode::SUCCESS;
        }
        println!("\n{}\n  {}", bold("Some steps went wrong:"), self.wrong.join("\n  "));
        ExitCode::FAILURE
    }
}

fn prompt(command: &str) {
    println!("  {}", bold(&format!("host# {command}")));
}

fn indented(text: &str) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        println!("    {line}");
    }
}

fn bold(text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.into() }
}
