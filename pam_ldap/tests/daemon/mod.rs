//! Answers on a socket as the daemon does, with what the test says.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use common::account::{AbsolutePath, Field, Gid, Name, Uid, User};
use common::frame;
use common::protocol::{Request, Response, Verdict};
use tempfile::TempDir;

pub(crate) struct Daemon {
    _folder: TempDir,
    socket: PathBuf,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Daemon {
    pub(crate) fn start(answer: impl Fn(&Request) -> Response + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = Arc::<Mutex<Vec<Request>>>::default();
        let record = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&mut stream);
                let response = frame::encode_response(&answer(&request)).unwrap();
                record.lock().unwrap().push(request);
                stream.write_all(&response).unwrap();
            }
        });
        Self { _folder: folder, socket, asked }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

fn read_request(stream: &mut UnixStream) -> Request {
    let mut header = [0; frame::REQUEST_HEADER];
    stream.read_exact(&mut header).unwrap();
    let (length, _) = frame::request_header(&header).unwrap();
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    frame::decode(&payload).unwrap()
}

pub(crate) fn login(verdict: Verdict) -> Response {
    Response::Login(verdict.into())
}

pub(crate) fn alice() -> Response {
    Response::User(User {
        name: Name::parse("alice").unwrap(),
        uid: Uid::new(2000).unwrap(),
        gid: Gid::new(2000).unwrap(),
        gecos: Field::default(),
        home: AbsolutePath::nonexistent(),
        shell: AbsolutePath::parse("/bin/sh").unwrap(),
    })
}
