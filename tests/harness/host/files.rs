//! The files of `/etc` that make a Host ask the directory.

/// `nsswitch.conf(5)`.
pub(super) const NSSWITCH: &str = "\
passwd: files ldap
group: files ldap
shadow: files ldap
hosts: files
networks: files
protocols: files
services: files
";

/// `hosts(5)`
pub(super) const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";

/// The stacks of `pam.d(5)`: those that Rollcall ships as examples.
pub(super) const PAM: [(&str, &str); 8] = [
    ("common-auth", include_str!("../../../packaging/pam/examples/common-auth")),
    ("common-account", include_str!("../../../packaging/pam/examples/common-account")),
    ("common-password", include_str!("../../../packaging/pam/examples/common-password")),
    (
        "common-session",
        "session required pam_permit.so
session optional pam_mkhomedir.so umask=0077
",
    ),
    (
        "sshd",
        "@include common-auth
account required pam_nologin.so
@include common-account
@include common-session
@include common-password
",
    ),
    (
        "su",
        "auth sufficient pam_rootok.so
@include common-auth
@include common-account
@include common-session
@include common-password
",
    ),
    (
        "login",
        "@include common-auth
@include common-account
@include common-session
@include common-password
",
    ),
    ("passwd", "@include common-password\n"),
];

/// `common-*` of a Host without Rollcall.
pub(super) const LOCAL_PAM: [(&str, &str); 4] = [
    ("common-auth", "auth required pam_unix.so\n"),
    ("common-account", "account required pam_unix.so\n"),
    ("common-password", "password required pam_unix.so sha512\n"),
    ("common-session", "session required pam_permit.so\n"),
];

/// `sshd_config(5)`. Keyboard-interactive shows the user all that PAM says; the
/// method "password" is there for tests of its own.
pub(super) const SSHD: &str = "\
ListenAddress 127.0.0.1
HostKey /etc/ssh/test_host_key
UsePAM yes
KbdInteractiveAuthentication yes
PasswordAuthentication yes
PermitRootLogin no
PrintMotd no
LogLevel VERBOSE
UseDNS no
";
