//! Subscribes, and writes down what it hears.

#![allow(unreachable_pub, reason = "a test has no users")]

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs::Permissions;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::config::Config;
use common::deadline::Deadline;
use common::directory::subscribe::{Cookie, News, SubscribeError};
use common::directory::sync::{EntryId, Extent, GroupEntry, Read, UserEntry};
use common::directory::{self};
use harness::{Directory, PATIENCE, READER, until};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A directory as the daemon sees it, and the runtime that it lives in.
#[derive(Clone)]
pub struct Reader {
    directory: Arc<directory::Directory>,
    runtime: Arc<Runtime>,
}

/// The daemon's view of a directory, as anybody, or as the one who may read.
pub fn reader(directory: &Directory) -> Reader {
    reader_of(directory, "")
}

/// The same with sections of its configuration.
pub fn reader_of(directory: &Directory, sections: &str) -> Reader {
    // A server says that it starts a moment before it listens.
    let address = directory.uri().trim_start_matches("ldap://").to_owned();
    until(PATIENCE, || TcpStream::connect(&address).ok()).expect("it listens");
    let ca = directory.ca_file();
    let mut text =
        format!("[directory]\nuri = \"{}\"\nca_file = \"{}\"\n", directory.uri(), ca.display());
    if !directory.is_anonymous() {
        let file = ca.with_file_name("reader.secret");
        std::fs::write(&file, READER.1).expect("the folder can be written");
        let only_mine = Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, only_mine).expect("it is our file");
        let (dn, file) = (READER.0, file.display());
        writeln!(text, "bind_dn = \"{dn}\"\nbind_password_file = \"{file}\"")
            .expect("a string grows");
    }
    write!(text, "base = \"{}\"\n{sections}", harness::BASE).expect("a string grows");
    let config = Config::parse(&text, Path::new("test.toml")).expect("it can be used");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let directory = directory::Directory::all(&config).expect("it can be used").remove(0);
    Reader { directory, runtime: Arc::new(runtime) }
}

/// A cookie that no server gave.
pub fn cookie(text: &str) -> Cookie {
    Cookie::from_bytes(text.as_bytes().to_vec())
}

/// Whether the server says that it tells changes.
pub fn supports(reader: &Reader) -> bool {
    let deadline = Deadline::after(PATIENCE);
    reader.runtime.block_on(reader.directory.supports_push(deadline)).expect("it answers")
}

/// Reads all users.
pub fn read(reader: &Reader) -> Extent {
    reader.runtime.block_on(async {
        let (to, mut from) = channel::<Vec<Read<UserEntry>>>(1);
        let drain = async { while from.recv().await.is_some() {} };
        tokio::join!(reader.directory.read_users(None, PATIENCE, to), drain)
            .0
            .expect("it can be read")
    })
}

/// What can be said about an entry in a line: its name, and what tests change.
pub trait Line {
    fn line(&self) -> String;
}

impl Line for UserEntry {
    fn line(&self) -> String {
        format!("{} {}", self.user.name, self.user.shell.as_str())
    }
}

impl Line for GroupEntry {
    fn line(&self) -> String {
        let name = self.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable();
        members.iter().fold(name, |line, member| format!("{line} {member}"))
    }
}

/// Which entry has which name.
pub type Names = HashMap<EntryId, String>;

/// A subscription.
pub struct Ear<T = UserEntry> {
    runtime: Arc<Runtime>,
    news: Receiver<Vec<News<T>>>,
    heard: VecDeque<String>,
    task: JoinHandle<SubscribeError>,
    cookie: Option<Cookie>,
    names: Names,
}

impl Ear {
    /// Subscribes to the users.
    pub fn new(reader: &Reader, cookie: Option<Cookie>) -> Self {
        Self::knowing(reader, cookie, Names::new())
    }

    /// The same, with names that were heard before.
    pub fn knowing(reader: &Reader, cookie: Option<Cookie>, names: Names) -> Self {
        let directory = Arc::clone(&reader.directory);
        Self::start(reader, names, |to| async move { directory.subscribe_users(cookie, to).await })
    }
}

