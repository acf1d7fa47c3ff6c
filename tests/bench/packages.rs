//! Debian's packages of the others. They are fetched once, into cargo's target
//! folder, with what they depend on and isn't installed here; and installed on
//! the hosts where they are measured, nowhere else.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::Host;

/// Where a host has them while they are installed.
const FOLDER: &str = "/tmp/packages";

/// Installs packages on a host. No service is started by that.
///
/// # Errors
/// What could not be done, for instance without a network.
pub(crate) fn install(host: &Host, packages: &[&str]) -> Result<(), String> {
    let folder = fetch(packages)?;
    host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");
    host.run(["chmod", "755", "/usr/sbin/policy-rc.d"]).success();
    for entry in std::fs::read_dir(&folder).map_err(|e| e.to_string())?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "deb") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            host.install(&path, &format!("{FOLDER}/{name}"));
        }
    }
    let script = format!(
        "mkdir -p /var/cache/debconf /var/cache/apt && export DEBIAN_FRONTEND=noninteractive && \
         dpkg --no-triggers --force-unsafe-io --force-confnew -i {FOLDER}/*.deb </dev/null >/tmp/dpkg.log 2>&1"
    );
    let output = host.run(["sh", "-c", &script]);
    host.run(["rm", "-rf", FOLDER]).success();
    if output.status == Some(0) {
        return Ok(());
    }
    let log = host.run(["tail", "-n", "3", "/tmp/dpkg.log"]).stdout;
    Err(format!("dpkg: {}", log.replace('\n', " ")))
}

/// Cargo's target folder, in which this program lies.
pub(crate) fn target_folder() -> PathBuf {
    let myself = std::env::current_exe().expect("/proc is mounted");
    myself.ancestors().nth(2).expect("it lies in target/release").to_owned()
}

/// The folder with the packages, and what they need.
fn fetch(packages: &[&str]) -> Result<PathBuf, String> {
    let folder = target_folder().join("peers").join(packages.join("+"));
    if folder.join("complete").exists() {
        return Ok(folder);
    }
    std::fs::create_dir_all(folder.join("partial")).map_err(|e| e.to_string())?;
    let output = Command::new("apt-get")
        .args(["-qy", "--no-install-recommends", "--download-only", "--reinstall"])
        // Nothing of this machine's own is changed, so nobody has to be waited for.
        .args(["-o", "Debug::NoLocking=1", "-o"])
        .arg(format!("Dir::Cache::archives={}", folder.display()))
        .arg("install")
        .args(packages)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("apt-get: {e}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("apt-get: {}", text.lines().last().unwrap_or("it failed")));
    }
    std::fs::write(folder.join("complete"), "").map_err(|e| e.to_string())?;
    Ok(folder)
}
