// How the libraries that are loaded into other people's processes are linked.
// Not a module of the crate: the build scripts of `nss_ldap`, `pam_ldap` and
// `direct` take it in with `include!`.

/// The linker's arguments for a library that is loaded with `dlopen`.
///
/// * Without `libgcc_s`: Rust unwinds with it, and loading it is two thirds of
///   what loading a thin module costs. A linker script of that name, found
///   before the real one, puts the static unwinder in its place.
/// * `nodelete`: glibc and PAM unload modules, but a thread's destructors
///   must outlive that.
/// * `relro`, `now`: the tables of addresses can't be written to once loaded.
/// * `bfd`, `noseparate-code`: two segments instead of the four of lld, whose
///   default keeps constants from being executable. Each costs every process
///   that loads the library a mapping and a page fault or two.
///
/// Writes the linker script into this folder, which must be there when it is linked.
fn link_args(folder: &str, soname: Option<&str>) -> Vec<String> {
    let script = format!("{folder}/libgcc_s.so");
    std::fs::write(script, "INPUT(-lgcc_eh -lc)\n").expect("the linker script can be written");
    let mut args = vec![format!("-L{folder}"), "-fuse-ld=bfd".to_owned()];
    let words = ["nodelete", "relro", "now", "defs", "noseparate-code"];
    args.extend(words.map(|word| format!("-Wl,-z,{word}")));
    args.extend(soname.map(|name| format!("-Wl,-soname,{name}")));
    args
}

/// Links this package's cdylib as [`link_args`] says. The one call of a build script.
#[allow(dead_code)] // a test that links a library of its own takes the arguments alone
fn link_module(soname: Option<&str>) {
    let folder = std::env::var("OUT_DIR").expect("Cargo sets OUT_DIR for build scripts");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../common/link.rs");
    for arg in link_args(&folder, soname) {
        println!("cargo::rustc-link-arg-cdylib={arg}");
    }
}
