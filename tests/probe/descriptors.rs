//! What programs do to descriptors, theirs and others'.

use std::fs::{self, File};
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;

/// `closefrom(3)`, as daemons do at their start.
pub(crate) fn close_from(first: u32) {
    // SAFETY: the program has no object left that owns one of them (`Files`
    // never closes its own).
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Raises the limit and has this many descriptors open.
pub(crate) fn have_open(count: u32) {
    let limit = libc::rlimit { rlim_cur: u64::from(count) + 64, rlim_max: u64::from(count) + 64 };
    // SAFETY: it reads the struct.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    loop {
        let file = ManuallyDrop::new(File::open("/dev/null").expect("a descriptor is free"));
        if file.as_raw_fd().unsigned_abs() + 1 >= count {
            return;
        }
    }
}

/// The program's own files, under numbers that somebody else may have had before.
#[derive(Default)]
pub(crate) struct Files {
    files: Vec<(String, ManuallyDrop<File>)>,
    /// What each should hold.
    text: String,
}

impl Files {
    /// Opens a file under every free number below 64.
    pub(crate) fn open_up_to(&mut self, folder: &str) {
        fs::create_dir_all(folder).expect("the folder can be made");
        loop {
            let path = format!("{folder}/{}", self.files.len());
            let options = File::options().read(true).append(true).create(true).open(&path);
            let file = ManuallyDrop::new(options.expect("the file can be opened"));
            let last = file.as_raw_fd() >= 63;
            self.files.push((path, file));
            if last {
                return;
            }
        }
    }

    pub(crate) fn write(&mut self) {
        self.text += "mine\n";
        for (_, file) in &mut self.files {
            file.write_all(b"mine\n").expect("the file is still open");
        }
    }

    pub(crate) fn check(&self) -> &'static str {
        let intact = |path: &str| fs::read_to_string(path).is_ok_and(|text| text == self.text);
        let all = self.files.len() > 50 && self.files.iter().all(|(path, _)| intact(path));
        if all { "intact" } else { "damaged" }
    }
}
