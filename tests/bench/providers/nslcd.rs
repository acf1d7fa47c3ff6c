//! nss-pam-ldapd: its daemon nslcd, its modules, and on request glibc's nscd
//! before them.

use super::{BASE, CA_FILE, Provider, READER, URI, bare, packages};
use super::{pam, start_daemon, switch, switch_only, wait_for_answers};
use crate::site::Site;

pub(super) fn start(site: &Site, nscd: bool) -> Result<Provider, String> {
    let host = bare(site).start();
    let all = ["nslcd", "libnss-ldapd", "libpam-ldapd", "nscd"];
    packages::install(&host, if nscd { &all } else { &all[..3] })?;
    let (dn, password) = READER;
    host.write(
        "/etc/nslcd.conf",
        &format!(
            "uid nslcd\ngid nslcd\nuri {URI}\nbase {BASE}\nbinddn {dn}\nbindpw {password}\n\
             ssl start_tls\ntls_reqcert demand\ntls_cacertfile {CA_FILE}\n"
        ),
    );
    host.run(["chmod", "640", "/etc/nslcd.conf"]).success();
    switch(&host, "ldap");
    pam(&host, "pam_ldap.so");
    start_daemon(&host, "install -d -o nslcd -g nslcd /run/nslcd && nslcd")?;
    wait_for_answers(&host)?;
    switch_only(&host, "ldap");
    if nscd {
        start_daemon(&host, "mkdir -p /run/nscd /var/cache/nscd && nscd")?;
        wait_for_answers(&host)?;
    }
    Ok(host.into())
}
