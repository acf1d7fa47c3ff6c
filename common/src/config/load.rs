//! Reads the whole file.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::cache::RawCache;
use super::connections::RawConnections;
use super::directory::RawDirectory;
use super::error::Problem;
use super::file;
use super::ids::RawIds;
use super::login::RawLogin;
use super::offline::RawOffline;
use super::template::RawPathRule;
use super::text::Sections;
use super::timeouts::RawTimeouts;
use super::{Config, ConfigError, DirectoryConfig};
use crate::secret::Secret;

/// Reads a password's file; a problem is a sentence.
pub(super) type ReadSecret<'a> = &'a dyn Fn(&Path) -> Result<Secret, String>;

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    directory: Option<Spanned<Sections<RawDirectory>>>,
    ids: RawIds,
    home: RawPathRule,
    shell: RawPathRule,
    login: RawLogin,
    timeouts: RawTimeouts,
    connections: RawConnections,
    cache: RawCache,
    offline: RawOffline,
}

impl Config {
    /// Reads a configuration, and the files with passwords that it names.
    ///
    /// # Errors
    /// What is wrong, and where. Also when the file doesn't belong to root or
    /// the caller, or when everybody can write it: it decides who may log in.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            file::read_config(path).map_err(|problem| ConfigError::of_file(path, problem))?;
        Self::parse(&text, path)
    }

    /// Reads a configuration from a text, and the files with passwords that it
    /// names. `origin` is the file that the errors name.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, ConfigError> {
        Self::parse_with(text, origin, &file::read_secret)
    }

    /// As [`Config::parse`], with a way of one's own to read passwords.
    pub(super) fn parse_with(
        text: &str,
        origin: &Path,
        read_secret: ReadSecret<'_>,
    ) -> Result<Self, ConfigError> {
        let raw: Raw =
            toml::from_str(text).map_err(|error| ConfigError::of_toml(origin, text, &error))?;
        raw.check(read_secret).map_err(|problem| ConfigError::of_problem(origin, text, problem))
    }
}

impl Raw {
    fn check(&self, read_secret: ReadSecret<'_>) -> Result<Config, Problem> {
        Ok(Config {
            directories: self.directories(read_secret)?,
            ids: self.ids.check()?,
            home: self.home.check()?,
            shell: self.shell.check()?,
            login: self.login.check()?,
            timeouts: self.timeouts.check()?,
            connections: self.connections.check()?,
            cache: self.cache.check()?,
            offline: self.offline.check()?,
        })
    }

    fn directories(&self, read_secret: ReadSecret<'_>) -> Result<Vec<DirectoryConfig>, Problem> {
        match self.directory.as_ref().map(|section| (section, section.get_ref())) {
            Some((section, Sections::One(directory))) => {
                let missing = |problem: &str| Problem::at(section, problem);
                Ok(vec![directory.check(missing, read_secret)?])
            }
            Some((_, Sections::Many(list))) if !list.is_empty() => list
                .iter()
                .map(|section| {
                    let missing = |problem: &str| Problem::at(section, problem);
                    section.get_ref().check(missing, read_secret)
                })
                .collect(),
            _ => Err(Problem::anywhere(
                "no directory is named; two lines are enough: [directory] and \
                 uri = [\"ldap://ldap.example.org\"]",
            )),
        }
    }
}
