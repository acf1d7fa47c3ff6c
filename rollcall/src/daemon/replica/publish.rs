//! Brings the population into the table. Everything here happens on the table's thread.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
/// Where that can't be done there is no table at all.
pub(super) async fn install(
    table: &TableThread,
    home: &Home,
    refresh: Duration,
) -> Result<(), Failed> {
    let Home::Building(population) = home.clone() else { return Ok(()) };
    let done = table.run(move |keeper| {
        let mut population = population.lock().unwrap_or_else(PoisonError::into_inner);
        let population = std::mem::take(&mut *population);
        build(keeper, population, refresh).inspect_err(|error| keeper.has_no_room(error))
    });
    Ok(done.await.ok_or(Failed::Lost)??)
}

fn build(keeper: &mut Keeper, mut population: Population, refresh: Duration) -> io::Result<()> {
    let mut writer = Writer::create(&keeper.files.live, population.room())?;
    let mut change = writer.change();
    population.write_all(&mut change)?;
    change.commit()?;
    step(keeper, refresh);
    keeper.population = Some(population);
    keeper.replace(writer)
}

/// Publishes what has changed, as one change. Nothing, if nothing has. A table that can't
/// be brought up to date is let go of, so that nobody reads it.
pub(super) async fn publish(table: &TableThread) -> Result<(), Failed> {
    let done = table.run(|keeper| {
        let Keeper { writer: Some(writer), population: Some(population), .. } = keeper else {
            return Err(Failed::Lost);
        };
        if population.is_dirty() {
            if let Err(error) = write(writer, population) {
                keeper.has_no_room(&error);
                return Err(Failed::Lost);
            }
            population.written();
        }
        Ok(())
    });
    done.await.ok_or(Failed::Lost)?
}

fn write(writer: &mut Writer, population: &mut Population) -> io::Result<()> {
    let mut change = writer.change();
    population.write(&mut change)?;
    change.commit().map(drop)
}

/// Takes note that the table is in step with the directory. How many users and groups there are.
pub(super) async fn in_step(table: &TableThread, refresh: Duration) -> (usize, usize) {
    let done = table.run(move |keeper| {
        if keeper.population.is_some() {
            step(keeper, refresh);
        }
        keeper.population.as_ref().map(Population::counts).unwrap_or_default()
    });
    done.await.unwrap_or_default()
}

fn step(keeper: &mut Keeper, refresh: Duration) {
    let ahead = complete_for(refresh).as_secs();
    let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
    keeper.complete_until = Now(Now::read().0.saturating_add(ahead));
    keeper.heard = wall();
}

/// Takes note, at once, that the table may not be in step: nobody hears "no such user"
/// because of an outage.
pub(super) async fn out_of_step(table: &TableThread) {
    let done = table.run(|keeper| {
        keeper.complete_until = Now(0);
        keeper.beat();
    });
    done.await.unwrap_or_default();
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
