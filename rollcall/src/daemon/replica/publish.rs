//! Brings the population into the table. Everything here happens on the table's thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::table::Now;
use common::table::writer::Writer;

use super::{Failed, Population};
use crate::daemon::table::{Keeper, TableThread, wall};

/// By how much completeness outlasts two polls.
const MARGIN: Duration = Duration::from_secs(5);

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
pub(super) async fn install(
    table: &TableThread,
    home: &Home,
    refresh: Duration,
) -> Result<(), Failed> {
    let Home::Building(population) = home.clone() else { return Ok(()) };
    let done = table.run(move |keeper| {
        let mut population = population.lock().unwrap_or_else(PoisonError::into_inner);
        let mut population = std::mem::take(&mut *population);
        let mut writer = Writer::create(&keeper.files.live, population.room())?;
        let mut change = writer.change();
        population.write_all(&mut change)?;
        change.commit()?;
        step(keeper, refresh);
        keeper.population = Some(population);
        keeper.replace(writer).inspect_err(|_| {
            keeper.population = None;
            keeper.complete_until = Now(0);
        })
    });
    Ok(done.await.ok_or(Failed::Lost)??)
}

/// Publishes what has changed, as one change. Nothing, if nothing has.
pub(super) async fn publish(table: &TableThread) -> Result<(), Failed> {
    let done = table.run(|keeper| {
        let Keeper { writer: Some(writer), population: Some(population), .. } = keeper else {
            return Err(Failed::Lost);
        };
        if population.is_dirty() {
            let mut change = writer.change();
            population.write(&mut change)?;
            change.commit()?;
            population.written();
        }
        Ok(())
    });
    done.await.ok_or(Failed::Lost)?
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
    let ahead = (refresh * 2 + MARGIN).as_secs();
    let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
    keeper.complete_until = Now(Now::read().0.saturating_add(ahead));
    keeper.heard = wall();
}

/// There is no replica any more.
pub(super) fn give_up(keeper: &mut Keeper) {
    keeper.population = None;
    keeper.complete_until = Now(0);
}
