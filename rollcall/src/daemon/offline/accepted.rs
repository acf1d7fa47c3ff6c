//! A password that a server has just accepted, until it is known whether it is kept.

use std::sync::Arc;

use common::login::Account;
use common::secret::Secret;

use super::super::table::wall;
use super::book::{Book, Welcome};
use super::hash::are_same;
use super::policy::Policy;
use super::queue::{Era, Queue};
use super::whose::Whose;

/// A password that a server has just accepted. If nothing is kept of it in the end, because the
/// account check doesn't come or doesn't let in, an older one that is kept counts no more.
#[derive(Debug)]
pub(super) struct Accepted {
    /// `None`: it is going to be kept.
    pub(super) password: Option<Secret>,
    pub(super) password_ends: Option<u64>,
    pub(super) whose: Whose,
    /// In seconds since 1970.
    pub(super) login: u64,
    /// Of the beginning of its request.
    pub(super) began: Era,
    pub(super) queue: Queue,
}

impl Accepted {
    /// Whether it may be this user's.
    pub(super) fn is_of(&self, whose: &Whose) -> bool {
        self.whose.may_be(whose)
    }

    /// Whether it is this password.
    pub(super) fn is_with(&self, password: &Secret) -> bool {
        self.password.as_ref().is_some_and(|own| are_same(own, password))
    }

    /// Has it kept: the account check has let the user in as well.
    pub(super) fn keep(mut self, account: Account, policy: &Arc<Policy>) {
        let Some(password) = self.password.take() else { return };
        let whose = Whose { dn: Some(account.dn.clone()), ..self.whose.clone() };
        let (password_ends, login) = (self.password_ends, self.login);
        let welcome = Welcome { account, password, password_ends, login };
        let (policy, name) = (Arc::clone(policy), whose.name.clone());
        let keep = move |book: &mut Book| book.keep(&name, welcome, &policy, wall());
        self.queue.owe(whose, self.began, keep);
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some(password) = self.password.take() {
            let (Whose { name, dn }, login) = (self.whose.clone(), self.login);
            let work = move |book: &mut Book| {
                book.confirm(&name, dn.as_deref(), &password, login, wall());
            };
            self.queue.owe_besides(self.whose.clone(), work);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use common::account::Name;

    use super::super::record::Record;
    use super::super::record::tests::{LOGIN, policy, record};
    use super::*;

    pub(in super::super) fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    pub(in super::super) fn account() -> Account {
        let Record { user, dn, uuid, directory, shadow, .. } = record();
        Account { directory, user, dn, uuid, shadow }
    }

    pub(in super::super) fn accepted(queue: &Queue, password: &str) -> Accepted {
        Accepted {
            password: Some(secret(password)),
            password_ends: None,
            whose: Whose { name: record().user.name, dn: Some(record().dn) },
            login: LOGIN + 1,
            began: queue.era(),
            queue: queue.clone(),
        }
    }

    /// Alice is kept with the password "right" since [`LOGIN`].
    pub(in super::super) fn queue() -> (tempfile::TempDir, Queue) {
        let folder = tempfile::tempdir().unwrap();
        let mut book = Book::new(&folder.path().join("state"));
        let (password, password_ends) = (secret("right"), None);
        let welcome = Welcome { account: account(), password, password_ends, login: LOGIN };
        book.keep(&record().user.name, welcome, &policy(), LOGIN);
        (folder, Queue::start(book).unwrap())
    }

    async fn holds(queue: &Queue) -> usize {
        let alice: Name = record().user.name;
        queue.ask(Some(&alice), |book| book.names().count()).await.unwrap()
    }

    #[tokio::test]
    async fn a_password_that_is_not_kept_in_the_end_makes_an_older_one_void() {
        let (_folder, queue) = queue();
        drop(accepted(&queue, "right"));
        assert_eq!(holds(&queue).await, 1, "it is the one that is kept");
        drop(accepted(&queue, "new"));
        assert_eq!(holds(&queue).await, 0);
    }

    #[tokio::test]
    async fn nothing_comes_back_after_everything_was_removed() {
        let (_folder, queue) = queue();
        let before = accepted(&queue, "right");
        queue.destroy(false).await.unwrap().unwrap();
        before.keep(account(), &Arc::new(policy()));
        assert_eq!(holds(&queue).await, 0, "it began before");
        accepted(&queue, "right").keep(account(), &Arc::new(policy()));
        assert_eq!(holds(&queue).await, 1);
    }
}
