//! The past events of a school that settings are tried on, with the inputs of their decisions.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use mis_core::SchoolId;
use writeback::Event;

use super::Apart;
use crate::{
    settings::School,
    snapshot::{DecisionSnapshot, Look, Reader},
    store::{EventState, PastRow, Store},
};

/// A pupil, a day and a session.
type Session = (String, String, String);

/// An event as it was decided.
pub(super) struct PastEvent {
    pub(super) event: Event,
    /// The local day.
    pub(super) date: NaiveDate,
    pub(super) received_ms: i64,
    pub(super) state: EventState,
    /// The pupil's session that it was decided for, if any.
    pub(super) session: Option<Session>,
    pub(super) sent_ms: Option<i64>,
    pub(super) accepted_ms: Option<i64>,
    pub(super) settled_ms: Option<i64>,
    /// Its first decision, or why that is not known.
    pub(super) first: Result<DecisionSnapshot, Apart>,
    /// The last decision before sending, if it was decided again.
    pub(super) again: Option<Result<DecisionSnapshot, Apart>>,
}

/// What happened to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happened {
    DecidedFirst,
    DecidedAgain,
    Accepted,
    Settled,
}

/// The events of the last school days.
pub(super) struct History {
    pub(super) events: Vec<PastEvent>,
    /// What happened, in order: each step with the place of its event.
    pub(super) steps: Vec<(usize, Happened)>,
}

impl History {
    /// Reads the events of the last `days` school days.
    pub(super) async fn read(store: &Store, school: &School, days: u32) -> outbox::Result<Self> {
        let from = first_day(store, school, days).await?;
        let Some(from) = from else {
            return Ok(Self {
                events: Vec::new(),
                steps: Vec::new(),
            });
        };
        // A day earlier, whatever the time zone. What is before the first day is dropped below.
        let since = from.checked_sub_days(Days::new(1)).unwrap_or(from);
        let since = since.and_time(NaiveTime::MIN).and_utc();
        let rows = store.past_events(&school.id, since).await?;
        let corrected = corrected(&rows);
        let mut snapshots = snapshots(store, &school.id, since).await?;
        let mut events: Vec<_> = rows
            .into_iter()
            .filter_map(|row| PastEvent::read(school, row, &mut snapshots))
            .filter(|past| past.date >= from)
            .collect();
        for past in &mut events {
            let in_session = past.session.as_ref();
            if in_session.is_some_and(|session| corrected.contains(session)) {
                past.first = Err(Apart::Withdrawn);
                past.again = None;
            }
        }
        events.sort_by_cached_key(PastEvent::turn);
        let steps = steps(&events);
        Ok(Self { events, steps })
    }
}

/// The sessions in which an event was withdrawn. What the others of the session were decided by is not all recorded.
fn corrected(rows: &[PastRow]) -> BTreeSet<Session> {
    let withdrawn = rows.iter().filter(|row| row.withdrawn != 0);
    withdrawn.filter_map(session_of).collect()
}

/// The pupil's session that an event was decided for.
fn session_of(row: &PastRow) -> Option<Session> {
    Some((row.student.clone()?, row.day.clone()?, row.session.clone()?))
}

/// The steps of these events in order. At one ms, the events go in the order of their decisions, and a mark that was
/// superseded goes with the latest decision of its session, which may have superseded it in the same transaction.
fn steps(events: &[PastEvent]) -> Vec<(usize, Happened)> {
    let mut decided: HashMap<_, Vec<(i64, usize)>> = HashMap::new();
    for (place, past) in events.iter().enumerate() {
        if let (Ok(first), Some(session)) = (&past.first, &past.session) {
            let at = first.decided_at.timestamp_millis();
            decided.entry(session).or_default().push((at, place));
        }
    }
    let latest = |past: &PastEvent, ms: i64| {
        let of_session = decided.get(past.session.as_ref()?)?;
        let before = of_session.partition_point(|(at, _)| *at <= ms);
        of_session
            .get(before.checked_sub(1)?)
            .map(|(_, place)| *place)
    };
    let mut timed = Vec::with_capacity(events.len() * 3);
    for (place, past) in events.iter().enumerate() {
        past.happened(|ms, what| {
            let superseded = what == Happened::Settled && past.state == EventState::Superseded;
            let by = superseded.then(|| latest(past, ms)).flatten();
            timed.push((ms, by.unwrap_or(place), what, place));
        });
    }
    timed.sort_unstable();
    timed
        .into_iter()
        .map(|(.., what, place)| (place, what))
        .collect()
}

