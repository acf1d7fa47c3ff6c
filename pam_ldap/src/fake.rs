//! For the tests: a transaction without libpam, and a directory that answers
//! what it is told to.

use std::cell::RefCell;
use std::collections::VecDeque;

use common::account::{AbsolutePath, Field, Gid, Name, Uid, User};
use common::protocol::{LoginAnswer, Proof, Request, Response, Ticket, Unavailable, Verdict};
use common::secret::Secret;
use libc::c_int;
use pamsm::{LogLvl, PamError};

use crate::args::Args;
use crate::handle::{Flaw, Handle, Memory, Text, Token, Tone, judge};
use crate::login::{Flags, Login, Source};

/// A transaction, what its user types, and what the directory will answer.
#[derive(Default)]
pub(crate) struct Case {
    pub(crate) handle: Fake,
    pub(crate) directory: Scripted,
    options: Vec<&'static str>,
    flags: c_int,
}

impl Case {
    /// alice comes from `10.0.0.1` by ssh.
    pub(crate) fn new() -> Self {
        let mut case = Self::default();
        case.handle.user = b"alice".to_vec();
        case
    }

    pub(crate) fn user(mut self, user: &[u8]) -> Self {
        self.handle.user = user.to_vec();
        self
    }

    pub(crate) fn options(mut self, options: &[&'static str]) -> Self {
        self.options = options.to_vec();
        self
    }

    pub(crate) fn flags(mut self, flags: c_int) -> Self {
        self.flags = flags;
        self
    }

    pub(crate) fn root(mut self) -> Self {
        self.handle.root = true;
        self
    }

    /// What the user answers to the next prompts.
    pub(crate) fn types(mut self, answers: &[&[u8]]) -> Self {
        self.handle.answers.extend(answers.iter().map(|a| Ok(a.to_vec())));
        self
    }

    /// The next prompt ends in this error.
    pub(crate) fn hangs_up(mut self, code: PamError) -> Self {
        self.handle.answers.push_back(Err(code));
        self
    }

    /// What an earlier module has put into the handle.
    pub(crate) fn token(mut self, token: Token, bytes: &[u8]) -> Self {
        *self.handle.slot(token) = Some(bytes.to_vec());
        self
    }

    /// What the directory answers to the next requests.
    pub(crate) fn answered(self, responses: impl IntoIterator<Item = Response>) -> Self {
        self.directory.script.borrow_mut().extend(responses);
        self
    }

    pub(crate) fn run(&mut self, phase: fn(&mut Login<'_>) -> PamError) -> PamError {
        let args = Args::parse(self.options.iter().copied());
        phase(&mut Login {
            handle: &mut self.handle,
            source: &self.directory,
            args: &args,
            flags: Flags(self.flags),
        })
    }

    /// Ends a phase as libpam does: the passwords in the handle are forgotten.
    pub(crate) fn next(mut self, flags: c_int) -> Self {
        self.handle.tokens = [None, None];
        self.flags = flags;
        self
    }

    /// What was asked so far, in words.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.directory.asked.borrow().clone()
    }

    pub(crate) fn told(&self) -> Vec<(Tone, &str)> {
        self.handle.told.iter().map(|(tone, text)| (*tone, text.as_str())).collect()
    }

    pub(crate) fn log(&self) -> String {
        self.handle.log.borrow().join("\n")
    }
}

/// The handle of a [`Case`].
#[derive(Default)]
pub(crate) struct Fake {
    user: Vec<u8>,
    tokens: [Option<Vec<u8>>; 2],
    answers: VecDeque<Result<Vec<u8>, PamError>>,
    root: bool,
    memory: Option<Memory>,
    log: RefCell<Vec<String>>,
    told: Vec<(Tone, String)>,
    pub(crate) prompts: Vec<String>,
    pub(crate) delay: u32,
}

impl Fake {
    fn slot(&mut self, token: Token) -> &mut Option<Vec<u8>> {
        &mut self.tokens[usize::from(token == Token::Old)]
    }
}

impl Handle for Fake {
    fn user(&mut self) -> Result<Vec<u8>, PamError> {
        Ok(self.user.clone())
    }

