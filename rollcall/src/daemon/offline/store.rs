//! The file with what is kept: a database of `redb`, in a folder of the daemon's own.
//!
//! It is made with the first record, 0600 in a 0700 folder. What is committed survives a kill
//! at any instruction. One process at a time has it open (redb locks it): a second daemon goes
//! without. A file that can't be read as ours is set aside under another name, with a line in
//! the log, and the next record begins a new one: nobody is let in by what isn't understood.
//! One of another version of this program is removed.
//!
//! A record that is removed from a database may lie in its free pages for a while; a removed
//! file doesn't.

mod failure;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use nix::unistd::Uid;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, Error, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use tracing::{error, info};

use super::record::Record;
pub(super) use failure::Trouble;
use failure::{Failure, caught};

const USERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("users");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// The form of the records. What is in a file with another number is let go of, unread: bytes of
/// one form may well mean something in another.
const VERSION: u64 = 2;
const VERSION_KEY: &str = "version";
/// The latest time that the clock has shown, in seconds since 1970.
const SEEN_KEY: &str = "seen";
/// What redb may keep of the file in memory, in bytes.
const MEMORY: usize = 256 << 10;
const FILE: &str = "offline.redb";
const ASIDE: &str = "offline.redb.damaged";

/// What is to be written at once.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    pub(super) put: Option<&'a Record>,
    /// By their keys, before that.
    pub(super) remove: Vec<String>,
    /// The latest time that the clock has shown.
    pub(super) seen: u64,
}

/// The file.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    open: Option<Database>,
}

