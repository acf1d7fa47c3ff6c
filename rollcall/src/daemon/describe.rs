//! Requests and responses in the words of the log. Nothing secret has a word.

use common::account::Name;
use common::protocol::{Context, Flush, Map, Request, Response, Verdict};

/// What is asked for.
pub(super) fn kind(request: &Request) -> &'static str {
    match request {
        Request::UserByName(_) => "user by name",
        Request::UserById(_) => "user by id",
        Request::GroupByName(_) => "group by name",
        Request::GroupById(_) => "group by id",
        Request::GroupsOf(_) => "groups of a user",
        Request::ShadowByName(_) => "shadow",
        Request::Enumerate(Map::Users, _) => "all users",
        Request::Enumerate(Map::Groups, _) => "all groups",
        Request::Enumerate(Map::Shadows, _) => "all shadows",
        Request::Authenticate { .. } => "password check",
        Request::Authorize { .. } => "login check",
        Request::ChangePassword { .. } => "password change",
        Request::ResetPassword { .. } => "password reset",
        Request::Status => "status",
        Request::Flush(Flush::User(_)) => "flush of a user",
        Request::Flush(Flush::Group(_)) => "flush of a group",
        Request::Flush(Flush::All) => "flush of everything",
        Request::Flush(Flush::Offline) => "flush of the offline logins",
    }
}

/// How it ended.
pub(super) fn outcome(response: &Response) -> String {
    match response {
        Response::User(_) | Response::Group(_) | Response::Gids(_) | Response::Shadow(_) => {
            "found".into()
        }
        Response::Users(batch) => format!("{} entries", batch.entries.len()),
        Response::Groups(batch) => format!("{} entries", batch.entries.len()),
        Response::Shadows(batch) => format!("{} entries", batch.entries.len()),
        Response::Login(answer) => verdict(answer.verdict).into(),
        Response::Status(_) | Response::Done => "done".into(),
        Response::NotFound => "not found".into(),
        Response::Unavailable(why) => why.to_string(),
        Response::Refused(why) => why.to_string(),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::MustChange => "accepted, but the password must be changed",
        Verdict::UnknownUser => "no such user in the directory, or more than one",
        Verdict::WrongPassword => "wrong password",
        Verdict::Locked => "the directory has locked the account",
        Verdict::AccountExpired => "the account has expired",
        Verdict::PasswordExpired => "the password has expired",
        Verdict::Denied => "an access rule keeps this user out",
        Verdict::NewPasswordRefused => "the server refuses the new password",
        Verdict::ResetNotAllowed => "no identity that may reset passwords",
    }
}

/// Somebody who logs in or whose password is changed, and where.
#[derive(Debug)]
pub(super) struct Login {
    kind: &'static str,
    name: Name,
    context: Context,
}

impl Login {
    /// What is worth remembering of a request, if it is about a login.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let (name, context) = match request {
            Request::Authenticate { name, context, .. }
            | Request::Authorize { name, context, .. } => (name, context.clone()),
            Request::ChangePassword { name, .. } | Request::ResetPassword { name, .. } => {
                (name, Context::default())
            }
            _ => return None,
        };
        Some(Self { kind: kind(request), name: name.clone(), context })
    }

    /// `password check of "alice" (service "sshd", from "192.0.2.1"): wrong password`
    ///
    /// Names and places come from whoever logs in, so they are quoted and
    /// escaped: nobody writes log lines of their own.
    pub(super) fn line(&self, outcome: &str) -> String {
        let mut place = Vec::new();
        for (label, value) in [
            ("service", &self.context.service),
            ("terminal", &self.context.tty),
            ("from", &self.context.rhost),
            ("by", &self.context.ruser),
        ] {
            if !value.is_empty() {
                place.push(format!("{label} {value:?}"));
            }
        }
        let place =
            if place.is_empty() { String::new() } else { format!(" ({})", place.join(", ")) };
        format!("{} of {:?}{place}: {outcome}", self.kind, self.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::secret::Secret;

    fn login(name: &str, rhost: &str) -> Login {
        Login::of(&Request::Authenticate {
            name: Name::parse(name).unwrap(),
            password: Secret::new("hunter2".into()),
            context: Context::new("sshd", "", rhost, ""),
        })
        .unwrap()
    }

    #[test]
    fn a_login_is_told_in_one_line() {
        assert_eq!(
            login("alice", "192.0.2.1").line("wrong password"),
            "password check of \"alice\" (service \"sshd\", from \"192.0.2.1\"): wrong password"
        );
    }

    #[test]
    fn nobody_writes_log_lines_of_their_own() {
        let line = login("a\"b", "x\nrollcall: accepted\u{1b}[2J").line("wrong password");
        assert!(!line.contains(char::is_control), "{line:?}");
    }

    /// Himmelblau GHSA-p989: secrets in debug logs.
    #[test]
    fn no_password_is_remembered_for_the_log() {
        assert!(!format!("{:?}", login("alice", "")).contains("hunter2"));
    }
}
