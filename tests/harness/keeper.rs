//! Ends a server when the test process ends, however that comes about.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A shell that waits for the end of its standard input, which is a pipe that
/// only this process holds: a test process that was killed closes it as well.
const SCRIPT: &str = r#"read -r line; [ "$line" = done ] && exit
kill -KILL "$1"; rm -rf "$2""#;

/// While it lives, it watches over a process and its folder.
#[derive(Debug)]
pub(crate) struct Keeper(Child);

impl Keeper {
    /// Kills the process and removes the folder if we end before [`Keeper::release`].
    pub(crate) fn new(pid: u32, folder: &Path) -> Self {
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "keeper", &pid.to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt from the keyboard is for the tests, not for this.
            .process_group(0)
            .spawn()
            .expect("/bin/sh can be started");
        Self(child)
    }

    /// Says that the process has ended.
    pub(crate) fn release(mut self) {
        use std::io::Write;
        if let Some(mut pipe) = self.0.stdin.take() {
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.0.wait();
    }
}
