//! The unsafe calls: `fork(2)`, `close_range(2)`, `clock_gettime(2)`, glibc's
//! `__nss_configure_lookup`, `mallopt(3)`; and the handler of SIGBUS.

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use nix::unistd::ForkResult;

unsafe extern "C" {
    /// `<nss.h>`: from now on, this process looks `database` up as `line` says,
    /// whatever `/etc/nsswitch.conf` says.
    fn __nss_configure_lookup(database: *const c_char, line: *const c_char) -> c_int;
}

/// Makes this process look up accounts in the local files only. A daemon that
/// asked `libnss_ldap` would wait for itself.
pub(super) fn look_up_in_files_only() {
    const FILES: &CStr = c"files";
    for database in [c"passwd", c"group", c"shadow", c"gshadow", c"initgroups"] {
        // SAFETY: both are NUL-terminated and static; glibc's function copies
        // them and takes its own lock. A database it doesn't know is an error
        // code, and then there is nothing to configure.
        unsafe { __nss_configure_lookup(database.as_ptr(), FILES.as_ptr()) };
    }
}

/// `fork(2)`, for a process with one thread.
///
/// # Errors
/// Also when this process has more threads: the child would inherit the locks
/// that they hold.
pub(super) fn fork() -> io::Result<ForkResult> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(io::Error::other("fork with more than one thread"));
    }
    // SAFETY: fork is safe where there is one thread, which was just checked
    // (where /proc isn't mounted: the caller is the start of the program, which
    // has started none).
    unsafe { nix::unistd::fork() }.map_err(Into::into)
}

/// Closes whatever else was left open by the process that started this one: a
/// pipe that a daemon holds by accident keeps its reader waiting for ever.
/// Only at the start, while this program has opened nothing itself.
pub(super) fn close_what_was_inherited() {
    // SAFETY: takes numbers only. No Rust object owns a descriptor above
    // standard error yet: `Detaching::unless`, which runs before any is opened,
    // is the only caller. A kernel without the call says ENOSYS, and all stays open.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// What is allocated in one piece of this size, in bytes, goes back to the system when it is freed.
const LARGE: c_int = 1 << 20;

/// Has memory given back that isn't needed any more (`mallopt(3)`). Left to itself, glibc learns
/// from the first large pieces that are freed (a map that was read, the memory of a password's
/// hash) to keep as much as that for the next ones, for each thread.
pub(super) fn keep_little_memory() {
    for option in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: takes numbers only, and isn't called beside other threads: the start of the
        // program is the only caller. A value that isn't taken changes nothing.
        unsafe { libc::mallopt(option, LARGE) };
    }
}

/// For how long the machine has been suspended since it was started (`clock_gettime(2)`).
pub(super) fn suspended() -> Duration {
    let read = |clock| {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` can be written. A clock that isn't known leaves it as it is.
        unsafe { libc::clock_gettime(clock, &raw mut time) };
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanoseconds)
    };
    // Read first, so that a suspension in between counts at the next time.
    let with = read(libc::CLOCK_BOOTTIME);
    with.saturating_sub(read(libc::CLOCK_MONOTONIC))
}

/// Memory of tables: where each begins, and how many bytes it has. The last few of them:
/// older ones aren't mapped any more.
static TABLES: [(AtomicUsize, AtomicUsize); 16] =
    [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; 16];
/// Where the next one is noted.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// Sets the handler.
static HANDLER: std::sync::Once = std::sync::Once::new();
/// Where a page was missing last; 0: nowhere.
static CUT: AtomicUsize = AtomicUsize::new(0);

/// Goes on when somebody cuts the file short that this memory is mapped from.
///
/// A page that the file doesn't have any more raises SIGBUS. The handler puts a page of
/// zeros in its place, and [`was_cut`] tells. So what was being read or written goes
/// wrong, without the process dying of it, and the table is made anew. Zeros are
/// nothing that a reader of a table stumbles over.
pub(super) fn survive_cuts_of(memory: &[AtomicU64]) {
    let (start, bytes) = &TABLES[NEXT.fetch_add(1, Ordering::Relaxed) % TABLES.len()];
    if was_cut(memory) {
        // That was another table's memory, at the same addresses.
        CUT.store(0, Ordering::Relaxed);
    }
    // A handler in between sees no memory here, or one of the two.
    bytes.store(0, Ordering::SeqCst);
    start.store(memory.as_ptr().addr(), Ordering::SeqCst);
    bytes.store(size_of_val(memory), Ordering::SeqCst);
    HANDLER.call_once(|| {
        // SAFETY: an all-zero sigaction is one: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = replace_page as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `action` names a handler of the type that SA_SIGINFO asks for, which
        // does only what a handler may (signal-safety(7), and mmap, a bare system call).
        unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) };
    });
}

/// Whether that has happened to this memory: then zeros in it are nothing that anybody
/// has written, and what was read is no answer.
pub(super) fn was_cut(memory: &[AtomicU64]) -> bool {
    let start = memory.as_ptr().addr();
    (start..start + size_of_val(memory)).contains(&CUT.load(Ordering::Relaxed))
}

/// The handler of SIGBUS.
extern "C" fn replace_page(
    _signal: c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // The instruction that is repeated may stand before a look at errno(3).
    // SAFETY: glibc's own, of this thread, and always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { errno.read() };
    // The smallest page of any machine that this runs on divides every larger one, and
    // mmap(2) wants the machine's own.
    // SAFETY: takes a number and returns one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = usize::try_from(page).unwrap_or(4096);
    // SAFETY: the kernel hands a handler with SA_SIGINFO a valid siginfo_t.
    let info = unsafe { &*info };
    let code = info.si_code;
    // SAFETY: SIGBUS comes with an address.
    let address = unsafe { info.si_addr() }.addr();
    let ours = TABLES.iter().any(|(start, bytes)| {
        let start = start.load(Ordering::SeqCst);
        (start..start.saturating_add(bytes.load(Ordering::SeqCst))).contains(&address)
    });
    if ours && code == libc::BUS_ADRERR {
        let start = std::ptr::without_provenance_mut(address & !(page - 1));
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the page belongs to a table's mapping, of which nobody could use
        // it: touching it brought us here. All of it is atomic words, for which zeros
        // are values like others, and a whole mapping is unmapped with what is in it.
        let placed = unsafe { libc::mmap(start, page, rights, flags, -1, 0) };
        if placed != libc::MAP_FAILED {
            CUT.store(address, Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { errno.write(before) };
            return;
        }
    }
    // Somebody else's: as if there were no handler, when the instruction is repeated.
    // SAFETY: sets the default action, nothing else.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}
