//! `[login]`: who may log in here.

use serde::Deserialize;
use toml::Spanned;

use super::LoginRules;
use super::error::Problem;
use super::text::{Text, filter};
use crate::account::Name;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLogin {
    allow_users: Option<Spanned<Vec<Text>>>,
    allow_groups: Option<Spanned<Vec<Text>>>,
    filter: Option<Text>,
}

impl RawLogin {
    pub(super) fn check(&self) -> Result<LoginRules, Problem> {
        Ok(LoginRules {
            allow_users: names(self.allow_users.as_ref())?,
            allow_groups: names(self.allow_groups.as_ref())?,
            filter: self.filter.as_ref().map(filter).transpose()?,
        })
    }
}

fn names(list: Option<&Spanned<Vec<Text>>>) -> Result<Vec<Name>, Problem> {
    let Some(list) = list else { return Ok(Vec::new()) };
    // "Nobody" or "no rule"? Guessing wrong would let everybody in.
    if list.get_ref().is_empty() {
        return Err(Problem::at(
            list,
            "an empty list could mean nobody or everybody; leave the key out to let everybody in",
        ));
    }
    let name = |text: &Text| {
        Name::parse(text.get_ref())
            .map_err(|error| Problem::at(text, format!("{:?}: {error}", text.get_ref())))
    };
    list.get_ref().iter().map(name).collect()
}
