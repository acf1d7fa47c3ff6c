//! What lookups and logins take while the server is away, and when it is back.
//!
//! The server is killed, frozen or cut off, and processes on the host go on. One looks up people
//! whom the host knows, in bursts; another one asks for people that there aren't, for the groups
//! of a local user, and logs in. Before, with the server, the same is measured the same way, since
//! the figures of the line `warm` have no pauses in them. What is called first is the first one
//! to need the server after it has gone: that somebody else has found out before would spare it
//! the waiting. So with Rollcall each of these has an outage of its own. The others, which may be
//! minutes in an outage, have one for everything, and after two slow calls no more of that sort.
//!
//! | file | idea |
//! |---|---|
//! | `series` | times of calls, and figures of them |
//! | `second` | another server takes over, and the first one comes back |
//! | `slow` | a server that takes two seconds for a bind, and 200 people |

use std::thread;
use std::time::{Duration, Instant};

use harness::{Host, Trouble};

use crate::measure::Figures;
use crate::people::{People, Sample};
use crate::providers::{Provider, State};
use crate::site::Site;
use crate::talk::Talk;

mod second;
mod series;
mod slow;

use series::Series;

/// How long people whom the host knows are looked up, in milliseconds: before and meanwhile.
const KNOWN: [&str; 2] = ["known 1500", "known 4000"];
const WARM_UP: &str = "known 50";
/// For how long somebody is waited for who doesn't notice that the server is back.
const PATIENCE: Duration = Duration::from_secs(180);
/// Users of every Debian's own `/etc/passwd`.
const LOCAL: [&str; 4] = ["daemon", "games", "mail", "news"];

/// Measures it with one who is measured; Rollcall, with other servers as well.
///
/// # Errors
/// What went wrong. The server is there again then, too.
pub(crate) fn measure(provider: &Provider, site: &mut Site) -> Result<Figures, String> {
    let host = provider.host.as_ref().ok_or("it has no host")?;
    let mut scene = Scene {
        lookups: talk(host, site.people),
        asker: talk(host, site.people),
        newcomers: site.people.sample(Sample::Plots).map(People::user).collect(),
        regular: People::user(site.people.sample(Sample::Logins).start),
        replica: provider.loaded.is_some(),
        host,
        site,
        figures: Figures::new(),
    };
    scene.before()?;
    let ours = State::of(host).is_some();
    let mut failed = Vec::new();
    for (trouble, local) in Trouble::ALL.into_iter().zip(&LOCAL[1..]) {
        let done = if ours { scene.ours(trouble, local) } else { scene.theirs(trouble, local) };
        failed.extend(done.err().map(|why| format!("{}: {why}", trouble.name())));
    }
    let mut figures = scene.figures;
    if ours {
        let mode = if provider.loaded.is_some() { "replica" } else { "on-demand" };
        for trouble in Trouble::ALL {
            match second::measure(mode, trouble) {
                Ok(others) => figures.extend(others),
                Err(why) => failed.push(format!("{}, two servers: {why}", trouble.name())),
            }
        }
        match slow::measure(mode) {
            Ok(others) => figures.extend(others),
            Err(why) => failed.push(format!("a slow server: {why}")),
        }
    }
    site.failed.append(&mut failed);
    Ok(figures)
}

/// A process that looks up and logs in.
fn talk(host: &Host, people: People) -> Talk {
    Talk::open(host, &[crate::inside::INSIDE, &people.0.to_string(), "outages"])
}

struct Scene<'a> {
    /// It looks up who is known.
    lookups: Talk,
    /// It does everything else.
    asker: Talk,
    /// Who has never logged in on this host.
    newcomers: Vec<String>,
    /// Who has.
    regular: String,
    /// Whether the host is to have everybody in its table.
    replica: bool,
    host: &'a Host,
    site: &'a mut Site,
    figures: Figures,
}

