//! People, groups and password policies as LDIF (RFC 2849).

use std::fmt::Write;

use super::BASE;

/// A person with an account: `posixAccount` and `shadowAccount` of RFC 2307.
#[derive(Debug, Clone)]
pub struct User {
    pub(crate) name: String,
    uid: u32,
    gid: u32,
    gecos: Option<String>,
    home: Option<String>,
    shell: Option<String>,
    password: Option<String>,
    attributes: Vec<(String, String)>,
}

impl User {
    /// A person with uid 10000, gid 10000, home `/home/NAME`, the shell
    /// `/bin/sh` and no password.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            uid: 10_000,
            gid: 10_000,
            gecos: None,
            home: Some(format!("/home/{name}")),
            shell: Some("/bin/sh".into()),
            password: None,
            attributes: Vec::new(),
        }
    }

    /// Sets the uid.
    #[must_use]
    pub fn uid(self, uid: u32) -> Self {
        Self { uid, ..self }
    }

    /// Sets the primary gid.
    #[must_use]
    pub fn gid(self, gid: u32) -> Self {
        Self { gid, ..self }
    }

    /// Sets the gecos field.
    #[must_use]
    pub fn gecos(self, gecos: &str) -> Self {
        Self { gecos: Some(gecos.into()), ..self }
    }

    /// Sets the home directory.
    #[must_use]
    pub fn home(self, home: &str) -> Self {
        Self { home: Some(home.into()), ..self }
    }

    /// Sets the shell; an empty text leaves the attribute out.
    #[must_use]
    pub fn shell(self, shell: &str) -> Self {
        Self { shell: (!shell.is_empty()).then(|| shell.into()), ..self }
    }

    /// Sets the password.
    #[must_use]
    pub fn password(self, password: &str) -> Self {
        Self { password: Some(password.into()), ..self }
    }

    /// The password has to be changed at the next login (ppolicy's `pwdReset`).
    #[must_use]
    pub fn must_change(self) -> Self {
        self.attribute("pwdReset", "TRUE")
    }

    /// When the password was set, in seconds before now (ppolicy's `pwdChangedTime`).
    #[must_use]
    pub fn password_age(self, seconds: u64) -> Self {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        self.attribute("pwdChangedTime", &generalized_time(now - seconds))
    }

    /// Adds an attribute's value, operational attributes included.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// The DN of the entry.
    pub fn dn(&self) -> String {
        format!("uid={},ou=people,{BASE}", self.name)
    }

    pub(crate) fn ldif(&self) -> String {
        let mut text = String::new();
        line(&mut text, "dn", &self.dn());
        for class in ["account", "posixAccount", "shadowAccount"] {
            line(&mut text, "objectClass", class);
        }
        line(&mut text, "uid", &self.name);
        line(&mut text, "cn", self.gecos.as_deref().unwrap_or(&self.name));
        line(&mut text, "uidNumber", &self.uid.to_string());
        line(&mut text, "gidNumber", &self.gid.to_string());
        line(&mut text, "homeDirectory", self.home.as_deref().unwrap_or_default());
        let optional =
            [("gecos", &self.gecos), ("loginShell", &self.shell), ("userPassword", &self.password)];
        for (name, value) in optional {
            if let Some(value) = value {
                line(&mut text, name, value);
            }
        }
        for (name, value) in &self.attributes {
            line(&mut text, name, value);
        }
        text + "\n"
    }
}

