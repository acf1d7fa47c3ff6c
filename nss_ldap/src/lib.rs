//! nss_ldap