impl Scene<'_> {
    fn before(&mut self) -> Result<(), String> {
        self.warm_up()?;
        let series = Series::of(&mut self.lookups, KNOWN[0])?;
        series.median_and_worst("out.before.known", &mut self.figures);
        self.unknown("before")?;
        self.groups("before", LOCAL[0])?;
        let series = Series::of(&mut self.asker, &format!("login {} 20", self.regular))?;
        if !series.all_found() {
            return Err("a login with the server failed".into());
        }
        series.median_and_worst("out.before.login", &mut self.figures);
        Ok(())
    }

    /// Looks up in both processes who is known: with that a process has its module, too.
    fn warm_up(&mut self) -> Result<(), String> {
        for talk in [&mut self.lookups, &mut self.asker] {
            if !Series::of(talk, WARM_UP)?.all_found() {
                return Err("not everybody is found with the server".into());
            }
        }
        Ok(())
    }

    /// Four outages: each first one is one.
    fn ours(&mut self, trouble: Trouble, local: &str) -> Result<(), String> {
        let name = trouble.name();
        self.outage(trouble, |scene| {
            scene.lookups.tell(KNOWN[1]);
            scene.unknown(name)?;
            scene.known(name)
        })?;
        self.outage(trouble, |scene| scene.groups(name, local))?;
        self.outage(trouble, |scene| scene.login(name, "record", true))?;
        self.outage(trouble, |scene| scene.login(name, "none", true))
    }

    /// One outage for everything.
    fn theirs(&mut self, trouble: Trouble, local: &str) -> Result<(), String> {
        let name = trouble.name();
        self.outage(trouble, |scene| {
            scene.lookups.tell(KNOWN[1]);
            scene.unknown(name)?;
            scene.known(name)?;
            scene.groups(name, local)?;
            scene.login(name, "record", false)?;
            scene.login(name, "none", false)
        })
    }

    /// Does something without the server, and waits until it is in use again.
    fn outage(
        &mut self,
        trouble: Trouble,
        work: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        eprintln!("  {}", trouble.name());
        // Who was known before an outage may have to be asked about once more after it.
        self.warm_up()?;
        trouble.begin(&mut self.site.host);
        let done = work(self);
        trouble.end(&mut self.site.host);
        let ended = Instant::now();
        done?;
        // Nothing but a server lets in who was never here.
        let newcomer = self.newcomer()?;
        let attempt = format!("login {newcomer} 1");
        while !Series::of(&mut self.asker, &attempt)?.all_found() {
            if ended.elapsed() > PATIENCE {
                return Err("no login long after its end".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let took = ended.elapsed().as_secs_f64() * 1e9;
        let slowest = self.figures.entry(format!("out.{}.back", trouble.name())).or_default();
        *slowest = slowest.max(took);
        if self.replica {
            let complete = || State::of(self.host).filter(State::is_complete);
            harness::until(PATIENCE, complete).ok_or("its replica is not complete again")?;
        }
        Ok(())
    }

    /// What those found who were told to look before.
    fn known(&mut self, when: &str) -> Result<(), String> {
        let series = Series::hear(&mut self.lookups)?;
        series.median_and_worst(&format!("out.{when}.known"), &mut self.figures);
        self.figures.insert(format!("out.{when}.missed"), 1.0 - series.share());
        Ok(())
    }

    fn unknown(&mut self, when: &str) -> Result<(), String> {
        let series = Series::of(&mut self.asker, &format!("unknown ghost-{when}- 500"))?;
        self.first_and_later(&format!("out.{when}.unknown"), &series);
        Ok(())
    }

    fn groups(&mut self, when: &str, local: &str) -> Result<(), String> {
        let series = Series::of(&mut self.asker, &format!("groups {local} 500"))?;
        self.first_and_later(&format!("out.{when}.local"), &series);
        Ok(())
    }

    fn login(&mut self, when: &str, who: &str, is_first: bool) -> Result<(), String> {
        let user = if who == "record" { self.regular.clone() } else { self.newcomer()? };
        let count = if is_first { 21 } else { 2 };
        let series = Series::of(&mut self.asker, &format!("login {user} {count}"))?;
        let figure = format!("out.{when}.login.{who}");
        let (what, share) = match who {
            "record" => ("out", 1.0 - series.share()),
            _ => ("in", series.share()),
        };
        self.figures.insert(format!("{figure}.{what}"), share);
        if is_first {
            self.first_and_later(&figure, &series);
        } else {
            series.median_and_worst(&figure, &mut self.figures);
        }
        Ok(())
    }

    fn first_and_later(&mut self, figure: &str, series: &Series) {
        series.first(format!("{figure}.first"), &mut self.figures);
        series.later().median_and_worst(figure, &mut self.figures);
    }

    fn newcomer(&mut self) -> Result<String, String> {
        self.newcomers.pop().ok_or_else(|| "more users are needed".into())
    }
}