impl Store {
    /// Opens nothing yet.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), open: None }
    }

    /// All that is kept, by its key, and the latest time that the clock has shown. Records that
    /// can't be understood are left out.
    pub(super) fn all(&mut self) -> Result<(BTreeMap<String, Record>, u64), Trouble> {
        let read = |database: &Database| {
            let transaction = database.begin_read()?;
            let mut all = BTreeMap::new();
            for entry in transaction.open_table(USERS)?.iter()? {
                let (key, record) = entry?;
                if let Some(record) = understand(record.value())
                    && record.key() == key.value()
                {
                    all.insert(record.key(), record);
                }
            }
            let seen = transaction.open_table(NUMBERS)?.get(SEEN_KEY)?;
            Ok((all, seen.map_or(0, |seen| seen.value())))
        };
        Ok(self.with(false, read)?.unwrap_or_default())
    }

    /// Writes, and returns when it is on the disk.
    pub(super) fn commit(&mut self, change: &Change<'_>) -> Result<(), Trouble> {
        let put = match change.put {
            Some(record) => {
                let bytes = postcard::to_allocvec(record);
                Some((record.key(), bytes.map_err(|e| Trouble::Failed(e.to_string()))?))
            }
            None => None,
        };
        let write = |database: &Database| {
            let mut transaction = begin(database)?;
            {
                let mut users = transaction.open_table(USERS)?;
                for key in &change.remove {
                    users.remove(key.as_str())?;
                }
                if let Some((key, bytes)) = &put {
                    users.insert(key.as_str(), bytes.as_slice())?;
                }
                transaction.open_table(NUMBERS)?.insert(SEEN_KEY, change.seen)?;
            }
            transaction.set_two_phase_commit(true);
            Ok(transaction.commit()?)
        };
        self.with(put.is_some(), write).map(|_| ())
    }

    /// Removes the file, and what was set aside: nothing that was kept is left.
    pub(super) fn destroy(&mut self) -> Result<(), Trouble> {
        // Whoever has it open may not have it taken away.
        let open = self.open_file(false);
        if let Err(Failure::Trouble(Trouble::InUse)) = open {
            return Err(Trouble::InUse);
        }
        self.open = None;
        for file in [FILE, ASIDE] {
            match fs::remove_file(self.folder.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        match File::open(&self.folder) {
            Ok(folder) => Ok(folder.sync_all()?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what was set aside, unless that was written after this time, in seconds since 1970.
    pub(super) fn clear_aside(&self, time: u64) -> io::Result<()> {
        let path = self.folder.join(ASIDE);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time);
        let done = fs::symlink_metadata(&path).and_then(|metadata| {
            if metadata.modified()? <= time { fs::remove_file(&path) } else { Ok(()) }
        });
        match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Does something with the database. `None`: there is none, and none is to be made.
    fn with<T>(
        &mut self,
        make: bool,
        work: impl Fn(&Database) -> Result<T, Error>,
    ) -> Result<Option<T>, Trouble> {
        // Once more with a new file, if the old one had to be set aside.
        for _ in 0..2 {
            let done = match self.open_file(make) {
                Ok(None) => return Ok(None),
                Ok(Some(database)) => caught(|| work(database).map_err(Failure::from)),
                Err(failure) => Err(failure),
            };
            match done {
                Ok(done) => return Ok(Some(done)),
                Err(Failure::Trouble(trouble)) => {
                    // After an error redb does nothing more with a file.
                    self.open = None;
                    return Err(trouble);
                }
                Err(Failure::Unreadable(why)) => self.set_aside(&why)?,
                Err(Failure::OtherForm(version)) => self.let_go(version)?,
            }
        }
        Err(Trouble::Failed("the file can't be used".into()))
    }

    fn open_file(&mut self, make: bool) -> Result<Option<&Database>, Failure> {
        if self.open.is_none() {
            let Some(file) = self.file(make)? else { return Ok(None) };
            let database = caught(|| {
                let backend = FileBackend::new(file).map_err(|e| Failure::from(Error::from(e)))?;
                Builder::new()
                    .set_cache_size(MEMORY)
                    .set_check_integrity_on_open(true)
                    .create_with_backend(backend)
                    .map_err(|e| Failure::from(Error::from(e)))
            })?;
            caught(|| check_version(&database))?;
            self.open = Some(database);
        }
        Ok(self.open.as_ref())
    }

    fn file(&self, make: bool) -> Result<Option<File>, Failure> {
        let failed = |error: io::Error| Failure::Trouble(error.into());
        let path = self.folder.join(FILE);
        if make {
            own_folder(&self.folder).map_err(failed)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(make)
            .mode(0o600)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(&path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !make => return Ok(None),
            Err(error) => {
                let is_link = fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file());
                return Err(if is_link {
                    Failure::Unreadable("it isn't a file".into())
                } else {
                    failed(error)
                });
            }
        };
        own_folder(&self.folder).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() || metadata.uid() != Uid::effective().as_raw() {
            return Err(Failure::Unreadable("it isn't the daemon's own file".into()));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(Failure::Unreadable("others could read or write it".into()));
        }
        Ok(Some(file))
    }

    fn set_aside(&mut self, why: &str) -> Result<(), Trouble> {
        self.open = None;
        let (from, to) = (self.folder.join(FILE), self.folder.join(ASIDE));
        error!(
            "what was kept for offline logins can't be used and is set aside as {}: {why}",
            to.display()
        );
        Ok(fs::rename(from, to)?)
    }

    /// Another version of this program made it, and there is no mistake to look into: hashes
    /// that nobody will use aren't left lying about.
    fn let_go(&mut self, version: u64) -> Result<(), Trouble> {
        self.open = None;
        info!(
            "what another version kept for offline logins is removed: its form is number \
             {version}, not {VERSION}"
        );
        Ok(fs::remove_file(self.folder.join(FILE))?)
    }
}

fn begin(database: &Database) -> Result<WriteTransaction, Error> {
    Ok(database.begin_write()?)
}

/// Makes the tables of a new file, and tells whether an older one is ours.
fn check_version(database: &Database) -> Result<(), Failure> {
    let check = || -> Result<u64, Error> {
        let is_new = database.begin_read()?.list_tables()?.next().is_none();
        if is_new {
            let transaction = begin(database)?;
            transaction.open_table(USERS)?;
            transaction.open_table(NUMBERS)?.insert(VERSION_KEY, VERSION)?;
            transaction.commit()?;
        }
        let transaction = database.begin_read()?;
        transaction.open_table(USERS)?;
        let version = transaction.open_table(NUMBERS)?.get(VERSION_KEY)?;
        Ok(version.map_or(0, |version| version.value()))
    };
    match check()? {
        VERSION => Ok(()),
        0 => Err(Failure::Unreadable("it doesn't say which form it has".into())),
        other => Err(Failure::OtherForm(other)),
    }
}

/// Reads a record, which must be all that there is.
fn understand(bytes: &[u8]) -> Option<Record> {
    let (record, rest) = postcard::take_from_bytes::<Record>(bytes).ok()?;
    rest.is_empty().then_some(record)
}

/// Makes the folder if it isn't there, and has it to itself.
fn own_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(folder)?;
    let own = Uid::effective().as_raw();
    if !metadata.is_dir() || metadata.uid() != own {
        let problem = format!("{} doesn't belong to uid {own}", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
