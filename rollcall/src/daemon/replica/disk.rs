//! The population on the disk, so that after a restart only what has changed travels.
//!
//! The file lies beside the sealed table, and only the daemon may read it (0600). It says what
//! the population holds, entry by entry, and from where on each map is to be
//! followed. It is a cache: whoever deletes it costs the next daemon one full load. One that
//! can't be used is set aside, with a line in the log, and everything is loaded.
//!
//! **Form.** [`MAGIC`], then frames: a length of four bytes (little-endian) and a [`Record`] in
//! postcard; the first frame is the origin, the last one [`Record::End`]; then the xxh3
//! hash of everything before it. Nothing of it is believed before the hash was found right,
//! and it counts only for the very same configuration of the directories: the *origin*.
//!
//! **Memory.** It is written piece by piece, between which the table's thread does other work, and
//! read frame by frame: there are never two populations in memory.
//!
//! **Writing.** To a temporary file, which is synced and renamed: at any moment there is a whole one
//! or none. Soon after loading, then at most every few minutes while there are changes, and at
//! the end. A writer whose work nobody waits for any more may still be at it when the next one
//! begins; so each has a file of its own, and an older one doesn't take a newer one's place.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};
use xxhash_rust::xxh3::Xxh3;

use super::population::{Corrupt, Place, Record};
use super::publish::Home;
use super::{Context, Population};
use crate::daemon::table::{Files, Keeper};

mod input;
#[cfg(test)]
mod tests;

use input::Input;

/// With the version of the form.
const MAGIC: &[u8; 20] = b"rollcall replica 002";
/// No record is longer: a group of a million members.
const LONGEST: u32 = 64 << 20;
/// About how many bytes the table's thread tells at a time.
const PIECE: usize = 256 << 10;
/// How soon after loading it is written.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How often it is written at most.
const PAUSE: Duration = Duration::from_secs(300);
/// And how many times as long as it took the disk is left alone.
const PAUSE_TIMES: u32 = 100;

/// How many writers there were.
static WRITERS: AtomicU64 = AtomicU64::new(0);
/// The number of the last one that came to its end, path by path.
static FINISHED: Mutex<BTreeMap<PathBuf, u64>> = Mutex::new(BTreeMap::new());

/// Where it lies.
pub(in crate::daemon) fn file_beside(files: &Files) -> PathBuf {
    files.sealed.with_file_name("replica")
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// It can't be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is none of ours, or of another version, or damaged.
    #[error("it is damaged, or of another version")]
    Corrupt,
    /// Somebody else may have written it.
    #[error("others may write to it")]
    Exposed,
    /// It is of other directories, or they are read in another way now.
    #[error("it is of another configuration")]
    Foreign,
    /// There are more entries than a replica may have.
    #[error("it has too many entries")]
    TooMany,
}

impl From<Corrupt> for Unusable {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

/// Takes what an earlier daemon has left, if that is of use.
pub(super) async fn load(context: &Arc<Context>) -> Option<Home> {
    if !context.cache.push {
        return None;
    }
    let facts = |keeper: &mut Keeper| (file_beside(&keeper.files), keeper.origin.clone());
    let (path, origin) = context.table.run(facts).await?;
    let (started, most) = (Instant::now(), context.most());
    let read = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            remove_unfinished(&path);
            read(&path, &origin, most)
        })
    };
    match read.await.unwrap_or(Err(Unusable::Corrupt)) {
        Ok(population) => {
            debug!("read {} in {:.1} s", path.display(), started.elapsed().as_secs_f32());
            Some(Home::Building(Arc::new(Mutex::new(population))))
        }
        Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(why) => {
            info!("{} is set aside: {why}", path.display());
            let _ = fs::rename(&path, path.with_extension("unusable"));
            None
        }
    }
}

/// Writes it whenever that is worthwhile.
pub(super) async fn save_now_and_then(context: &Context) -> Infallible {
    let mut pause = FIRST_PAUSE;
    let mut failed = false;
    loop {
        tokio::time::sleep(pause).await;
        let started = Instant::now();
        match save(context).await {
            Ok(()) => failed = false,
            Err(error) if !std::mem::replace(&mut failed, true) => {
                warn!("what the replica knows can't be kept for the next daemon: {error}");
            }
            Err(_) => {}
        }
        pause = PAUSE.max(started.elapsed() * PAUSE_TIMES);
    }
}

