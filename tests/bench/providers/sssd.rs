//! SSSD with its LDAP provider.
//!
//! It enumerates only when told to, and then two more settings are needed:
//! with the default `timeout` its watchdog ends the back end again and again while that
//! stores some 10,000 users, and with the default `enum_cache_timeout` an
//! incomplete first answer hides for two minutes that all have arrived.

use std::time::Duration;

use super::{BASE, CA_FILE, Provider, READER, URI, bare, packages};
use super::{pam, start_daemon, switch, switch_only, wait_for_answers};
use crate::site::Site;

/// How long its enumeration may take to be complete.
const PATIENCE: Duration = Duration::from_secs(180);
const ENUMERATE: &str =
    "enumerate = true\ntimeout = 600\n\n[nss]\ntimeout = 600\nenum_cache_timeout = 5\n";

pub(super) fn start(site: &Site, enumerate: bool) -> Result<Provider, String> {
    let host = bare(site).start();
    packages::install(&host, &["sssd-ldap", "libnss-sss", "libpam-sss"])?;
    let (dn, password) = READER;
    let more = if enumerate { ENUMERATE } else { "" };
    host.write(
        "/etc/sssd/sssd.conf",
        &format!(
            "[sssd]\nservices = nss, pam\ndomains = bench\n\n[domain/bench]\n\
             id_provider = ldap\nauth_provider = ldap\nldap_uri = {URI}\n\
             ldap_search_base = {BASE}\nldap_default_bind_dn = {dn}\n\
             ldap_default_authtok = {password}\nldap_id_use_start_tls = true\n\
             ldap_tls_cacert = {CA_FILE}\nldap_tls_reqcert = demand\n\
             cache_credentials = true\n{more}"
        ),
    );
    host.run(["chmod", "600", "/etc/sssd/sssd.conf"]).success();
    switch(&host, "sss");
    pam(&host, "pam_sss.so");
    start_daemon(
        &host,
        "mkdir -p /run/sssd /var/lib/sss/db /var/lib/sss/mc && sssd -D --logger=files",
    )?;
    wait_for_answers(&host)?;
    switch_only(&host, "sss");
    if enumerate {
        let all = site.people.0 as usize;
        let ask = || {
            let lines = host.run(["getent", "passwd"]).stdout.lines().count();
            std::thread::sleep(Duration::from_secs(1));
            (lines >= all).then_some(())
        };
        harness::until(PATIENCE, ask).ok_or_else(|| {
            format!("its enumeration isn't complete after {} s", PATIENCE.as_secs())
        })?;
    }
    Ok(host.into())
}