impl PastEvent {
    fn read(
        school: &School,
        row: PastRow,
        snapshots: &mut HashMap<String, Snapshots>,
    ) -> Option<Self> {
        let event = serde_json::from_str::<Event>(&row.body).ok()?;
        let date = event.at.with_timezone(&school.timezone).date_naive();
        let kept = snapshots.remove(&event.id).unwrap_or_default();
        let undecided = if row.decided == 0 {
            Apart::Undecided
        } else {
            Apart::NoSnapshot
        };
        Some(Self {
            date,
            received_ms: row.received_ms,
            state: row.state.parse().ok()?,
            session: session_of(&row),
            sent_ms: row.sent_ms,
            accepted_ms: row.accepted_ms,
            settled_ms: row.settled_ms,
            first: kept.first.unwrap_or(Err(undecided)),
            again: kept.again,
            event,
        })
    }

    /// Its place among the events of its person: jobs are worked on in order.
    fn turn(&self) -> (i64, i64, i64) {
        match &self.first {
            Ok(first) => (first.decided_at.timestamp_millis(), first.job, 0),
            Err(_) => (i64::MAX, i64::MAX, self.received_ms),
        }
    }

    fn happened(&self, mut tell: impl FnMut(i64, Happened)) {
        let ms = |decision: &DecisionSnapshot| decision.decided_at.timestamp_millis();
        let first = self.first.as_ref().ok().map(ms);
        let again = self.again.as_ref().and_then(|again| again.as_ref().ok());
        let steps = [
            (first, Happened::DecidedFirst),
            (again.map(ms), Happened::DecidedAgain),
            (self.accepted_ms.or(self.sent_ms), Happened::Accepted),
            (self.settled_ms, Happened::Settled),
        ];
        for (at, what) in steps {
            if let Some(at) = at {
                tell(at, what);
            }
        }
    }
}

/// The first of the last `days` days on which an event was in a session. Where none was, the first day with an event.
async fn first_day(store: &Store, school: &School, days: u32) -> outbox::Result<Option<NaiveDate>> {
    // Days in UTC come from an index. Some of them may be no school days, so more are taken until there are enough.
    let wanted = usize::try_from(days.max(1)).unwrap_or(usize::MAX);
    let mut taken = wanted;
    loop {
        let with_events = store.days_with_events(&school.id, taken).await?;
        let Some(first) = with_events.last().copied() else {
            return Ok(None);
        };
        let since = first.and_time(NaiveTime::MIN).and_utc();
        let school_days: BTreeSet<NaiveDate> = store
            .school_days_since(&school.id, since)
            .await?
            .iter()
            .filter_map(|day| day.parse().ok())
            .collect();
        let all = with_events.len() < taken;
        if school_days.len() >= wanted || all {
            let first_school_day = school_days
                .iter()
                .rev()
                .nth(wanted.min(school_days.len()).saturating_sub(1))
                .copied();
            return Ok(Some(first_school_day.unwrap_or(first)));
        }
        taken = taken.saturating_mul(2);
    }
}

#[derive(Default)]
struct Snapshots {
    first: Option<Result<DecisionSnapshot, Apart>>,
    again: Option<Result<DecisionSnapshot, Apart>>,
}

async fn snapshots(
    store: &Store,
    school: &SchoolId,
    since: DateTime<Utc>,
) -> outbox::Result<HashMap<String, Snapshots>> {
    let stored = store.snapshots_since(school, since).await?;
    let parts = store.snapshot_parts(Reader::hashes(&stored)).await?;
    let mut reader = Reader::new(parts);
    let mut found: HashMap<String, Snapshots> = HashMap::with_capacity(stored.len());
    for one in stored {
        let read = reader.read(&one).map_err(|_| Apart::NoSnapshot);
        let of_event = found.entry(one.event).or_default();
        match Look::read(one.look) {
            Some(Look::First) => of_event.first = Some(read),
            Some(Look::BeforeSending) => of_event.again = Some(read),
            None => {}
        }
    }
    Ok(found)
}
