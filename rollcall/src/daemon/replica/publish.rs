//! Brings the population into the table. Everything here happens on the table's thread.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::table::Now;
use common::table::writer::Writer;

use super::{Failed, Population};
use crate::daemon::table::{Keeper, TableThread, wall};

/// By how much completeness outlasts two polls.
const MARGIN: Duration = Duration::from_secs(5);

/// For how long the table is complete after a poll that worked.
pub(super) fn complete_for(refresh: Duration) -> Duration {
    refresh * 2 + MARGIN
}

/// Where the population is.
#[derive(Debug, Clone)]
pub(super) enum Home {
    /// It is being read for the first time; the table knows nothing of it.
    Building(Arc<Mutex<Population>>),
    /// The table says what it says.
    Installed,
}

impl Home {
    pub(super) fn new_building() -> Self {
        Self::Building(Arc::default())
    }

    /// Works on the population, on the table's thread.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        table: &TableThread,
        work: impl FnOnce(&mut Population) -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let home = self.clone();
        let done = table.run(move |keeper| match home {
            Self::Building(population) => {
                Some(work(&mut population.lock().unwrap_or_else(PoisonError::into_inner)))
            }
            Self::Installed => keeper.population.as_mut().map(work),
        });
        done.await.flatten().ok_or(Failed::Lost)
    }
}

/// Makes a table of a population that was read to its end, and puts it in the place of the one there.
/// Where that can't be done there is no table at all. It is complete for this long, if it is.
pub(super) async fn install(
    table: &TableThread,
    home: &Home,
    length: Option<Duration>,
) -> Result<(), Failed> {
    let Home::Building(population) = home.clone() else { return Ok(()) };
    let done = table.run(move |keeper| {
        let mut population = population.lock().unwrap_or_else(PoisonError::into_inner);
        let population = std::mem::take(&mut *population);
        build(keeper, population, length).inspect_err(|error| keeper.has_no_room(error))
    });
    Ok(done.await.ok_or(Failed::Lost)??)
}

fn build(
    keeper: &mut Keeper,
    mut population: Population,
    length: Option<Duration>,
) -> io::Result<()> {
    let plan = population.plan();
    let mut writer = Writer::create(&keeper.files.live, plan.room)?;
    let mut change = writer.change();
    population.write_all(&plan, &mut change)?;
    change.commit()?;
    match length {
        Some(length) => step(keeper, after(length)),
        // Nor was it heard of just now.
        None => keeper.complete_until = Now(0),
    }
    keeper.population = Some(population);
    keeper.replace(writer)
}

/// Works on the population, and publishes what has changed, as one change: nothing, if nothing
/// has, or if half of it should not be seen. A table that can't be brought up to date is let go
/// of, so that nobody reads it.
pub(super) async fn apply<T: Send + 'static>(
    table: &TableThread,
    home: &Home,
    work: impl FnOnce(&mut Population) -> T + Send + 'static,
) -> Result<T, Failed> {
    if matches!(home, Home::Building(_)) {
        return home.work(table, work).await;
    }
    let done = table.run(|keeper| {
        let done = keeper.population.as_mut().map(work).ok_or(Failed::Lost)?;
        publish_now(keeper)?;
        Ok(done)
    });
    done.await.ok_or(Failed::Lost)?
}

fn publish_now(keeper: &mut Keeper) -> Result<(), Failed> {
    let Keeper { writer: Some(writer), population: Some(population), .. } = keeper else {
        return Err(Failed::Lost);
    };
    if population.is_dirty() && !population.is_held(Instant::now()) {
        if let Err(error) = write(writer, population) {
            keeper.has_no_room(&error);
            return Err(Failed::Lost);
        }
        population.written();
    }
    Ok(())
}

fn write(writer: &mut Writer, population: &mut Population) -> io::Result<()> {
    let mut change = writer.change();
    population.write(&mut change)?;
    change.commit().map(drop)
}

/// Whether there is something that is known, and that the table doesn't say yet.
fn holds_back(keeper: &Keeper) -> bool {
    let population = keeper.population.as_ref();
    population.is_some_and(|known| known.is_dirty() && known.is_held(Instant::now()))
}

/// How many users and groups there are.
pub(super) async fn counts(table: &TableThread) -> (usize, usize) {
    let counts = |keeper: &mut Keeper| keeper.population.as_ref().map(Population::counts);
    table.run(counts).await.flatten().unwrap_or_default()
}