/// Writes it piece by piece.
async fn save(context: &Context) -> io::Result<()> {
    let begin = |keeper: &mut Keeper| {
        let population = keeper.population.as_mut()?;
        let push = keeper.cache.is_some_and(|cache| cache.push);
        if !push || !population.has_cookies() || population.is_saved(false) {
            return None;
        }
        population.note_saving();
        let mut piece = Piece::default();
        population.tell_cookies(|record| {
            piece.add(record);
        });
        Some((file_beside(&keeper.files), keeper.origin.clone(), piece))
    };
    let Some((path, origin, first)) = context.table.run(begin).await.flatten() else {
        return Ok(());
    };
    let written = async {
        let mut output = blocking(move || {
            let mut output = Output::create(&path, &origin)?;
            output.write(&first)?;
            Ok(output)
        })
        .await?;
        let mut next = Some(Place::default());
        while let Some(place) = next {
            let tell = move |keeper: &mut Keeper| {
                let population = keeper.population.as_ref()?;
                let mut piece = Piece::default();
                let next = population.tell_entries(place, |record| piece.add(record));
                Some((piece, next))
            };
            let lost = || io::Error::other("the table was lost");
            let (piece, following) = context.table.run(tell).await.flatten().ok_or_else(lost)?;
            next = following;
            output = blocking(move || {
                output.write(&piece)?;
                Ok(output)
            })
            .await?;
        }
        blocking(move || output.finish()).await
    };
    let written = written.await;
    if written.is_err() {
        let note = |keeper: &mut Keeper| {
            keeper.population.as_mut().map(Population::note_unsaved);
        };
        context.table.run(note).await;
    }
    written
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Writes it at once, on the table's thread, if there is anything new. For the end.
pub(in crate::daemon) fn save_now(keeper: &mut Keeper) {
    let path = file_beside(&keeper.files);
    let push = keeper.cache.is_some_and(|cache| cache.push);
    let Some(population) = keeper.population.as_mut().filter(|_| push) else { return };
    if !population.has_cookies() || population.is_saved(true) {
        return;
    }
    population.note_saving();
    if let Err(error) = write(&path, &keeper.origin, population) {
        warn!("what the replica knows can't be kept for the next daemon: {error}");
    }
}

fn write(path: &Path, origin: &str, population: &Population) -> io::Result<()> {
    let mut output = Output::create(path, origin)?;
    let mut piece = Piece::default();
    population.tell_cookies(|record| {
        piece.add(record);
    });
    output.write(&piece)?;
    let mut next = Some(Place::default());
    while let Some(place) = next {
        let mut piece = Piece::default();
        next = population.tell_entries(place, |record| piece.add(record));
        output.write(&piece)?;
    }
    output.finish()
}

/// Some frames.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    records: u64,
}

impl Piece {
    /// Adds a record. Whether there is room for more.
    fn add(&mut self, record: &Record<'_>) -> bool {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        // These types are made of what can be written.
        let Ok(mut bytes) = postcard::to_extend(record, std::mem::take(&mut self.bytes)) else {
            return false;
        };
        let length = u32::try_from(bytes.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(place) = bytes.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        self.bytes = bytes;
        self.records += 1;
        self.bytes.len() < PIECE
    }
}

/// A file that is being written. It is gone if it isn't finished.
struct Output {
    file: BufWriter<File>,
    hash: Xxh3,
    records: u64,
    temporary: Option<PathBuf>,
    path: PathBuf,
    number: u64,
}

impl Output {
    fn create(path: &Path, origin: &str) -> io::Result<Self> {
        let number = WRITERS.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("new{number}"));
        // One that a daemon was killed over, or somebody's trap.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let mut output = Self {
            file: BufWriter::with_capacity(PIECE, file),
            hash: Xxh3::new(),
            records: 0,
            temporary: Some(temporary),
            path: path.into(),
            number,
        };
        output.put(MAGIC)?;
        output.frame(origin.as_bytes())?;
        Ok(output)
    }

    fn write(&mut self, piece: &Piece) -> io::Result<()> {
        self.records += piece.records;
        self.put(&piece.bytes)
    }

    fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.put(&length.to_le_bytes())?;
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }

    fn finish(mut self) -> io::Result<()> {
        let end = postcard::to_allocvec(&Record::End(self.records)).map_err(io::Error::other)?;
        self.frame(&end)?;
        let hash = self.hash.finish();
        self.file.write_all(&hash.to_le_bytes())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let mut finished = FINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        if finished.get(&self.path).is_some_and(|last| *last > self.number) {
            return Ok(());
        }
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path)?;
        }
        self.temporary = None;
        finished.insert(self.path.clone(), self.number);
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Removes what daemons were killed over. This one hasn't written anything yet.
fn remove_unfinished(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    let start = [name.as_encoded_bytes(), b".new"].concat();
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        if file.file_name().as_encoded_bytes().starts_with(&start) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Reads a file of this origin.
fn read(path: &Path, origin: &str, most: usize) -> Result<Population, Unusable> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(Unusable::Corrupt);
    }
    if facts.uid() != nix::unistd::geteuid().as_raw() || facts.mode() & 0o022 != 0 {
        return Err(Unusable::Exposed);
    }
    let mut input = Input::new(file, facts.len());
    if input.take(MAGIC.len())? != MAGIC {
        return Err(Unusable::Corrupt);
    }
    if input.next()? != origin.as_bytes() {
        return Err(Unusable::Foreign);
    }
    let mut population = Population::default();
    let mut records = 0;
    loop {
        let record = postcard::from_bytes(input.next()?).map_err(|_| Unusable::Corrupt)?;
        if let Record::End(count) = record {
            let is_whole = count == records && input.is_at_its_end()?;
            population.note_saving();
            return if is_whole { Ok(population) } else { Err(Unusable::Corrupt) };
        }
        population.take(record)?;
        records += 1;
        if population.entries() > most {
            return Err(Unusable::TooMany);
        }
    }
}
