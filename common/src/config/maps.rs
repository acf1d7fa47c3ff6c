//! `[directory.users]` and `[directory.groups]`: where the entries are, and
//! what their attributes are called. The defaults are RFC 2307's.

use serde::Deserialize;

use super::dn::dn;
use super::error::Problem;
use super::text::{Text, choice, filter};
use super::{GroupAttributes, MapConfig, Scope, UserAttributes};
use crate::ldap::filter::is_attribute;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawUsers {
    base: Option<Text>,
    scope: Option<Text>,
    filter: Option<Text>,
    attributes: RawUserAttributes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawUserAttributes {
    object_class: Option<Text>,
    name: Option<Text>,
    uid: Option<Text>,
    gid: Option<Text>,
    gecos: Option<Text>,
    home: Option<Text>,
    shell: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGroups {
    base: Option<Text>,
    scope: Option<Text>,
    filter: Option<Text>,
    attributes: RawGroupAttributes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawGroupAttributes {
    object_class: Option<Text>,
    name: Option<Text>,
    gid: Option<Text>,
    member: Option<Text>,
}

impl RawUsers {
    pub(super) fn check(&self) -> Result<MapConfig<UserAttributes>, Problem> {
        let named = &self.attributes;
        Ok(MapConfig {
            base: self.base.as_ref().map(dn).transpose()?,
            scope: scope(self.scope.as_ref())?,
            filter: self.filter.as_ref().map(filter).transpose()?,
            attributes: UserAttributes {
                object_class: attribute(named.object_class.as_ref(), "posixAccount")?,
                name: attribute(named.name.as_ref(), "uid")?,
                uid: attribute(named.uid.as_ref(), "uidNumber")?,
                gid: attribute(named.gid.as_ref(), "gidNumber")?,
                gecos: attribute(named.gecos.as_ref(), "gecos")?,
                home: attribute(named.home.as_ref(), "homeDirectory")?,
                shell: attribute(named.shell.as_ref(), "loginShell")?,
            },
        })
    }
}

impl RawGroups {
    pub(super) fn check(&self) -> Result<MapConfig<GroupAttributes>, Problem> {
        let named = &self.attributes;
        Ok(MapConfig {
            base: self.base.as_ref().map(dn).transpose()?,
            scope: scope(self.scope.as_ref())?,
            filter: self.filter.as_ref().map(filter).transpose()?,
            attributes: GroupAttributes {
                object_class: attribute(named.object_class.as_ref(), "posixGroup")?,
                name: attribute(named.name.as_ref(), "cn")?,
                gid: attribute(named.gid.as_ref(), "gidNumber")?,
                member: attribute(named.member.as_ref(), "memberUid")?,
            },
        })
    }
}

fn scope(text: Option<&Text>) -> Result<Scope, Problem> {
    let choices = [("sub", Scope::Sub), ("one", Scope::One), ("base", Scope::Base)];
    text.map_or(Ok(Scope::Sub), |text| choice(text, &choices))
}

fn attribute(text: Option<&Text>, default: &str) -> Result<String, Problem> {
    let Some(text) = text else { return Ok(default.to_owned()) };
    if is_attribute(text.get_ref()) {
        return Ok(text.get_ref().clone());
    }
    let problem = format!(
        "{:?} is not the name of an attribute or object class; one looks like {default:?}",
        text.get_ref()
    );
    Err(Problem::at(text, problem))
}
