//! Changes that the directory's administrator makes while it runs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{Directory, User, entry};
use crate::need;

impl Directory {
    /// Replaces all values of an attribute; without any, the attribute goes.
    pub fn replace(&self, dn: &str, attribute: &str, values: &[&str]) {
        self.ldapmodify(&replacement(dn, &[(attribute, values)]));
    }

    /// Adds a value to an attribute.
    pub fn add_value(&self, dn: &str, attribute: &str, value: &str) {
        self.change(dn, &format!("modify\nadd: {attribute}\n{attribute}: {value}"));
    }

    /// Takes a value from an attribute.
    pub fn remove_value(&self, dn: &str, attribute: &str, value: &str) {
        self.change(dn, &format!("modify\ndelete: {attribute}\n{attribute}: {value}"));
    }

    /// Adds a person.
    pub fn add_user(&self, user: &User) {
        self.add(&user.ldif());
    }

    /// Adds a group.
    pub fn add_group(&self, name: &str, gid: u32, members: &[&str]) {
        self.add(&entry::group(name, gid, members));
    }

    /// Deletes an entry.
    pub fn delete(&self, dn: &str) {
        self.change(dn, "delete");
    }

    /// Gives an entry another first part of its DN; the old value goes.
    pub fn rename(&self, dn: &str, rdn: &str) {
        self.change(dn, &format!("modrdn\nnewrdn: {rdn}\ndeleteoldrdn: 1"));
    }

    /// Puts an entry under another one; the first part of its DN stays.
    pub fn move_below(&self, dn: &str, above: &str) {
        let (rdn, _) = dn.split_once(',').expect("a DN of more than one part");
        self.change(dn, &format!("modrdn\nnewrdn: {rdn}\ndeleteoldrdn: 1\nnewsuperior: {above}"));
    }

    /// Starts to change it as fast as it can; see [`Changes`].
    pub fn changes(&self) -> Changes {
        let mut child = Command::new(need::program("ldapmodify", "ldap-utils"))
            .args(["-Q", "-Y", "EXTERNAL", "-H", &self.ldapi_uri()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("ldapmodify can be started");
        let stdin = child.stdin.take();
        Changes { child, stdin }
    }

    fn add(&self, ldif: &str) {
        let (dn, rest) = ldif.split_once('\n').expect("an entry has more than one line");
        self.ldapmodify(&format!("{dn}\nchangetype: add\n{rest}"));
    }

    fn change(&self, dn: &str, what: &str) {
        self.ldapmodify(&format!("dn: {dn}\nchangetype: {what}\n"));
    }
}

/// A stream of changes, one after the other over one connection. Telling more of
/// them than the directory has made waits for it.
#[derive(Debug)]
pub struct Changes {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Changes {
    /// Replaces all values of these attributes of an entry, all at once.
    pub fn replace(&mut self, dn: &str, attributes: &[(&str, &[&str])]) {
        let stdin = self.stdin.as_mut().expect("it is open until it is finished");
        stdin.write_all(replacement(dn, attributes).as_bytes()).expect("ldapmodify reads");
    }

    /// Waits until the directory has made all of them.
    pub fn finish(mut self) {
        drop(self.stdin.take());
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "ldapmodify: {status}");
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

fn replacement(dn: &str, attributes: &[(&str, &[&str])]) -> String {
    let mut ldif = format!("dn: {dn}\nchangetype: modify\n");
    for (attribute, values) in attributes {
        let _ = writeln!(ldif, "replace: {attribute}");
        for value in *values {
            let _ = writeln!(ldif, "{attribute}: {value}");
        }
        ldif += "-\n";
    }
    ldif + "\n"
}
