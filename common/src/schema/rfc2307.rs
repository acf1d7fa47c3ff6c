//! RFC 2307: `posixAccount`, `posixGroup` whose `memberUid` are names, `shadowAccount`.

use super::{Rejected, Rules, Schema, fields};
use crate::account::{Gid, Group, Members, Name, Shadow, Uid, User};
use crate::config::{DirectoryConfig, GroupAttributes, MapConfig, UserAttributes};
use crate::ldap::filter::Filter;
use crate::ldap::search::Entry;

/// The class of entries whose passwords age (RFC 2307 section 3).
const SHADOW_CLASS: &str = "shadowAccount";

/// RFC 2307, with the names that a directory gives to classes and attributes.
#[derive(Debug)]
pub(super) struct Rfc2307 {
    users: MapConfig<UserAttributes>,
    groups: MapConfig<GroupAttributes>,
    rules: Rules,
}

impl Rfc2307 {
    pub(super) fn new(directory: &DirectoryConfig, rules: Rules) -> Self {
        Self { users: directory.users.clone(), groups: directory.groups.clone(), rules }
    }

    fn user_where(&self, parts: &[Filter]) -> Filter {
        let class = Filter::equals("objectClass", &self.users.attributes.object_class);
        all_of(&class, parts, self.users.filter.as_ref())
    }

    fn group_where(&self, parts: &[Filter]) -> Filter {
        let class = Filter::equals("objectClass", &self.groups.attributes.object_class);
        all_of(&class, parts, self.groups.filter.as_ref())
    }
}

fn all_of(class: &Filter, parts: &[Filter], configured: Option<&Filter>) -> Filter {
    let all: Vec<&Filter> = [class].into_iter().chain(parts).chain(configured).collect();
    match all[..] {
        [only] => only.clone(),
        _ => Filter::and(&all),
    }
}

impl Schema for Rfc2307 {
    fn users(&self) -> Filter {
        self.user_where(&[])
    }

    fn user_by_name(&self, name: &Name) -> Filter {
        self.user_where(&[Filter::equals(&self.users.attributes.name, name.as_str())])
    }

    fn user_by_id(&self, uid: Uid) -> Filter {
        self.user_where(&[Filter::equals(&self.users.attributes.uid, &uid.to_string())])
    }

    fn user_attributes(&self) -> Vec<&str> {
        let UserAttributes { name, uid, gid, gecos, home, shell, object_class: _ } =
            &self.users.attributes;
        vec![name, uid, gid, gecos, home, shell, "cn"]
    }

    fn user(&self, entry: &Entry, domain: &str) -> Result<User, Rejected> {
        let attributes = &self.users.attributes;
        let name = fields::name(entry, &attributes.name)?;
        let uid = fields::uid(entry, &attributes.uid, &self.rules)?;
        let about = fields::About { name: &name, uid, domain };
        let home = entry.value(&attributes.home);
        let shell = entry.value(&attributes.shell);
        Ok(User {
            uid,
            gid: fields::gid(entry, &attributes.gid, &self.rules)?,
            gecos: fields::gecos(entry, &attributes.gecos),
            home: fields::home(&self.rules.home, home, about),
            shell: fields::shell(&self.rules.shell, shell, about),
            name,
        })
    }

    fn has_name(&self, entry: &Entry, name: &Name) -> bool {
        fields::has_name(entry, &self.users.attributes.name, name)
    }

    fn user_names(&self, entry: &Entry) -> Vec<Name> {
        fields::names(entry, &self.users.attributes.name)
    }

    fn groups(&self) -> Filter {
        self.group_where(&[])
    }

    fn group_by_name(&self, name: &Name) -> Filter {
        self.group_where(&[Filter::equals(&self.groups.attributes.name, name.as_str())])
    }

    fn group_by_id(&self, gid: Gid) -> Filter {
        self.group_where(&[Filter::equals(&self.groups.attributes.gid, &gid.to_string())])
    }

    fn group_attributes(&self) -> Vec<&str> {
        let GroupAttributes { name, gid, member, object_class: _ } = &self.groups.attributes;
        vec![name, gid, member]
    }

    fn group_attributes_without_members(&self) -> Vec<&str> {
        let GroupAttributes { name, gid, member: _, object_class: _ } = &self.groups.attributes;
        vec![name, gid]
    }

    fn group(&self, entry: &Entry) -> Result<Group, Rejected> {
        let attributes = &self.groups.attributes;
        Ok(Group {
            name: fields::name(entry, &attributes.name)?,
            gid: fields::gid(entry, &attributes.gid, &self.rules)?,
            members: self.members(entry),
        })
    }

    fn is_group(&self, entry: &Entry, name: &Name) -> bool {
        fields::has_name(entry, &self.groups.attributes.name, name)
    }

    fn group_names(&self, entry: &Entry) -> Vec<Name> {
        fields::names(entry, &self.groups.attributes.name)
    }

    fn members(&self, entry: &Entry) -> Members {
        let mut members = Members::default();
        // What isn't a name can't log in either; the others are members all the same.
        let names = entry.values(&self.groups.attributes.member);
        names.filter_map(|text| Name::parse(text).ok()).for_each(|name| members.push(&name));
        members
    }

    /// The rule of `memberUid`, caseExactIA5Match, knows no blanks at the ends and
    /// takes several in a row for one (RFC 4517 section 4.2.3, RFC 4518 section 2.6.1).
    fn members_besides(&self, entry: &Entry) -> Vec<Name> {
        let odd = |text: &&str| text.starts_with(' ') || text.ends_with(' ') || text.contains("  ");
        let values = entry.values(&self.groups.attributes.member).filter(odd);
        values.filter_map(|text| Name::parse(&fields::squeezed(text)).ok()).collect()
    }

    fn groups_of(&self, name: &Name) -> Filter {
        self.group_where(&[Filter::equals(&self.groups.attributes.member, name.as_str())])
    }

    fn gid_attributes(&self) -> Vec<&str> {
        vec![&self.groups.attributes.gid]
    }

    fn gid(&self, entry: &Entry) -> Result<Gid, Rejected> {
        fields::gid(entry, &self.groups.attributes.gid, &self.rules)
    }

    fn shadows(&self, name: Option<&Name>) -> Filter {
        let class = Filter::equals("objectClass", SHADOW_CLASS);
        match name {
            None => self.user_where(&[class]),
            Some(name) => {
                let name = Filter::equals(&self.users.attributes.name, name.as_str());
                self.user_where(&[class, name])
            }
        }
    }

    fn shadow_attributes(&self) -> Vec<&str> {
        let attributes = &self.users.attributes;
        vec![
            &attributes.name,
            &attributes.uid,
            "shadowLastChange",
            "shadowMin",
            "shadowMax",
            "shadowWarning",
            "shadowInactive",
            "shadowExpire",
            "shadowFlag",
        ]
    }

    fn shadow(&self, entry: &Entry) -> Result<Shadow, Rejected> {
        let attributes = &self.users.attributes;
        // A user whose id this host refuses is no user of it in this map either.
        fields::uid(entry, &attributes.uid, &self.rules)?;
        Ok(Shadow {
            name: fields::name(entry, &attributes.name)?,
            last_change: fields::days(entry, "shadowLastChange"),
            min: fields::days(entry, "shadowMin"),
            max: fields::days(entry, "shadowMax"),
            warn: fields::days(entry, "shadowWarning"),
            inactive: fields::days(entry, "shadowInactive"),
            expire: fields::days(entry, "shadowExpire"),
            flag: entry.value("shadowFlag").and_then(|flag| flag.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests;
