//! The built module, loaded as glibc loads it. These tests need no daemon: they
//! are about what must hold with and without one.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

include!("../../common/link.rs");

/// The folder that Cargo builds this profile into: this test lies in its `deps`.
fn folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// The module, built anew if need be: Cargo doesn't build a cdylib for its tests.
/// Built alone, so that no other package's features get into it.
fn module() -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        cargo.args(["build", "--quiet", "--package", "nss_ldap", "--target-dir"]);
        cargo.arg(folder().parent().unwrap());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
    });
    folder().join("libnss_ldap.so")
}

/// A function of a library, loaded as glibc loads it.
fn symbol(library: &Path, name: &CStr) -> *mut c_void {
    let path = CString::new(library.to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated path; the library's initializers are Rust's own.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null(), "{} can't be loaded", library.display());
    // SAFETY: the handle is open, the name NUL-terminated.
    let symbol = unsafe { libc::dlsym(handle, name.as_ptr()) };
    assert!(!symbol.is_null(), "{name:?} is missing");
    symbol
}

type ByName =
    unsafe extern "C" fn(*const c_char, *mut c_void, *mut c_char, usize, *mut c_int) -> c_int;

/// The status and errno of a lookup in the module.
fn look_up(function: &CStr, name: &CStr) -> (c_int, c_int) {
    let symbol = symbol(&module(), function);
    // SAFETY: glibc's own type for the functions that are asked for here.
    let function = unsafe { std::mem::transmute::<*mut c_void, ByName>(symbol) };
    // Larger than passwd, group and spwd.
    let mut result = [0_u64; 32];
    let mut buffer = [0 as c_char; 1024];
    let mut errno = 0;
    // SAFETY: all of these live until the call returns.
    let status = unsafe {
        function(
            name.as_ptr(),
            result.as_mut_ptr().cast(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut errno,
        )
    };
    (status, errno)
}

fn readelf(option: &str, library: &Path) -> String {
    let output = Command::new("readelf").args([option, "-W"]).arg(library).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_module_needs_nothing_but_the_c_library() {
    let dynamic = readelf("-d", &module());
    for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        // The loader is in every process already; __tls_get_addr lives there.
        assert!(line.contains("[libc.so.6]") || line.contains("[ld-linux"), "{line}");
    }
    assert!(dynamic.contains("soname: [libnss_ldap.so.2]"));
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn the_module_exports_glibcs_functions_and_nothing_else() {
    let symbols = readelf("--dyn-syms", &module());
    let mut names: Vec<&str> = symbols
        .lines()
        .filter(|line| line.contains(" GLOBAL ") && !line.contains(" UND "))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    names.sort_unstable();
    let expected = [
        "endgrent",
        "endpwent",
        "endspent",
        "getgrent_r",
        "getgrgid_r",
        "getgrnam_r",
        "getpwent_r",
        "getpwnam_r",
        "getpwuid_r",
        "getspent_r",
        "getspnam_r",
        "initgroups_dyn",
        "setgrent",
        "setpwent",
        "setspent",
    ]
    .map(|name| format!("_nss_ldap_{name}"));
    assert_eq!(names, expected);
}

#[test]
fn a_name_that_cannot_be_ours_is_not_found() {
    for name in [c"", c"1000", c"-x", c"a:b", c"a\nb", c"\xff"] {
        assert_eq!(look_up(c"_nss_ldap_getpwnam_r", name), (0, libc::ENOENT), "{name:?}");
        assert_eq!(look_up(c"_nss_ldap_getgrnam_r", name), (0, libc::ENOENT), "{name:?}");
    }
}

/// With a daemon there is no such user; without one, nobody knows.
#[test]
fn a_lookup_answers_from_a_thread_with_a_small_stack() {
    let lookup = || look_up(c"_nss_ldap_getpwnam_r", c"no-such-user-here");
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(lookup).unwrap();
    let answer = thread.join().unwrap();
    assert!([(0, libc::ENOENT), (-1, libc::EAGAIN)].contains(&answer), "{answer:?}");
}

/// The module has no panic to show; a small library that is linked the same way has.
#[test]
fn a_panic_is_caught_in_a_library_linked_like_the_module() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let library = Path::new(folder).join("libpanicking.so");
    let mut rustc = Command::new(Path::new(env!("CARGO")).with_file_name("rustc"));
    rustc.current_dir(env!("CARGO_MANIFEST_DIR"));
    rustc.args([
        "--edition=2024",
        "--crate-type=cdylib",
        "-O",
        "tests/fixtures/panicking.rs",
        "-o",
    ]);
    rustc.arg(&library);
    rustc.args(link_args(folder, None).iter().map(|arg| format!("-Clink-arg={arg}")));
    assert!(rustc.status().unwrap().success());
    assert!(!readelf("-d", &library).contains("libgcc_s"));

    let symbol = symbol(&library, c"panic_inside");
    // SAFETY: the library's function has this type.
    let panic_inside =
        unsafe { std::mem::transmute::<*mut c_void, extern "C" fn(usize) -> c_int>(symbol) };
    assert_eq!((panic_inside(99), panic_inside(0)), (1, 0));
}
