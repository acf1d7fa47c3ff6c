//! The programs through which people log in and change passwords.

use crate::host::Host;
use crate::terminal::Terminal;

/// Logs in on a host.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a>(pub(crate) &'a Host);

/// How a login or password change went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Whether it succeeded.
    pub success: bool,
    /// All that the person saw.
    pub transcript: String,
}

/// What is run in a login: only somebody who is in sees the answer.
const INSIDE: &str = "echo I am $(id -un) in $(pwd)";

impl Login<'_> {
    /// `ssh`, keyboard-interactive, with a password and without a terminal of its own there.
    pub fn ssh(&self, user: &str, password: &str) -> Outcome {
        let mut terminal = self.ssh_terminal(user, "keyboard-interactive", &[INSIDE]);
        insist(&mut terminal, password);
        outcome(terminal, user)
    }

    /// The same with the method "password".
    pub fn ssh_password(&self, user: &str, password: &str) -> Outcome {
        let mut terminal = self.ssh_terminal(user, "password", &[INSIDE]);
        insist(&mut terminal, password);
        outcome(terminal, user)
    }

    /// `ssh` that the test drives itself: a method, options and what to run.
    pub fn ssh_terminal(&self, user: &str, method: &str, rest: &[&str]) -> Terminal {
        let methods = format!("-oPreferredAuthentications={method}");
        let target = format!("{user}@127.0.0.1");
        let options = [
            "ssh",
            "-oStrictHostKeyChecking=yes",
            "-oNumberOfPasswordPrompts=1",
            &methods,
            &target,
        ];
        self.0.terminal(options.into_iter().chain(rest.iter().copied()))
    }

    /// `su` from a user who isn't root, with the password of the user to become.
    pub fn su(&self, from: &str, to: &str, password: &str) -> Outcome {
        let mut terminal = self.as_user(from, &["su", "-", to, "-c", INSIDE]);
        insist(&mut terminal, password);
        outcome(terminal, to)
    }

    /// `passwd` as the user.
    pub fn passwd(&self, user: &str, old: &str, new: &str) -> Outcome {
        let mut terminal = self.as_user(user, &["passwd"]);
        answer(&mut terminal, &["assword:"; 3], &[old, new, new]);
        let success = terminal.wait() == Some(0);
        Outcome { success, transcript: terminal.transcript() }
    }

    /// `passwd USER` as root.
    pub fn reset(&self, user: &str, new: &str) -> Outcome {
        let mut terminal = self.0.terminal(["passwd", user]);
        answer(&mut terminal, &["assword:"; 2], &[new, new]);
        let success = terminal.wait() == Some(0);
        Outcome { success, transcript: terminal.transcript() }
    }

    /// A command of a user on a terminal that belongs to the user, as after a login.
    pub fn as_user(&self, user: &str, command: &[&str]) -> Terminal {
        let become_user = [
            "sh",
            "-c",
            r#"chown "$1" "$(tty)"; user=$1; shift
            exec setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")" --init-groups -- "$@""#,
            "sh",
            user,
        ];
        self.0.terminal(become_user.into_iter().chain(command.iter().copied()))
    }
}

/// Answers every question for a password with the same one: a second module of
/// a stack may ask again.
fn insist(terminal: &mut Terminal, password: &str) {
    for _ in 0..4 {
        if terminal.expect_one_of(&["assword:"]).is_none() {
            return;
        }
        terminal.send(password);
    }
}

/// Answers prompts until they are all answered or the program ends.
fn answer(terminal: &mut Terminal, prompts: &[&str], answers: &[&str]) {
    for (prompt, answer) in prompts.iter().zip(answers) {
        if terminal.expect_one_of(&[prompt]).is_none() {
            return;
        }
        terminal.send(answer);
    }
}

fn outcome(mut terminal: Terminal, user: &str) -> Outcome {
    let status = terminal.wait();
    let transcript = terminal.transcript();
    let success = status == Some(0) && transcript.contains(&format!("I am {user} in /"));
    Outcome { success, transcript }
}
