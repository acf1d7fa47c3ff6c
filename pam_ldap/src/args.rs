//! The options behind `pam_ldap.so` in a line of `/etc/pam.d`.

use pamsm::PamError;

/// The options of one line.
///
/// | option | meaning |
/// |---|---|
/// | (none) | a password that an earlier module asked for is used; without one, the user is asked |
/// | `try_first_pass` | the same, and when that password is wrong the user is asked for another one |
/// | `use_first_pass` | the password of an earlier module and no other; the user is never asked |
/// | `use_authtok` | the new password is the one that an earlier module has asked for, and no other |
/// | `ignore_unknown_user` | `PAM_IGNORE` for a user who isn't in the directory |
/// | `ignore_authinfo_unavail` | `PAM_IGNORE` while the directory can't be asked |
/// | `no_warn` | no texts for the user, as with `PAM_SILENT` |
/// | `minimum_uid=N` | `PAM_IGNORE` for users whose uid is below N |
/// | `debug` | more in the log; never a password |
/// | `config=PATH` | `direct.so` with this configuration instead of the daemon |
/// | `socket=PATH` | the daemon behind this socket |
///
/// Without an option the module behaves as `pam_get_authtok(3)` does, and so
/// as `pam_unix(8)`: whoever stacks the two is asked once.
///
/// An option that isn't known is logged and has no effect. One whose value
/// can't be used is another matter: leaving out `minimum_uid=` or asking
/// another daemon than the one written could let somebody in. Then nobody is
/// asked, and all answers are "unavailable" ([`Args::broken`]), which
/// `ignore_authinfo_unavail` doesn't excuse: it is meant for an outage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Args {
    /// `try_first_pass`
    pub(crate) try_first_pass: bool,
    /// `use_first_pass`
    pub(crate) use_first_pass: bool,
    /// `use_authtok`
    pub(crate) use_authtok: bool,
    /// `ignore_unknown_user`
    pub(crate) ignore_unknown_user: bool,
    /// `ignore_authinfo_unavail`
    pub(crate) ignore_authinfo_unavail: bool,
    /// `no_warn`
    pub(crate) no_warn: bool,
    /// `debug`
    pub(crate) debug: bool,
    /// `minimum_uid=`; 0 when not given.
    pub(crate) minimum_uid: u32,
    /// Who is asked.
    pub(crate) whom: Whom,
    /// Options that aren't known, for the log.
    pub(crate) unknown: Vec<String>,
    /// Why these options can't be used.
    pub(crate) broken: Option<String>,
}

/// Who is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Whom {
    /// This host's daemon, or `direct.so` where there is none.
    #[default]
    Host,
    /// `config=`
    Direct(String),
    /// `socket=`
    Socket(String),
}

impl Args {
    /// Reads the options in their order.
    pub(crate) fn parse<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        let mut args = Self::default();
        for option in options {
            args.take(option);
        }
        args
    }

    fn take(&mut self, option: &str) {
        match option {
            "try_first_pass" => self.try_first_pass = true,
            "use_first_pass" => self.use_first_pass = true,
            "use_authtok" => self.use_authtok = true,
            "ignore_unknown_user" => self.ignore_unknown_user = true,
            "ignore_authinfo_unavail" => self.ignore_authinfo_unavail = true,
            "no_warn" => self.no_warn = true,
            "debug" => self.debug = true,
            _ => match option.split_once('=') {
                Some(("minimum_uid", number)) => match number.parse() {
                    Ok(uid) => self.minimum_uid = uid,
                    Err(_) => self.cannot_use(option, "a number is expected"),
                },
                Some(("config", path)) => self.ask_only(option, path, Whom::Direct),
                Some(("socket", path)) => self.ask_only(option, path, Whom::Socket),
                _ => self.unknown.push(option.to_owned()),
            },
        }
    }

    fn ask_only(&mut self, option: &str, path: &str, whom: impl Fn(String) -> Whom) {
        if !path.starts_with('/') {
            self.cannot_use(option, "a path that starts with \"/\" is expected");
        } else if self.whom != Whom::Host {
            self.cannot_use(option, "config= and socket= may be given once, and not both");
        } else {
            self.whom = whom(path.to_owned());
        }
    }

    fn cannot_use(&mut self, option: &str, why: &str) {
        self.broken.get_or_insert_with(|| format!("option \"{option}\": {why}"));
    }

    /// Turns the codes that these options are about into `PAM_IGNORE`.
    /// `outage` says whether the code stands for one: `PAM_TRY_AGAIN` may.
    pub(crate) fn excuse(&self, code: PamError, outage: bool) -> PamError {
        let ignored = (outage && self.ignore_authinfo_unavail && self.broken.is_none())
            || (code == PamError::USER_UNKNOWN && self.ignore_unknown_user);
        if ignored { PamError::IGNORE } else { code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_understood() {
        let args = Args::parse([
            "try_first_pass",
            "use_first_pass",
            "use_authtok",
            "ignore_unknown_user",
            "ignore_authinfo_unavail",
            "no_warn",
            "debug",
            "minimum_uid=1000",
            "config=/etc/other.toml",
        ]);
        let expected = Args {
            try_first_pass: true,
            use_first_pass: true,
            use_authtok: true,
            ignore_unknown_user: true,
            ignore_authinfo_unavail: true,
            no_warn: true,
            debug: true,
            minimum_uid: 1000,
            whom: Whom::Direct("/etc/other.toml".into()),
            unknown: vec![],
            broken: None,
        };
        assert_eq!(args, expected);
        assert_eq!(Args::parse(["socket=/run/s"]).whom, Whom::Socket("/run/s".into()));
    }

    #[test]
    fn an_unknown_option_is_kept_for_the_log_and_nothing_else() {
        let args = Args::parse(["nullok", "debug", "color=red"]);
        assert_eq!(args.unknown, ["nullok", "color=red"]);
        assert!(args.debug && args.broken.is_none());
    }

    #[test]
    fn a_value_that_cannot_be_used_breaks_the_line() {
        for options in [
            &["minimum_uid=many"][..],
            &["minimum_uid=-1"],
            &["config=rollcall.toml"],
            &["socket="],
            &["config=/a", "socket=/b"],
        ] {
            assert!(Args::parse(options.iter().copied()).broken.is_some(), "{options:?}");
        }
    }

    #[test]
    fn a_line_that_is_broken_is_never_ignored_as_an_outage() {
        let args = Args::parse(["ignore_authinfo_unavail", "minimum_uid=1O00"]);
        for code in [PamError::AUTHINFO_UNAVAIL, PamError::TRY_AGAIN] {
            assert_eq!(args.excuse(code, true), code);
        }
    }

    #[test]
    fn only_the_codes_that_an_option_names_are_ignored() {
        let args = Args { ignore_unknown_user: true, ..Args::default() };
        assert_eq!(args.excuse(PamError::USER_UNKNOWN, false), PamError::IGNORE);
        assert_eq!(args.excuse(PamError::AUTH_ERR, false), PamError::AUTH_ERR);
        assert_eq!(args.excuse(PamError::AUTHINFO_UNAVAIL, true), PamError::AUTHINFO_UNAVAIL);
        let args = Args { ignore_authinfo_unavail: true, ..Args::default() };
        assert_eq!(args.excuse(PamError::AUTHINFO_UNAVAIL, true), PamError::IGNORE);
        assert_eq!(args.excuse(PamError::USER_UNKNOWN, false), PamError::USER_UNKNOWN);
    }
}
