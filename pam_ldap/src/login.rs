//! What the phases have in common: whose login it is, asking, and ending.

use common::account::Name;
use common::client::Client;
use common::deadline::{Deadline, LOGIN};
use common::protocol::{Context, Request, Response, Unavailable};
use libc::c_int;
use pamsm::{LogLvl, PamError, PamFlags};

use crate::args::{Args, Whom};
use crate::handle::{Handle, Memory, Text, Tone};
use crate::status::{self, Phase};

/// Longer texts are cut: `PAM_MAX_MSG_SIZE` with its NUL.
const MAX_TEXT: usize = 511;
/// More texts than these are left out: `PAM_MAX_NUM_MSG`.
const MAX_TEXTS: usize = 32;

/// Who answers requests.
pub(crate) trait Source {
    /// Puts a request. Every failure on the way is a [`Response::Unavailable`].
    fn ask(&self, request: &Request) -> Response;
}

/// The source that the options name.
impl Source for Args {
    fn ask(&self, request: &Request) -> Response {
        if let Some(why) = &self.broken {
            return Response::Unavailable(Unavailable::Configuration(why.clone()));
        }
        let client = match &self.whom {
            Whom::Host => Client::Host,
            Whom::Direct(config) => Client::Direct(config),
            Whom::Socket(path) => Client::Socket(path.as_ref()),
        };
        client.ask(request, Deadline::after(LOGIN))
    }
}

/// The flags that PAM hands to an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags(pub(crate) c_int);

impl Flags {
    /// `PAM_PRELIM_CHECK` of `security/pam_modules.h`; [`PamFlags`] lacks it.
    pub(crate) const PRELIM: c_int = 0x4000;
    /// `PAM_UPDATE_AUTHTOK` of the same file.
    pub(crate) const UPDATE: c_int = 0x2000;

    /// Whether this bit is set.
    pub(crate) fn has(self, bit: c_int) -> bool {
        self.0 & bit != 0
    }
}

/// One call of one entry.
pub(crate) struct Login<'a> {
    pub(crate) handle: &'a mut dyn Handle,
    pub(crate) source: &'a dyn Source,
    pub(crate) args: &'a Args,
    pub(crate) flags: Flags,
}

impl Login<'_> {
    /// Whose login it is.
    ///
    /// # Errors
    /// `PAM_USER_UNKNOWN` for root and for what can't be a name, before anybody
    /// is asked anything. The name isn't logged: people type passwords there.
    pub(crate) fn name(&mut self) -> Result<Name, PamError> {
        for option in &self.args.unknown {
            self.log(LogLvl::ERR, &format!("unknown option \"{option}\""));
        }
        if let Some(why) = &self.args.broken {
            self.log(LogLvl::ERR, why);
        }
        let bytes = self.handle.user()?;
        match Name::from_bytes(&bytes) {
            Ok(name) if name.as_str() != "root" => Ok(name),
            _ => {
                self.debug("this user is none of the directory's");
                Err(self.args.excuse(PamError::USER_UNKNOWN, false))
            }
        }
    }

    /// Whether the directory has this user.
    ///
    /// # Errors
    /// `PAM_IGNORE` when the uid is below `minimum_uid=`, or as
    /// [`Login::settle`] has it.
    pub(crate) fn require_user(&self, phase: Phase, name: &Name) -> Result<(), PamError> {
        match self.source.ask(&Request::UserByName(name.clone())) {
            Response::User(user) if user.uid.get() < self.args.minimum_uid => {
                self.debug("the uid is below minimum_uid");
                Err(PamError::IGNORE)
            }
            Response::User(_) => Ok(()),
            other => Err(self.settle(phase, name, &other)),
        }
    }

    /// Where it happens.
    pub(crate) fn context(&self) -> Context {
        let item = |item| clean(&self.handle.text(item));
        Context::new(&item(Text::Service), &item(Text::Tty), &item(Text::Rhost), &item(Text::Ruser))
    }

    /// What an earlier phase left for this user and this source.
    pub(crate) fn memory(&self, name: &Name) -> Option<Memory> {
        let memory = self.handle.memory()?;
        (memory.name == *name && memory.whom == self.args.whom).then_some(memory)
    }

    /// A memory of this login with nothing in it.
    pub(crate) fn blank(&self, name: &Name) -> Memory {
        Memory {
            name: name.clone(),
            whom: self.args.whom.clone(),
            authenticated: false,
            must_change: false,
            ticket: None,
            password: None,
        }
    }

    /// Ends a phase with what a response says: writes the log, and gives the code.
    pub(crate) fn settle(&self, phase: Phase, name: &Name, response: &Response) -> PamError {
        let code = status::code(phase, response);
        let reason = status::reason(response);
        match code {
            PamError::SUCCESS => self.debug(&format!("{name}: {reason}")),
            // Every local user passes here: not worth a line, nor is a name
            // that may be a password.
            PamError::USER_UNKNOWN => self.debug(&reason),
            _ => self.notice(name, &reason),
        }
        self.args.excuse(code, matches!(response, Response::Unavailable(_)))
    }

    /// A line for the admin: who, what, and from where.
    pub(crate) fn notice(&self, name: &Name, what: &str) {
        let context = self.context();
        let mut line = format!("{name}: {what}");
        for (label, value) in
            [("rhost", &context.rhost), ("tty", &context.tty), ("ruser", &context.ruser)]
        {
            if !value.is_empty() {
                line.extend([" ", label, "=", value]);
            }
        }
        self.log(LogLvl::NOTICE, &line);
    }

    /// A line that only the option `debug` lets into the log.
    pub(crate) fn debug(&self, what: &str) {
        if self.args.debug {
            self.log(LogLvl::DEBUG, what);
        }
    }

    fn log(&self, level: LogLvl, line: &str) {
        self.handle.log(level, &clean(line));
    }

    /// Shows the user what a response has to say.
    pub(crate) fn tell_all(&mut self, code: PamError, response: &Response) {
        let Response::Login(answer) = response else { return };
        let fine = matches!(code, PamError::SUCCESS | PamError::NEW_AUTHTOK_REQD);
        let tone = if fine { Tone::Info } else { Tone::Error };
        for text in answer.messages.iter().take(MAX_TEXTS) {
            self.tell(tone, text);
        }
    }

    /// Shows the user one text, unless texts are not wanted.
    pub(crate) fn tell(&mut self, tone: Tone, text: &str) {
        if self.args.no_warn || self.flags.has(PamFlags::SILENT.bits()) {
            return;
        }
        let text = clean(text);
        let end = (0..=MAX_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        let text = text[..end.unwrap_or(0)].trim();
        if !text.is_empty() {
            self.handle.tell(tone, text);
        }
    }
}

/// A text of the directory's or of a client's may hold what a terminal or a
/// log would obey.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
