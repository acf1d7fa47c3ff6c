//! Two servers, the second of which follows the first one, and the first one's troubles.

use std::time::{Duration, Instant};

use harness::{Directory, Host, Trouble};

use super::series::Series;
use super::slow::{USERS, people};
use crate::measure::Figures;
use crate::people::People;
use crate::providers::pam;
use crate::talk::Talk;

/// How long it may take until logins are back on the first server.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many logins in a row at the first server are no accident.
const IN_A_ROW: u32 = 3;

/// The first login when the first server is gone, later ones, and the way back.
///
/// # Errors
/// If a login fails: the second server is fine all the time.
pub(super) fn measure(mode: &str, trouble: Trouble) -> Result<Figures, String> {
    eprintln!("  {}, and a second server", trouble.name());
    let second = Directory::new().listen("127.0.0.2").syncprov();
    let cache = format!("mode = \"{mode}\"\n");
    let host = Host::new().directory(people().syncprov()).replica(second).cache(&cache);
    let mut host = host.start();
    crate::measure::install(&host);
    pam(&host, "pam_ldap.so");
    if mode == "replica" {
        host.daemon().wait_until_complete();
    }
    let mut talk = super::talk(&host, USERS);
    let mut user = (0..USERS.0).cycle().map(People::user);
    let mut logins = |talk: &mut Talk, count: u32| {
        let mut all = Series::default();
        for user in user.by_ref().take(count as usize) {
            let one = Series::of(talk, &format!("login {user} 1"))?;
            if !one.all_found() {
                return Err("a login failed".to_owned());
            }
            all.times.extend(one.times);
        }
        Ok(all)
    };
    let mut figures = Figures::new();
    let name = trouble.name();
    logins(&mut talk, 1)?;
    logins(&mut talk, 20)?.median_and_worst(&format!("second.{name}.before"), &mut figures);
    trouble.begin(&mut host);
    let series = logins(&mut talk, 31)?;
    series.first(format!("second.{name}.first"), &mut figures);
    series.later().median_and_worst(&format!("second.{name}.later"), &mut figures);
    trouble.end(&mut host);
    let ended = Instant::now();
    let mut since = ended;
    let mut in_a_row = 0;
    while in_a_row < IN_A_ROW {
        if ended.elapsed() > PATIENCE {
            return Ok(figures);
        }
        let counts = host.directory().counts();
        if in_a_row == 0 {
            since = Instant::now();
        }
        logins(&mut talk, 1)?;
        let asked = host.directory().counts() - counts;
        in_a_row = if asked.binds > asked.reader_binds { in_a_row + 1 } else { 0 };
    }
    figures.insert(format!("second.{name}.back"), (since - ended).as_secs_f64() * 1e9);
    Ok(figures)
}
