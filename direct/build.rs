//! Links the library without `libgcc_s`, and never to be unloaded.

include!("../common/link.rs");

fn main() {
    link_module(Some("direct.so"));
}
