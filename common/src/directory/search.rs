//! One search of one directory, on whichever connection answers; and entries of a known DN.

use super::{Directory, found};
use crate::config::Scope;
use crate::deadline::Deadline;
use crate::ldap::LdapError;
use crate::ldap::error::{BUSY, UNAVAILABLE};
use crate::ldap::filter::Filter;
use crate::ldap::pool::{Attended, Purpose};
use crate::ldap::search::{self, Entry, Search};

impl Directory {
    /// One entry, if it is there and the reader may see it.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn read(
        &self,
        dn: &str,
        attributes: &[&str],
        deadline: Deadline,
    ) -> Result<Option<Entry>, LdapError> {
        let filter = &Filter::present("objectClass");
        let search = Search { base: dn, scope: Scope::Base, filter, attributes, limit: 1 };
        Ok(found(self.search(search, Purpose::Login, deadline).await)?.into_iter().next())
    }

    /// Whether an entry matches a filter.
    ///
    /// # Errors
    /// [`LdapError`]
    pub async fn matches(
        &self,
        dn: &str,
        filter: &Filter,
        deadline: Deadline,
    ) -> Result<bool, LdapError> {
        let search =
            Search { base: dn, scope: Scope::Base, filter, attributes: &["1.1"], limit: 1 };
        Ok(!found(self.search(search, Purpose::Login, deadline).await)?.is_empty())
    }

    /// Runs a search on a kept connection. If that turns out to be closed it is
    /// run once more on another. So it is, beside the first, if nobody answers there, or if
    /// the server stays silent for half of the time left while there are others. Of the two, the
    /// first answer counts; an error that is none counts only when there is no other.
    pub(super) async fn search(
        &self,
        search: Search<'_>,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Vec<Entry>, LdapError> {
        let mut place = self.pool.place(purpose, deadline).await?;
        let connection = place.connection.clone();
        let left = deadline.remaining().ok_or(LdapError::TimedOut)?;
        let patience = if self.pool.has_alternatives() { left / 2 } else { left };
        let mut first = std::pin::pin!(search::run(&mut place.connection, search, deadline));
        match self.pool.attend(&connection, first.as_mut(), patience).await {
            Attended::Done(Err(error)) if error.ends_a_connection() => {
                connection.retire();
                return Box::pin(self.search_again(search, purpose, deadline)).await;
            }
            Attended::Done(Err(LdapError::TimedOut)) => {
                self.pool.fell_silent(&connection, left);
                return Err(LdapError::TimedOut);
            }
            Attended::Done(result) => return result,
            Attended::Silent => {}
        }
        let mut again = Box::pin(self.search_again(search, purpose, deadline));
        tokio::select! {
            result = &mut first => match result {
                Err(error) if !is_answer(&error) => again.await,
                result => result,
            },
            result = &mut again => match result {
                Err(error) if !is_answer(&error) => first.await,
                result => result,
            },
        }
    }

    async fn search_again(
        &self,
        search: Search<'_>,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<Vec<Entry>, LdapError> {
        let mut place = self.pool.place(purpose, deadline).await?;
        let left = deadline.remaining().ok_or(LdapError::TimedOut)?;
        let result = search::run(&mut place.connection, search, deadline).await;
        if matches!(result, Err(LdapError::TimedOut)) {
            self.pool.fell_silent(&place.connection, left);
        }
        result
    }
}

/// Whether a server has answered with this, so that another one need not be waited for.
fn is_answer(error: &LdapError) -> bool {
    match error {
        LdapError::Result(code, _) => ![BUSY, UNAVAILABLE].contains(code),
        LdapError::TooMany(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_server_says_of_a_question_answers_it() {
        for code in [4, 10, 32, 50] {
            assert!(is_answer(&LdapError::Result(code, String::new())), "{code}");
        }
        for error in [
            LdapError::Connect(String::new()),
            LdapError::Broken(""),
            LdapError::Down(String::new()),
            LdapError::ReaderRefused(String::new()),
            LdapError::Result(UNAVAILABLE, String::new()),
            LdapError::Busy,
            LdapError::TimedOut,
        ] {
            assert!(!is_answer(&error), "{error:?}");
        }
    }
}
