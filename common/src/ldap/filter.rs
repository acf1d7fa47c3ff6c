//! Search filters (RFC 4515) that can only be built from escaped parts.
//!
//! A [`Filter`] is a piece of filter text that is known to be whole: it starts
//! with `(`, ends with the matching `)`, and every value in it was escaped when
//! it was put in. There is no way to append to one, so no name, however strange,
//! opens or closes a parenthesis (SSSD CVE-2017-12173).

use std::fmt;

/// A whole search filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(Box<str>);

impl Filter {
    /// `(attribute=value)`, with the value escaped (RFC 4515 section 3).
    ///
    /// `attribute` is an attribute description from the configuration, checked
    /// by [`is_attribute`].
    pub fn equals(attribute: &str, value: &str) -> Self {
        Self::compare(attribute, "=", value)
    }

    /// `(attribute>=value)`, likewise.
    pub fn at_least(attribute: &str, value: &str) -> Self {
        Self::compare(attribute, ">=", value)
    }

    fn compare(attribute: &str, operator: &str, value: &str) -> Self {
        let mut text = String::with_capacity(attribute.len() + operator.len() + value.len() + 2);
        text.push('(');
        text.push_str(attribute);
        text.push_str(operator);
        for c in value.chars() {
            match c {
                '*' => text.push_str("\\2a"),
                '(' => text.push_str("\\28"),
                ')' => text.push_str("\\29"),
                '\\' => text.push_str("\\5c"),
                '\0' => text.push_str("\\00"),
                c => text.push(c),
            }
        }
        text.push(')');
        Self(text.into())
    }

    /// `(attribute=*)`
    pub fn present(attribute: &str) -> Self {
        Self(format!("({attribute}=*)").into())
    }

    /// All of these must match.
    pub fn and(parts: &[&Self]) -> Self {
        Self::join('&', parts)
    }

    /// One of these must match.
    pub fn or(parts: &[&Self]) -> Self {
        Self::join('|', parts)
    }

    fn join(operator: char, parts: &[&Self]) -> Self {
        let mut text = format!("({operator}");
        for part in parts {
            text.push_str(&part.0);
        }
        text.push(')');
        Self(text.into())
    }

    /// A filter that an administrator wrote, with or without the outer parentheses.
    ///
    /// # Errors
    /// When it isn't one whole filter.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let text = text.trim();
        let whole = if text.starts_with('(') { text.to_owned() } else { format!("({text})") };
        // ldap3's parser is the one that will read it again for each search.
        ldap3::parse_filter(&whole).map_err(|()| FilterError)?;
        Ok(Self(whole.into()))
    }

    /// The text of the filter.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that isn't a search filter.
#[derive(Debug, PartialEq, Eq)]
pub struct FilterError;

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an LDAP filter; one looks like \"(&(objectClass=person)(l=Oslo))\"")
    }
}

impl std::error::Error for FilterError {}

/// Whether this is an attribute description (RFC 4512 section 2.5): a name or
/// an OID, with options.
pub fn is_attribute(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b';' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SSSD CVE-2017-12173; nslcd's `search_var_add`.
    #[test]
    fn a_name_never_changes_the_shape_of_a_filter() {
        let filter = Filter::equals("uid", "*)(uid=*))(|(uid=*\0\\");
        assert_eq!(filter.as_str(), "(uid=\\2a\\29\\28uid=\\2a\\29\\29\\28|\\28uid=\\2a\\00\\5c)");
    }

    #[test]
    fn an_administrators_filter_must_be_one_whole_filter() {
        assert_eq!(Filter::parse("l=Oslo").unwrap().as_str(), "(l=Oslo)");
        for bad in ["", "(", "(a=b", "(a=b))", "(a=b)(c=d)", "(&(a=b)"] {
            assert!(Filter::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_value_makes_a_filter_that_parses(value: String) {
            prop_assert!(ldap3::parse_filter(Filter::equals("uid", &value).as_str()).is_ok());
        }
    }
}