/// A password policy of draft-behera-ldap-password-policy-10. What isn't set isn't enforced.
#[derive(Debug, Clone, Default)]
pub struct Policy(Vec<(&'static str, String)>);

impl Policy {
    /// A policy that asks for nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A password is too old after so many seconds.
    #[must_use]
    pub fn max_age(self, seconds: u64) -> Self {
        self.with("pwdMaxAge", seconds)
    }

    /// Users are warned so many seconds before their password gets too old.
    #[must_use]
    pub fn warn_before(self, seconds: u64) -> Self {
        self.with("pwdExpireWarning", seconds)
    }

    /// How often a password that is too old can still be used.
    #[must_use]
    pub fn grace_logins(self, count: u64) -> Self {
        self.with("pwdGraceAuthNLimit", count)
    }

    /// The account is locked after so many wrong passwords.
    #[must_use]
    pub fn lock_after(self, failures: u64) -> Self {
        self.with("pwdLockout", "TRUE").with("pwdMaxFailure", failures)
    }

    /// A password that somebody else set has to be changed.
    #[must_use]
    pub fn must_change_after_reset(self) -> Self {
        self.with("pwdMustChange", "TRUE")
    }

    /// The least length of a new password.
    #[must_use]
    pub fn min_length(self, length: u64) -> Self {
        self.with("pwdCheckQuality", 2).with("pwdMinLength", length)
    }

    /// How many old passwords can't be used again.
    #[must_use]
    pub fn history(self, count: u64) -> Self {
        self.with("pwdInHistory", count)
    }

    /// Sets any attribute of the policy.
    #[must_use]
    pub fn with(mut self, attribute: &'static str, value: impl ToString) -> Self {
        self.0.push((attribute, value.to_string()));
        self
    }

    pub(crate) fn ldif(&self) -> String {
        let mut text = format!(
            "dn: cn=default,ou=policies,{BASE}\nobjectClass: device\nobjectClass: pwdPolicy\n\
             cn: default\npwdAttribute: userPassword\npwdAllowUserChange: TRUE\n"
        );
        for (name, value) in &self.0 {
            line(&mut text, name, value);
        }
        text + "\n"
    }
}

/// The entries that every directory has: the base, its folders and identities.
pub(crate) fn frame() -> String {
    let mut text = format!(
        "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
    );
    for folder in ["people", "groups", "policies"] {
        let _ = write!(text, "dn: ou={folder},{BASE}\nobjectClass: organizationalUnit\n\n");
    }
    for (dn, password) in [super::READER, super::RESETTER] {
        let _ = write!(
            text,
            "dn: {dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n\
             userPassword: {password}\n\n"
        );
    }
    text
}

/// A `posixGroup` of RFC 2307.
pub(crate) fn group(name: &str, gid: u32, members: &[&str]) -> String {
    let mut text = String::new();
    line(&mut text, "dn", &format!("cn={name},ou=groups,{BASE}"));
    line(&mut text, "objectClass", "posixGroup");
    line(&mut text, "cn", name);
    line(&mut text, "gidNumber", &gid.to_string());
    for member in members {
        line(&mut text, "memberUid", member);
    }
    text + "\n"
}

/// One line of LDIF, in base64 where RFC 2849 wants that.
fn line(text: &mut String, name: &str, value: &str) {
    let safe = |b: u8| b.is_ascii() && !matches!(b, 0 | b'\n' | b'\r');
    let plain =
        value.bytes().all(safe) && !value.starts_with([' ', ':', '<']) && !value.ends_with(' ');
    let _ = if plain {
        writeln!(text, "{name}: {value}")
    } else {
        writeln!(text, "{name}:: {}", base64(value.as_bytes()))
    };
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let group =
            three.iter().enumerate().fold(0_u32, |g, (i, b)| g | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A time of LDAP (RFC 4517 section 3.3.13) from seconds since 1970 (civil from
/// days, as in the proleptic Gregorian calendar).
fn generalized_time(seconds: u64) -> String {
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let leap = |y: u64| (y.is_multiple_of(4) && !y.is_multiple_of(100)) || y.is_multiple_of(400);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{:02}{:02}{hour:02}{minute:02}{second:02}Z", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_ldap_wants_it() {
        assert_eq!(generalized_time(0), "19700101000000Z");
        assert_eq!(generalized_time(951_827_696), "20000229123456Z");
    }

    #[test]
    fn values_that_ldif_cannot_hold_are_in_base64() {
        let mut text = String::new();
        line(&mut text, "cn", " ab");
        assert_eq!(text, "cn:: IGFi\n");
        assert_eq!(base64("é".as_bytes()), "w6k=");
    }
}