impl Ear<GroupEntry> {
    /// Subscribes to the groups.
    pub fn of_groups(reader: &Reader, cookie: Option<Cookie>) -> Self {
        let directory = Arc::clone(&reader.directory);
        let subscribe = |to| async move { directory.subscribe_groups(cookie, to).await };
        Self::start(reader, Names::new(), subscribe)
    }
}

impl<T: Line + std::fmt::Debug> Ear<T> {
    fn start<F>(
        reader: &Reader,
        names: Names,
        subscribe: impl FnOnce(Sender<Vec<News<T>>>) -> F,
    ) -> Self
    where
        F: Future<Output = SubscribeError> + Send + 'static,
    {
        let (to, news) = channel(16);
        let task = reader.runtime.spawn(subscribe(to));
        let runtime = Arc::clone(&reader.runtime);
        Self { runtime, news, heard: VecDeque::new(), task, cookie: None, names }
    }

    /// What is heard next, cookies aside.
    #[track_caller]
    pub fn next(&mut self) -> String {
        while self.heard.is_empty() {
            self.batch(|_| ());
        }
        self.heard.pop_front().unwrap_or_default()
    }

    /// What is heard until the refresh ends, in alphabetical order up to "nothing else".
    #[track_caller]
    pub fn refresh(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match self.next().as_str() {
                "refreshed" => break,
                text => all.push(text.to_owned()),
            }
        }
        let end = all.iter().position(|text| text == "nothing else").unwrap_or(all.len());
        all[..end].sort();
        all
    }

    /// Takes the next batch.
    #[track_caller]
    pub fn batch(&mut self, look: impl FnOnce(&[News<T>])) {
        let (runtime, news) = (&self.runtime, &mut self.news);
        let next = runtime.block_on(async { timeout(PATIENCE, news.recv()).await });
        let Some(batch) = next.expect("something is told") else {
            panic!("it ended: {:?}", self.runtime.block_on(&mut self.task));
        };
        look(&batch);
        for news in batch {
            self.write_down(news);
        }
    }

    fn write_down(&mut self, news: News<T>) {
        match news {
            News::Entry(read) => {
                let line = read.entry.as_ref().map_or("rejected".into(), Line::line);
                let name = line.split(' ').next().unwrap_or_default();
                self.names.insert(read.seen.id, name.into());
                self.heard.push_back(line);
            }
            News::Present(ids) => self.say(&ids, "is there"),
            News::Gone(ids) => self.say(&ids, "is gone"),
            News::PresentEnds => self.heard.push_back("nothing else".into()),
            News::Refreshed => self.heard.push_back("refreshed".into()),
            News::Cookie(cookie) => self.cookie = Some(cookie),
        }
    }

    /// About accounts that were heard of; the filter of a search has others in it, too.
    fn say(&mut self, ids: &[EntryId], what: &str) {
        let names = ids.iter().map(|id| self.names.get(id).map_or("somebody", String::as_str));
        self.heard.extend(names.map(|name| format!("{name} {what}")));
    }

    /// Hears nothing for so long.
    pub fn nothing_for(&mut self, time: Duration) {
        let (runtime, news) = (&self.runtime, &mut self.news);
        let heard = runtime.block_on(async { timeout(time, news.recv()).await });
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Why it ends.
    pub fn end(mut self) -> SubscribeError {
        let (runtime, news, task) = (&self.runtime, &mut self.news, &mut self.task);
        runtime.block_on(async {
            let drain = async { while news.recv().await.is_some() {} };
            let end = timeout(PATIENCE, async { tokio::join!(task, drain).0 }).await;
            end.expect("it ends").expect("it doesn't panic")
        })
    }

    /// Ends it; the last cookie and the names that were heard.
    pub fn leave(&mut self) -> (Option<Cookie>, Names) {
        self.task.abort();
        let _ = self.runtime.block_on(&mut self.task);
        // What is to be done when it ends is done by other tasks.
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
        (self.cookie.clone(), self.names.clone())
    }
}