    fn text(&self, item: Text) -> String {
        let text = match item {
            Text::Service => "sshd",
            Text::Tty => "ssh",
            Text::Rhost => "10.0.0.1",
            Text::Ruser => "",
        };
        text.to_owned()
    }

    fn token(&self, token: Token) -> Option<Result<Secret, Flaw>> {
        self.tokens[usize::from(token == Token::Old)].as_deref().map(judge)
    }

    fn set_token(&mut self, token: Token, password: &Secret) -> Result<(), PamError> {
        *self.slot(token) = Some(password.expose().as_bytes().to_vec());
        Ok(())
    }

    fn prompt(&mut self, text: &str) -> Result<Result<Secret, Flaw>, PamError> {
        self.prompts.push(text.to_owned());
        let answer = self.answers.pop_front().expect("nobody was to be asked");
        answer.map(|bytes| judge(&bytes))
    }

    fn tell(&mut self, tone: Tone, text: &str) {
        self.told.push((tone, text.to_owned()));
    }

    fn memory(&self) -> Option<Memory> {
        self.memory.clone()
    }

    fn remember(&mut self, memory: Option<Memory>) -> Result<(), PamError> {
        self.memory = memory;
        Ok(())
    }

    fn log(&self, _: LogLvl, line: &str) {
        self.log.borrow_mut().push(line.to_owned());
    }

    fn delay_failure(&mut self, microseconds: u32) {
        self.delay = microseconds;
    }

    fn asker_is_root(&self) -> bool {
        self.root
    }
}

/// The directory of a [`Case`].
#[derive(Default)]
pub(crate) struct Scripted {
    script: RefCell<VecDeque<Response>>,
    asked: RefCell<Vec<String>>,
}

impl Source for Scripted {
    fn ask(&self, request: &Request) -> Response {
        let words = match request {
            Request::UserByName(name) => format!("user {name}"),
            Request::Authenticate { name, password, context } => {
                format!("authenticate {name} {} at {}", password.expose(), context.service)
            }
            Request::Authorize { name, authenticated, .. } => {
                format!("authorize {name} {authenticated}")
            }
            Request::ChangePassword { name, proof, new } => match proof {
                Proof::Old(old) => format!("change {name} {} {}", old.expose(), new.expose()),
                Proof::Ticket(ticket) => format!("change {name} #{} {}", ticket.0, new.expose()),
            },
            Request::ResetPassword { name, new } => format!("reset {name} {}", new.expose()),
            other => format!("{other:?}"),
        };
        self.asked.borrow_mut().push(words);
        self.script.borrow_mut().pop_front().expect("nothing was to be asked")
    }
}

pub(crate) fn verdict(verdict: Verdict) -> Response {
    Response::Login(verdict.into())
}

pub(crate) fn says(verdict: Verdict, text: &str) -> Response {
    Response::Login(LoginAnswer { messages: vec![text.into()], ..verdict.into() })
}

pub(crate) fn must_change(ticket: Option<u64>) -> Response {
    Response::Login(LoginAnswer { ticket: ticket.map(Ticket), ..Verdict::MustChange.into() })
}

pub(crate) fn outage() -> Response {
    Response::Unavailable(Unavailable::NoDaemon)
}

/// The entry of alice, with this uid.
pub(crate) fn alice(uid: u32) -> Response {
    Response::User(User {
        name: Name::parse("alice").unwrap(),
        uid: Uid::new(uid).unwrap(),
        gid: Gid::new(1000).unwrap(),
        gecos: Field::default(),
        home: AbsolutePath::nonexistent(),
        shell: AbsolutePath::parse("/bin/sh").unwrap(),
    })
}
