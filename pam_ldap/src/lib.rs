//! pam_ldap
