//! Values as they are written: one or several texts, choices, paths, seconds.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::error::{Problem, nearest};
use crate::ldap::filter::Filter;

/// A text with its place.
pub(super) type Text = Spanned<String>;

/// `"a"` or `["a", "b"]`. A single text has no place of its own: it is the key's.
#[derive(Debug)]
pub(super) enum Texts {
    One(String),
    Many(Vec<Text>),
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes, or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Texts, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Texts::Many)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// `[section]` once, or `[[section]]` any number of times.
#[derive(Debug)]
pub(super) enum Sections<T> {
    One(T),
    Many(Vec<Spanned<T>>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Sections<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
            type Value = Sections<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a section with keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Sections::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Sections::Many)
            }
        }
        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

/// A number of seconds, whole or with a fraction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) f64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Seconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds, such as 3 or 0.5")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Seconds, E> {
                #[expect(clippy::cast_precision_loss, reason = "far above any limit by then")]
                Ok(Seconds(number as f64))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Seconds, E> {
                Ok(Seconds(number))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(text: &Text, choices: &[(&str, T)]) -> Result<T, Problem> {
    let word = text.get_ref();
    if let Some((_, value)) = choices.iter().find(|(name, _)| name == word) {
        return Ok(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let meant = nearest(word, &names).map(|name| format!("; did you mean {name:?}?"));
    Err(Problem::at(
        text,
        format!("expected {}, found {word:?}{}", quoted.join(" or "), meant.unwrap_or_default()),
    ))
}

/// The path of a file. It is absolute, because a daemon's working directory is
/// nobody's idea of "here". The text isn't repeated in the message: somebody may
/// have written a password where its file should be named.
pub(super) fn file_path(text: &Text) -> Result<PathBuf, Problem> {
    let path = text.get_ref();
    if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') {
        return Ok(path.into());
    }
    Err(Problem::at(text, "expected the absolute path of a file, such as \"/etc/rollcall.secret\""))
}

/// A whole number within bounds.
pub(super) fn whole<T: TryFrom<i64>>(
    number: &Spanned<i64>,
    bounds: std::ops::RangeInclusive<i64>,
) -> Result<T, Problem> {
    let value = *number.get_ref();
    bounds.contains(&value).then_some(value).and_then(|value| T::try_from(value).ok()).ok_or_else(
        || {
            let (least, most) = bounds.into_inner();
            Problem::at(number, format!("expected {least} to {most}, found {value}"))
        },
    )
}

/// A search filter.
pub(super) fn filter(text: &Text) -> Result<Filter, Problem> {
    Filter::parse(text.get_ref()).map_err(|error| Problem::at(text, error.to_string()))
}
