//! The module and the fixtures, as they are built and loaded.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, Once};

include!("../../../common/link.rs");

/// The folder that Cargo builds this profile into: this test lies in its `deps`.
fn folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// The module, built anew if need be: Cargo doesn't build a cdylib for its tests.
/// Built alone, so that no other package's features get into it.
pub fn module() -> PathBuf {
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
pub fn symbol(library: &Path, name: &CStr) -> *mut c_void {
    let path = CString::new(library.to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated path; the library's initializers are Rust's own.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null(), "{} can't be loaded", library.display());
    // SAFETY: the handle is open, the name NUL-terminated.
    let symbol = unsafe { libc::dlsym(handle, name.as_ptr()) };
    assert!(!symbol.is_null(), "{name:?} is missing");
    symbol
}

pub type ByName =
    unsafe extern "C" fn(*const c_char, *mut c_void, *mut c_char, usize, *mut c_int) -> c_int;

/// One of the module's functions that look something up by its name.
pub fn function(module: &Path, name: &CStr) -> ByName {
    // SAFETY: glibc's own type for the functions that are asked for here.
    unsafe { std::mem::transmute::<*mut c_void, ByName>(symbol(module, name)) }
}

/// The status and errno of a lookup.
pub fn look_up(function: ByName, name: &CStr) -> (c_int, c_int) {
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

/// A library of `fixtures`, linked as the module is.
pub fn fixture(name: &str) -> PathBuf {
    static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let folder = env!("CARGO_TARGET_TMPDIR");
    let library = Path::new(folder).join(format!("lib{name}.so"));
    let mut built = BUILT.lock().unwrap();
    if built.iter().any(|built| built == name) {
        return library;
    }
    let mut rustc = Command::new(Path::new(env!("CARGO")).with_file_name("rustc"));
    rustc.current_dir(env!("CARGO_MANIFEST_DIR"));
    rustc.args(["--edition=2024", "--crate-type=cdylib", "-O", "-o"]).arg(&library);
    rustc.arg(format!("tests/fixtures/{name}.rs"));
    rustc.args(link_args(folder, None).iter().map(|arg| format!("-Clink-arg={arg}")));
    assert!(rustc.status().unwrap().success());
    built.push(name.to_owned());
    library
}
