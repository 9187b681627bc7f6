//! One sync of one school: read, apply, store.

use chrono::TimeDelta;
use mis_core::{Mis, PersonKind};
use outbox::LeaseToken;
use roster::{Directory, Progress, Pull, RosterState, SyncOutcome, SyncTime};
use serde_json::json;

use super::{PeopleSync, SyncJob, SyncRequest, report};
use crate::{
    metrics,
    settings::School,
    store::{Kept, SyncEnd, SyncState},
};

/// A pull that was interrupted longer ago than this starts again: too much may have changed.
const RESUME_WITHIN: TimeDelta = TimeDelta::hours(2);

/// Why a sync did not finish.
pub(super) enum Obstacle {
    /// The MIS did not answer properly.
    Mis(mis_core::Error),
    /// The database failed, or another node has taken over.
    Store(outbox::Error),
}

/// What was read, and its source.
struct Read<'a> {
    full: bool,
    mis: &'a Mis,
}

impl From<mis_core::Error> for Obstacle {
    fn from(error: mis_core::Error) -> Self {
        Self::Mis(error)
    }
}

impl From<outbox::Error> for Obstacle {
    fn from(error: outbox::Error) -> Self {
        Self::Store(error)
    }
}

impl PeopleSync {
    /// Reads a school, continuing an interrupted pull, and stores the result together with the end of the job.
    pub(super) async fn sync(
        &self,
        school: &School,
        job: &SyncJob,
        held: LeaseToken,
    ) -> Result<(), Obstacle> {
        self.store.begin_sync(&school.id, &job.id).await?;
        let state = self.store.roster_or_new(&school.id).await?;
        let mut pull = self.begun(school, &state, job.ask).await?;
        let mis = self.schools.reader(school, pull.is_full()).await?;
        let mut kept: Vec<PersonKind> = pull.answers().keys().copied().collect();
        let mut tell = |progress: Progress| self.tell(school, progress);
        while pull.step(&mis, &state, self.store.now(), &mut tell).await? {
            self.store.keep_pull(&school.id, &pull, &kept).await?;
            kept = pull.answers().keys().copied().collect();
        }
        let full = pull.is_full();
        let outcome = self.apply(school, &state, pull, job.ask.accept);
        let read = Read { full, mis: &mis };
        self.keep(school, job, held, &state, &outcome, read).await?;
        Ok(())
    }

    /// The interrupted pull if it is still usable, or a new one.
    async fn begun(
        &self,
        school: &School,
        state: &RosterState,
        ask: SyncRequest,
    ) -> outbox::Result<Pull> {
        let (now, settings) = (self.store.now(), self.settings.current().roster(school));
        let full = ask.full || ask.accept;
        let stored = self.store.stored_pull(&school.id).await?;
        let of_use = |pull: &Pull| {
            pull.serves(&settings)
                && (pull.is_full() || !full)
                && (now - pull.began).abs() < RESUME_WITHIN
        };
        Ok(stored
            .filter(of_use)
            .unwrap_or_else(|| Pull::new(state, &settings, full, now)))
    }

    /// Reads a school and applies what it finds. Nothing is stored.
    pub(super) async fn read_and_apply(
        &self,
        mis: &Mis,
        school: &School,
        state: &RosterState,
        ask: SyncRequest,
    ) -> mis_core::Result<SyncOutcome> {
        let settings = self.settings.current().roster(school);
        let mut pull = Pull::new(state, &settings, ask.full || ask.accept, self.store.now());
        let mut tell = |progress: Progress| self.tell(school, progress);
        pull.run(mis, state, || self.store.now(), &mut tell).await?;
        Ok(self.apply(school, state, pull, ask.accept))
    }

    fn apply(&self, school: &School, state: &RosterState, pull: Pull, accept: bool) -> SyncOutcome {
        let now = self.store.now();
        let today = now.with_timezone(&school.timezone).date_naive();
        let settings = self.settings.current().roster(school);
        state.apply(
            &settings,
            &pull.into_answers(),
            SyncTime { now, today },
            accept,
        )
    }

    async fn keep(
        &self,
        school: &School,
        job: &SyncJob,
        held: LeaseToken,
        before: &RosterState,
        outcome: &SyncOutcome,
        Read { full, mis }: Read<'_>,
    ) -> outbox::Result<()> {
        let today = self
            .store
            .now()
            .with_timezone(&school.timezone)
            .date_naive();
        let directory = Directory::new(&outcome.state, today);
        let needs_students = self
            .settings
            .current()
            .roster(school)
            .needs()
            .contains_key(&PersonKind::Student);
        let students = outcome.state.kinds.get(&PersonKind::Student);
        let kept = Kept {
            school: &school.id,
            before,
            after: &outcome.state,
            directory: &directory,
            changes: &outcome.changes,
            full,
            ready: !needs_students || students.is_some_and(|known| known.full_at.is_some()),
        };
        let mut summary = report::summary(&outcome.report);
        let found = mis.descriptor();
        summary["mis"] = json!({"name": found.name, "adapter": found.id});
        let end = SyncEnd {
            state: if outcome.report.is_held() {
                SyncState::Held
            } else {
                SyncState::Done
            },
            full: Some(full),
            report: Some(&summary),
            error: None,
        };
        let mut tx = self.store.database().begin().await?;
        self.store
            .outbox()
            .complete(&mut tx, &[held])
            .await?
            .all()?;
        self.store.keep_roster(&mut tx, &kept).await?;
        self.store
            .end_sync(&mut tx, school.id.as_str(), &job.id, &end)
            .await?;
        self.store.drop_pull(&mut tx, &school.id).await?;
        tx.commit().await?;
        self.people.changed(&school.id, kept.ready);
        let unread = &outcome.report.unread;
        let left_out = unread.iter().filter(|unread| unread.issue.left_out).count();
        metrics::unread(unread.len() - left_out, left_out);
        if !unread.is_empty() {
            let (values, records) = (unread.len() - left_out, left_out);
            tracing::warn!(school = %school.id, values, records, "skipped values that could not be read; `markback sync` lists them");
        }
        tracing::info!(
            school = %school.id,
            sync = %job.id,
            full,
            changes = outcome.changes.len(),
            held = outcome.report.held.len(),
            "synced"
        );
        for held in &outcome.report.held {
            tracing::warn!(school = %school.id, %held, "held back until an operator accepts it");
        }
        Ok(())
    }

    fn tell(&self, school: &School, progress: Progress) {
        if progress.done {
            let kind = progress.kind;
            tracing::debug!(school = %school.id, ?kind, read = progress.read, "people read");
        }
        if let Some(watch) = &self.observer {
            watch(&school.id, progress);
        }
    }
}
