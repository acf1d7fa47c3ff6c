//! What a process pays for the module before the first answer: dlopen, dlsym
//! and the first lookup, each time in a fresh process. Once where no daemon
//! runs, ours or theirs, and once where both have a stand-in that answers at
//! once, so that the modules alone are measured.

use std::ffi::CString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::Host;

use crate::lib_c;
use crate::peers::{ALL, Peer};
use crate::report;
use crate::samples::Samples;

/// The argument that makes this program start fresh processes, on a host.
pub(crate) const INSIDE: &str = "loads";
/// The argument that makes it be one of them.
pub(crate) const FRESH: &str = "load";

const ROUNDS: usize = 500;
const WARM_UP: usize = 20;
const OURS: &str = "/opt/bench/ours/libnss_ldap.so.2";

/// What is reported of each, with its aim.
const KINDS: [(&str, &str, Option<f64>); 3] = [
    ("answered", "dlopen, first lookup answered", Some(1.0)),
    ("all", "dlopen, first lookup, no daemon", Some(1.0)),
    ("load", "dlopen alone", None),
];

/// Sets a host up, measures there, reports.
pub(crate) fn measure() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let host = Host::new().plain().start();
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/../build/libnss_ldap.so.2");
    host.install(ours.as_ref(), OURS);
    let fetched = ALL.map(|peer| {
        let module = peer.fetch(folder.path());
        (peer, module)
    });
    let mut arguments = vec![INSIDE.to_owned(), OURS.into(), "ldap".into()];
    for (peer, module) in &fetched {
        if let Ok(module) = module {
            host.install(module, &inside_path(peer));
            arguments.extend([inside_path(peer), peer.prefix.into()]);
        }
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let samples = Samples::of(&host, &arguments);
    for (peer, module) in fetched {
        let name = format!("{} ({})", peer.file, peer.package);
        if let Err(why) = module {
            report::missing(&name, &format!("could not be fetched: {why}"));
            continue;
        }
        let median = |what: &str, module: &str| samples.median(&format!("{what}:{module}"));
        let theirs = inside_path(&peer);
        for (what, text, aim) in KINDS {
            if samples.median(&format!("{what}:{theirs}")).is_none() {
                continue;
            }
            let text = format!("{text} / {name}");
            report::line(&text, median(what, OURS), median(what, &theirs), aim);
        }
    }
}

fn inside_path(peer: &Peer) -> String {
    format!("/opt/bench/{}/{}", peer.package, peer.file)
}

/// Fresh processes for each of the modules (a path and a prefix each) in turns.
pub(crate) fn inside(modules: &[&str]) {
    let mut samples = Samples::default();
    take_turns(modules, &mut samples, |module, fresh, samples| {
        samples.add(&format!("load:{module}"), fresh.load);
        samples.add(&format!("all:{module}"), fresh.all);
    });
    crate::stand_in::start();
    take_turns(modules, &mut samples, |module, fresh, samples| {
        // There is no stand-in for sssd, whose module says the same of nobody.
        if fresh.found_out && module.ends_with("/libnss_ldap.so.2") {
            samples.add(&format!("answered:{module}"), fresh.all);
        }
    });
    samples.print();
}

/// What a fresh process has measured.
struct Fresh {
    load: Duration,
    all: Duration,
    /// Whether the answer was "not found", and not an outage.
    found_out: bool,
}

fn take_turns(modules: &[&str], samples: &mut Samples, take: impl Fn(&str, &Fresh, &mut Samples)) {
    for round in 0..ROUNDS + WARM_UP {
        for module in modules.chunks(2) {
            let mut command = Command::new("/proc/self/exe");
            command.arg(FRESH).args(module).stdin(Stdio::null()).stderr(Stdio::inherit());
            let output = command.output().expect("this program can be started");
            let text = String::from_utf8_lossy(&output.stdout);
            let numbers: Vec<u64> =
                text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
            let [load, all, outage] = numbers[..] else { panic!("three numbers: {text}") };
            let (load, all) = (Duration::from_nanos(load), Duration::from_nanos(all));
            if round >= WARM_UP {
                take(module[0], &Fresh { load, all, found_out: outage == 0 }, samples);
            }
        }
    }
}

/// One measurement.
pub(crate) fn fresh(module: &str, prefix: &str) {
    let path = CString::new(module).expect("a path has no NUL");
    let function = CString::new(format!("_nss_{prefix}_getpwnam_r")).expect("no NUL");
    let started = Instant::now();
    let loaded = lib_c::Module::load(&path, &function).expect("the module can be loaded");
    let load = started.elapsed();
    let status = loaded.look_up(c"nobody-here");
    let all = started.elapsed();
    assert_ne!(status, 1, "nobody is there to know anybody");
    // NSS_STATUS_NOTFOUND is 0.
    println!("{} {} {}", load.as_nanos(), all.as_nanos(), u64::from(status != 0));
}