fn step(keeper: &mut Keeper, until: Now) {
    keeper.complete_until = until;
    keeper.heard = wall();
}

/// Until when the table is complete, directory by directory: it is as long as the part of each of
/// them is.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Parts>);

#[derive(Debug, Default)]
struct Parts {
    until: Vec<Now>,
    /// How often the machine had been suspended by then.
    sleeps: u64,
}

impl Standing {
    /// Nothing is known of so many directories.
    pub(super) fn new(directories: usize) -> Self {
        Self(Mutex::new(Parts { until: vec![Now(0); directories], sleeps: 0 }))
    }

    fn set(&self, directory: u16, until: Now) -> Now {
        let all = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).until;
        if let Some(one) = all.get_mut(usize::from(directory)) {
            *one = until;
        }
        all.iter().copied().min_by_key(|until| until.0).unwrap_or(Now(0))
    }

    /// The machine has been suspended so often. If that is news, none of them is in step: the
    /// times didn't go on meanwhile, but the directories did.
    fn slept(&self, sleeps: u64) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut parts.sleeps, sleeps) != sleeps {
            parts.until.fill(Now(0));
        }
    }

    /// All of them were read just now.
    pub(super) fn all_in_step(&self, length: Duration) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.until.fill(after(length));
    }

    /// Takes note that the table is in step with a directory, for this long. How many users and
    /// groups there are, if it is so with all of them.
    pub(super) async fn in_step(
        self: &Arc<Self>,
        table: &TableThread,
        directory: u16,
        length: Duration,
    ) -> Result<Option<(usize, usize)>, Failed> {
        let standing = Arc::clone(self);
        let done = table.run(move |keeper| {
            let counts = keeper.population.as_ref().map(Population::counts)?;
            standing.slept(keeper.sleeps());
            let until = standing.set(directory, after(length));
            // What another directory's refresh holds back isn't in the table.
            let is_complete = until > Now::read() && !holds_back(keeper);
            if is_complete {
                step(keeper, until);
            } else {
                keeper.heard = wall();
            }
            Some(is_complete.then_some(counts))
        });
        done.await.flatten().ok_or(Failed::Lost)
    }

    /// Takes note, at once, that the table may not be in step: nobody hears "no such user"
    /// because of an outage.
    pub(super) async fn out_of_step(self: &Arc<Self>, table: &TableThread, directory: u16) {
        let standing = Arc::clone(self);
        let done = table.run(move |keeper| {
            standing.set(directory, Now(0));
            keeper.complete_until = Now(0);
            keeper.beat();
        });
        done.await.unwrap_or_default();
    }
}

fn after(length: Duration) -> Now {
    let ahead = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
    Now(Now::read().0.saturating_add(ahead))
}

/// Has everybody ask the directory, which tells lookups what it doesn't tell the replica.
/// What is in the table counts only when nobody can be asked.
pub(super) async fn let_go(table: &TableThread) {
    let done = table.run(|keeper| {
        if keeper.population.is_some() {
            give_up(keeper);
        }
    });
    done.await.unwrap_or_default();
}

/// There is no replica any more. What is in the table is about to be learned anew, by
/// work that may be next in the queue.
pub(super) fn give_up(keeper: &mut Keeper) {
    keeper.population = None;
    keeper.complete_until = Now(0);
    keeper.doubt_everything();
    keeper.beat();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_for_as_long_as_the_part_of_each_directory_is() {
        let standing = Standing::new(2);
        assert_eq!(standing.set(0, Now(50)), Now(0), "of the other one nothing is known");
        assert_eq!(standing.set(1, Now(30)), Now(30));
        assert_eq!(standing.set(1, Now(70)), Now(50));
        assert_eq!(standing.set(0, Now(0)), Now(0), "one that breaks ends it for all");
        standing.all_in_step(Duration::from_secs(10));
        assert!(standing.set(0, Now(u32::MAX)) > Now::read());
    }

    #[test]
    fn after_a_suspension_each_directory_has_to_be_heard_of_anew() {
        let standing = Standing::new(2);
        standing.all_in_step(Duration::from_secs(10));
        standing.slept(0);
        assert!(standing.set(0, Now(u32::MAX)) > Now::read(), "there was none");
        standing.slept(1);
        assert_eq!(standing.set(0, Now(50)), Now(0));
        standing.slept(1);
        assert_eq!(standing.set(1, Now(60)), Now(50), "that is known by now");
    }
}
