//! Links the module without `libgcc_s`, and so that it stays loaded: libpam
//! closes modules, and this one leaves a cleanup function behind (`pam_set_data(3)`).

include!("../common/link.rs");

fn main() {
    link_module(None);
}
