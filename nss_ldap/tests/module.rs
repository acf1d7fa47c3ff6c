//! The built module, loaded as glibc loads it. These tests need no daemon: they
//! are about what must hold with and without one.

mod built;

use std::ffi::{CStr, c_int, c_void};
use std::path::Path;
use std::process::Command;
use std::thread;

use built::{ByName, function, module, symbol};

/// The status and errno of a lookup in the module.
fn look_up(name: &CStr, text: &CStr) -> (c_int, c_int) {
    built::look_up(function(&module(), name), text)
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
    let thread = thread::Builder::new().stack_size(64 << 10).spawn(lookup).unwrap();
    let answer = thread.join().unwrap();
    assert!([(0, libc::ENOENT), (-1, libc::EAGAIN)].contains(&answer), "{answer:?}");
}

/// A cancellation unwinds the stack, and would end the process inside the module.
#[test]
fn a_thread_that_is_cancelled_during_a_lookup_ends_the_lookup_and_not_the_process() {
    let function: ByName = function(&module(), c"_nss_ldap_getpwnam_r");
    let thread = thread::spawn(move || {
        // SAFETY: no arguments.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: the calling thread, which lives.
        unsafe { pthread_cancel(this) };
        let answer = built::look_up(function, c"no-such-user-here");
        let mut before = -1;
        // SAFETY: it writes to `before`. The rest of this thread is not to be cancelled.
        unsafe { pthread_setcancelstate(CANCEL_DISABLE, &raw mut before) };
        (answer, before)
    });
    let (answer, before) = thread.join().unwrap();
    assert!([(0, libc::ENOENT), (-1, libc::EAGAIN)].contains(&answer), "{answer:?}");
    assert_eq!(before, CANCEL_ENABLE, "as it was before the lookup");
}

// pthread.h
const CANCEL_ENABLE: c_int = 0;
const CANCEL_DISABLE: c_int = 1;

unsafe extern "C" {
    fn pthread_cancel(thread: libc::pthread_t) -> c_int;
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// The module has no panic to show; a small library that is linked the same way has.
#[test]
fn a_panic_is_caught_in_a_library_linked_like_the_module() {
    let library = built::fixture("panicking");
    assert!(!readelf("-d", &library).contains("libgcc_s"));

    let symbol = symbol(&library, c"panic_inside");
    // SAFETY: the library's function has this type.
    let panic_inside =
        unsafe { std::mem::transmute::<*mut c_void, extern "C" fn(usize) -> c_int>(symbol) };
    assert_eq!((panic_inside(99), panic_inside(0)), (1, 0));
}
