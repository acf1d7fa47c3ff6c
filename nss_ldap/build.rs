//! Links the module under the name that glibc asks for, and without `libgcc_s`.

include!("../common/link.rs");

fn main() {
    link_module(Some("libnss_ldap.so.2"));
}
