//! Marks that wait until a person releases them. Each is released, dropped, superseded or lapses: whichever changes the
//! event's row first.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use outbox::{ClaimedJob, JobId, NewJob};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use writeback::Hold;

use super::{
    effects::Effects,
    jobs::{SendJob, decide_key, event_of_key},
    planned::PlannedMark,
    send::Sender,
    worker::Workers,
};
use crate::{
    audit_log::NewAuditEntry,
    ledger::Change,
    metrics,
    queues::{self, Worker},
    schools::token_key,
    settings::School,
    store::{EventRecord, EventState, EventUpdate, LedgerKey, NewAudit, Store},
};

/// Ends the wait of a held mark.
#[derive(Serialize, Deserialize)]
struct LapseJob {
    round: u32,
}

/// The key of the job that ends the wait of an event's mark.
pub(crate) fn lapse_key(school: &str, event: &str, round: u32) -> String {
    decide_key(school, event, round)
}

/// The job has no place in the pupil's order and no partition: other marks do not wait for it, and it does not wait for a
/// paused school.
fn lapse_job(school: &str, planned: &PlannedMark, at: DateTime<Utc>) -> NewJob {
    let round = planned.round;
    // A plain number always serialises.
    let payload = serde_json::to_value(LapseJob { round }).unwrap_or_default();
    let key = lapse_key(school, &planned.event.id, round);
    NewJob::new(queues::HOLD, key, payload).not_before(at)
}

impl Effects {
    /// Holds a mark instead of sending it. `update` records the decision, `change` the mark in the ledger.
    pub(super) fn hold(
        &mut self,
        planned: &mut PlannedMark,
        hold: &Hold,
        (key, change): (LedgerKey, impl FnOnce(&PlannedMark) -> Change),
        update: EventUpdate,
        now: DateTime<Utc>,
        timezone: Tz,
    ) {
        planned.held = true;
        let until = hold.lapses_at(now, timezone);
        let local = until.with_timezone(&timezone).format("%Y-%m-%d %H:%M");
        let why = &hold.why;
        let more = json!({ "why": why, "until": until });
        self.audit.push(planned.audit("held", &key.school, more));
        self.ledger.push((key.clone(), change(planned)));
        self.events.push(
            update
                .state(EventState::Held)
                .waiting(format!("a person's release, until {local}: {why}"))
                .plan(planned),
        );
        let job = lapse_job(&key.school, planned, until);
        self.held.push((key, planned.event.id.clone(), job));
    }
}

/// Releases a held mark: it is decided again with a fresh register, and sent if nothing protects what is there. `left` are
/// the jobs that end its wait. Returns false if the event has changed.
pub(crate) async fn release(
    store: &Store,
    school: &School,
    found: &EventRecord,
    mut planned: PlannedMark,
    left: &[JobId],
    line: NewAudit,
    entry: NewAuditEntry,
) -> outbox::Result<bool> {
    planned.held = false;
    planned.released = true;
    planned.round = found.round + 1;
    let key = planned.ledger_key(&found.school);
    let mut effects = Effects::default();
    let mark = planned.ledger_mark(None);
    effects.ledger.push((key.clone(), Change::Release(mark)));
    effects.audit.push(line);
    let job = SendJob::new_job(&planned, &found.school, &token_key(school));
    effects.planned.push((key, job));
    let mut tx = store.database().begin().await?;
    let outbox = store.outbox();
    outbox
        .discard(&mut tx, left, "released by a person")
        .await?;
    if !store.release_held(&mut tx, found, &planned).await? {
        return Ok(false);
    }
    let (news, parts) = effects.write(store, &mut tx).await?;
    store.record_in(&mut tx, &[entry]).await?;
    tx.commit().await?;
    store.snapshots_committed(&parts);
    metrics::events(EventState::Planned, 1);
    metrics::news(&news);
    Ok(true)
}

impl Workers {
    /// Ends the wait of held marks when their time is up, until told to stop.
    pub(crate) async fn run_lapses(&self, stop: CancellationToken) {
        let Sender { store, config, .. } = &self.sender;
        let worker = Worker {
            store,
            queue: queues::HOLD,
            poll: config.poll,
            lease: config.lease,
        };
        let wakeup = worker.wakeup();
        while let Some(job) = worker.next(&wakeup, &stop).await {
            if let Err(error) = lapse(store, &job).await {
                tracing::warn!(%error, "a held mark could not lapse; it is tried again when the job's lease expires");
            }
        }
    }
}

/// Discards the event of a mark that nobody has released, unless it has changed meanwhile.
async fn lapse(store: &Store, job: &ClaimedJob) -> outbox::Result<()> {
    let round = job.parse::<LapseJob>().map(|job| job.round).ok();
    let found = match (event_of_key(&job.key), round) {
        (Some((school, event)), Some(round)) => {
            let found = store.event(&school.into(), event).await?;
            found.filter(|found| found.state == EventState::Held && found.round == round)
        }
        _ => None,
    };
    let mut tx = store.database().begin().await?;
    store
        .outbox()
        .complete(&mut tx, &[job.lease])
        .await?
        .all()?;
    let mut lapsed = false;
    if let Some(found) = &found {
        let why = "lapsed: nobody released the mark in time";
        lapsed = store.give_up(&mut tx, found, why).await?;
        if let (true, Some(key)) = (lapsed, found.ledger_key()) {
            let change = Change::Discard(found.id.clone());
            store.change_ledger(&mut tx, &[(key, change)]).await?;
            let line = NewAudit {
                school: found.school.clone(),
                event: found.id.clone(),
                what: "lapsed",
                record: json!({ "why": found.waiting }),
            };
            store.audit(&mut tx, &[line]).await?;
        }
    }
    tx.commit().await?;
    if lapsed {
        metrics::events(EventState::Discarded, 1);
    }
    Ok(())
}
