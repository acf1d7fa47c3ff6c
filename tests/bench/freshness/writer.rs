//! The directory's administrator, by ldap3 on a kept connection.

use std::collections::HashSet;

use harness::Directory;
use ldap3::{Ldap, LdapConnAsync, Mod};
use tokio::runtime::Runtime;

/// Changes one entry after the other.
pub(super) struct Writer {
    runtime: Runtime,
    ldap: Ldap,
}

impl Writer {
    pub(super) fn connect(directory: &Directory) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be started");
        let uri = directory.ldapi_uri();
        let ldap = runtime.block_on(async {
            let (connection, mut ldap) = LdapConnAsync::new(&uri).await.expect("it answers");
            tokio::spawn(connection.drive());
            let bound = ldap.sasl_external_bind().await.expect("it answers");
            bound.success().expect("the socket knows us");
            ldap
        });
        Self { runtime, ldap }
    }

    /// Returns when the server has answered.
    pub(super) fn set_shell(&mut self, dn: &str, shell: &str) {
        let change = Mod::Replace("loginShell", HashSet::from([shell]));
        let done = self.runtime.block_on(self.ldap.modify(dn, vec![change]));
        done.and_then(ldap3::LdapResult::success).expect("it takes the change");
    }
}
