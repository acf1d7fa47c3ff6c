//! Gives answers, from the table or from the directory.
//!
//! The directory is asked as rarely, and waited for as briefly, as `age.rs` says. What it answers
//! goes to the asker first, and into the table afterwards ([`Cache::remember`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::deadline::Deadline;
use common::handle::Peer;
use common::protocol::{Request, Response, Unavailable};
use common::table::Now;
use common::table::layout::header;

use super::age::{self, Verdict, judge};
use super::learn::Lesson;
use super::{Asked, Cache, Known};
use crate::daemon::table::{TableThread, wall};

/// How long the directory is waited for at least by somebody who has an older answer: it may be
/// in trouble that nobody knows of yet.
const PATIENCE: Duration = Duration::from_millis(100);
/// A directory that is far away is waited for so many times as long as it usually takes.
const USUAL_TIMES: u32 = 4;
/// How long it is waited for at most, and by somebody whose older answer is doubted.
const LONGEST_PATIENCE: Duration = Duration::from_secs(1);
/// Why there is no answer, where nobody should wait for one.
const NO_WORD: &str = "it hasn't answered yet";

/// What is answered, and what may be learned from it afterwards.
#[derive(Debug)]
pub(in crate::daemon) struct Answer {
    pub(in crate::daemon) response: Response,
    lesson: Option<Question>,
}

/// A question that was put to the directory.
#[derive(Debug)]
struct Question {
    asked: Asked,
    started: Now,
    epoch: u64,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { response, lesson: None }
    }
}

impl Cache {
    /// Answers a request, from the table if it can. Whoever gets the answer should call
    /// [`Cache::remember`] after passing it on.
    pub(in crate::daemon) async fn answer(
        self: &Arc<Self>,
        peer: Peer,
        request: Request,
        deadline: Deadline,
    ) -> Answer {
        if let Request::Flush(flush) = request {
            return Box::pin(self.flush(peer, flush, deadline)).await.into();
        }
        let (Some(asked), Some(table)) = (Asked::of(&request), self.table()) else {
            let response = self.service.handle(peer, request, deadline).await;
            self.note(&response);
            return response.into();
        };
        match self.look(&asked, table) {
            Verdict::Fresh(known) => self.hit(known),
            Verdict::Stale(known) => {
                self.refresh(asked);
                self.hit(known)
            }
            Verdict::Overdue(known) => {
                let patience = self.patience();
                self.renew(peer, asked, Some(known), table, patience, deadline).await
            }
            Verdict::Doubted(known) => {
                let patience = LONGEST_PATIENCE;
                self.renew(peer, asked, Some(known), table, patience, deadline).await
            }
            Verdict::Ask(None) if self.is_about_a_local_user(&asked) => {
                let patience = self.patience();
                self.renew(peer, asked, None, table, patience, deadline).await
            }
            Verdict::Ask(old) => {
                let answer = self.search(peer, asked, table, deadline).await;
                self.or_old(answer, old)
            }
        }
    }

    /// The old answer, if there is one, where the directory couldn't be asked.
    fn or_old(&self, answer: Answer, old: Option<Known>) -> Answer {
        match old {
            Some(old) if matches!(answer.response, Response::Unavailable(_)) => self.hit(old),
            _ => answer,
        }
    }

    /// Whether nobody answered, and it isn't known why: who comes next shouldn't find that out anew.
    fn is_left_without_answer(&self, answer: &Answer) -> bool {
        matches!(answer.response, Response::Unavailable(_)) && self.service.outage().is_none()
    }

    fn is_about_a_local_user(&self, asked: &Asked) -> bool {
        matches!(asked, Asked::GroupsOf(name) if self.locals.has(name.as_str()))
    }

    /// How long a directory is waited for that is as it usually is.
    fn patience(&self) -> Duration {
        let servers = self.service.directories().iter().flat_map(|directory| directory.servers());
        let usual = servers.map(|server| server.latency).max().unwrap_or_default();
        let usual = Duration::from_micros(usual.into()) * USUAL_TIMES;
        usual.clamp(PATIENCE, LONGEST_PATIENCE)
    }

    /// Puts an answer of the directory into the table, unless there is too much to do.
    pub(in crate::daemon) fn remember(&self, answer: Answer) {
        let (Some(Question { asked, started, epoch }), Some(table)) = (answer.lesson, self.table())
        else {
            return;
        };
        if self.is_stopped() {
            return;
        }
        let Some(known) = Known::of_response(answer.response) else { return };
        // Those who shared one search have all got the same.
        let expires = age::expires(&known, started, &self.config);
        if table.with(|table| Known::look(&table.timeless()?, &asked))
            == Some((known.clone(), expires))
        {
            return;
        }
        if epoch == table.epoch() {
            self.vain.note(&asked, &known, Now::read(), Now(expires));
        }
        let lesson = Lesson { asked, known, started, epoch };
        table.try_run(move |keeper| keeper.learn(&lesson));
    }

    fn look(&self, asked: &Asked, table: &TableThread) -> Verdict {
        let now = Now::read();
        let seen = table.with(|table| {
            let complete = table.word(header::COMPLETE_UNTIL)? > u64::from(now.0);
            let known = Known::look(&table.timeless()?, asked);
            Some((known, complete, table.word(header::HEARD)?))
        });
        match seen {
            Some((None, true, _)) => Verdict::Fresh(Known::Absent),
            Some((None, ..)) | None if self.vain.has(asked, now) => Verdict::Fresh(Known::Absent),
            Some((known, complete, heard)) => {
                let silent = wall().saturating_sub(heard.max(self.heard()));
                let unheard = if complete { 0 } else { silent };
                judge(known, now, unheard, &self.config)
            }
            None => Verdict::Ask(None),
        }
    }

    fn hit(&self, known: Known) -> Answer {
        self.counters.hits.fetch_add(1, Ordering::Relaxed);
        known.into_response().into()
    }

    /// Asks the directory.
    pub(super) async fn search(
        &self,
        peer: Peer,
        asked: Asked,
        table: &TableThread,
        deadline: Deadline,
    ) -> Answer {
        let (started, epoch) = (Now::read(), table.epoch());
        self.counters.searches.fetch_add(1, Ordering::Relaxed);
        let response = self.service.handle(peer, asked.request(), deadline).await;
        self.note(&response);
        // The table may be about other directories by now.
        let lesson = (!self.is_stopped()).then_some(Question { asked, started, epoch });
        Answer { response, lesson }
    }

    /// Asks the directory, and gives the old answer if that takes longer than `patience`. Then
    /// it is asked behind, and who comes meanwhile doesn't wait at all. Where there is no old answer
    /// it is "unavailable" instead.
    async fn renew(
        self: &Arc<Self>,
        peer: Peer,
        asked: Asked,
        old: Option<Known>,
        table: &TableThread,
        patience: Duration,
        deadline: Deadline,
    ) -> Answer {
        let give = |old: Option<Known>| match old {
            Some(old) => self.hit(old),
            None => Response::Unavailable(Unavailable::Directory(NO_WORD.into())).into(),
        };
        if self.refreshes.is_under_way(&asked) {
            return give(old);
        }
        let search = self.search(peer, asked.clone(), table, deadline);
        if let Ok(answer) = tokio::time::timeout(patience, search).await {
            // It may have ended just before its time was over.
            if self.is_left_without_answer(&answer) {
                self.refresh(asked);
            }
            self.or_old(answer, old)
        } else {
            self.refresh(asked);
            give(old)
        }
    }
}
