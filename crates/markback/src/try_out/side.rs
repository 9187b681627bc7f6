//! One side of a trial: what settings decide about past events, with the ledger as it would have been under them.
//!
//! An input that is the same on both sides is the recorded one. One that differs follows from the side's own earlier
//! decisions, but only if the same derivation yields the recorded input for the recorded decisions. Otherwise the event is
//! counted apart: nothing is guessed.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use mis_core::{
    Capabilities, EventKind, HeldCode, HeldMark, Quirks, Register, Session, SessionWriteback,
    StudentId,
};
use writeback::{
    Decision, DecisionOutcome, Event, GroupContext, Previous, RegisterView, Rules, SchoolDay,
    SkipReason, Standing, View, decide, settings::GroupKind,
};

use super::{
    Apart,
    history::{History, PastEvent},
};
use crate::{
    calendar::ReadClosures,
    ledger::{Change, LedgerMark, LedgerRow, SeenMark},
    pipeline::{
        school_day,
        view::{Sources, view_of},
    },
    settings::School,
    snapshot::{DecisionSnapshot, KnownGroup, NOT_NEEDED, SchoolPart},
    store::{EventState, LedgerKey},
};

/// Why a register's content is not known.
const NOT_READ: &str = "the register was not read";

/// A pupil's session.
pub(super) type Key = (StudentId, NaiveDate, Session);

/// What is decided about an event.
pub(super) type Outcome = Result<Arc<Decision>, Apart>;

/// The settings that decide an event: those of a side, or the recorded ones.
pub(super) struct Ruling<'a> {
    group: Option<GroupContext<'a>>,
    capabilities: Capabilities,
    timezone: Tz,
    school_day: SchoolDay,
}

impl<'a> Ruling<'a> {
    pub(super) fn recorded(snapshot: &'a DecisionSnapshot) -> Self {
        Self {
            group: snapshot.group.as_deref().map(KnownGroup::as_rules),
            capabilities: snapshot.mis.capabilities,
            timezone: snapshot.mis.timezone,
            school_day: snapshot.own.school_day.clone(),
        }
    }

    fn rules(&self) -> Option<&'a Rules> {
        self.group.and_then(|group| group.rules)
    }

    fn is_same(&self, other: &Ruling<'_>) -> bool {
        let groups = match (&self.group, &other.group) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                one.name == other.name && one.kind == other.kind && one.rules == other.rules
            }
            _ => false,
        };
        groups
            && self.capabilities == other.capabilities
            && self.timezone == other.timezone
            && self.school_day == other.school_day
    }

    fn key(&self, event: &Event, student: &StudentId) -> Option<Key> {
        let (date, session) = self.rules()?.session_of(event.at, self.timezone)?;
        Some((student.clone(), date, session))
    }
}

/// The groups of the students by the people as last synced, each as a place among the groups.
pub(super) struct Regrouped {
    /// The hash of the members of the active settings' groups.
    pub(super) active_members: String,
    /// By the student's id at Wonde: the group by the active settings, and by those of the side.
    pub(super) groups: HashMap<StudentId, (Option<usize>, Option<usize>)>,
}

/// The settings of one side.
pub(super) struct Side<'a> {
    pub(super) school: &'a School,
    pub(super) part: SchoolPart,
    /// The closures of its iCalendar, as last read.
    pub(super) closures: ReadClosures,
    /// Whether the MIS is the one of the active settings.
    pub(super) same_mis: bool,
    /// If the members of its groups differ from those of the active settings, and the people are known.
    pub(super) regrouped: Option<Regrouped>,
}

impl<'a> Side<'a> {
    /// What decides the event of this snapshot under these settings.
    fn ruling<'s>(
        &'s self,
        event: &Event,
        snapshot: &'s DecisionSnapshot,
    ) -> Result<Ruling<'s>, Apart>
    where
        'a: 's,
    {
        let before = &snapshot.mis.school;
        let mut capabilities = snapshot.mis.capabilities;
        let on_lessons = capabilities.session == SessionWriteback::FirstLesson;
        if !self.same_mis {
            return Err(Apart::OtherMis);
        }
        if on_lessons && self.part.opens != before.opens {
            return Err(Apart::OtherLessons);
        }
        if before
            .without
            .iter()
            .any(|ability| !self.part.without.contains(ability))
        {
            return Err(Apart::MoreAbilities);
        }
        for ability in &self.part.without {
            capabilities = capabilities.without(*ability);
        }
        Ok(Ruling {
            group: self.group(snapshot)?,
            capabilities,
            timezone: self.school.timezone,
            school_day: school_day(self.school, event, &self.closures),
        })
    }

    fn group<'s>(
        &'s self,
        snapshot: &'s DecisionSnapshot,
    ) -> Result<Option<GroupContext<'s>>, Apart> {
        let recorded = snapshot.group.as_deref();
        let recorded_place = recorded.map(|group| group.part.place);
        let members = &snapshot.mis.school.members;
        let place = if self.part.members == *members {
            recorded_place
        } else if let Some(group) = recorded.filter(|group| group.part.kind != GroupKind::Students)
        {
            // Which group of staff or parents it is makes no difference.
            return Ok(Some(group.as_rules()));
        } else {
            let regrouped = self.regrouped.as_ref().ok_or(Apart::Members)?;
            let groups = regrouped.groups.get(&snapshot.own.student);
            let (active, side) = groups.ok_or(Apart::Members)?;
            if regrouped.active_members != *members || *active != recorded_place {
                return Err(Apart::Members);
            }
            *side
        };
        match place {
            None => Ok(None),
            Some(place) => {
                let group = self.school.groups.get(place).ok_or(Apart::Members)?;
                Ok(Some(group.as_rules()))
            }
        }
    }
}

/// A session's ledger on one side.
#[derive(Clone, Default)]
struct Row {
    ledger: LedgerRow,
    /// Why it is not known, if it is not.
    unknown: Option<Apart>,
}

/// The decisions of one side so far.
pub(super) struct Track<'a> {
    /// `None` for what was recorded.
    side: Option<&'a Side<'a>>,
    history: &'a History,
    /// The places of a person's events.
    by_person: &'a HashMap<&'a str, Vec<usize>>,
    rows: HashMap<Key, Row>,
    /// The last decision about each event so far; `None` if there is none yet.
    pub(super) outcomes: Vec<Option<Outcome>>,
}

/// What was recorded of a decision, as derived from the recorded decisions before it.
pub(super) struct Base<'a> {
    ruling: Ruling<'a>,
    key: Option<Key>,
    row: Row,
    previous: Result<Option<Previous>, Apart>,
    register: RegisterView,
    pub(super) outcome: Outcome,
}

/// A decision of a side and the session that it is for.
pub(super) struct Decided {
    key: Option<Key>,
    pub(super) outcome: Outcome,
}

impl<'a> Track<'a> {
    pub(super) fn new(
        side: Option<&'a Side<'a>>,
        history: &'a History,
        by_person: &'a HashMap<&'a str, Vec<usize>>,
    ) -> Self {
        let mut outcomes = Vec::new();
        outcomes.resize_with(history.events.len(), || None);
        Self {
            side,
            history,
            by_person,
            rows: HashMap::new(),
            outcomes,
        }
    }

    /// Nothing is known of this session: an event of which no input was kept was decided in it.
    pub(super) fn doubt(&mut self, key: Key, why: Apart) {
        self.rows.entry(key).or_default().unknown = Some(why);
    }

    fn row(&self, key: Option<&Key>) -> Row {
        key.and_then(|key| self.rows.get(key).cloned())
            .unwrap_or_default()
    }

    fn outcome(&self, place: usize) -> Option<&Outcome> {
        self.outcomes.get(place)?.as_ref()
    }

    /// The event before this one that is no double tap on this side, as `Store::events_before` finds it.
    fn previous(
        &self,
        place: usize,
        past: &PastEvent,
        rules: Option<&Rules>,
        now: DateTime<Utc>,
    ) -> Result<Option<Previous>, Apart> {
        let Some(stay) = rules.and_then(Rules::shortest_stay) else {
            return Ok(None);
        };
        let event = &past.event;
        let mut latest: Option<&Event> = None;
        let others = self.by_person.get(event.person.as_str());
        for other_place in others.into_iter().flatten().copied() {
            let Some(other) = self.history.events.get(other_place) else {
                continue;
            };
            let gap = event.at.signed_duration_since(other.event.at);
            let tapped = match other.event.kind {
                EventKind::SignOut => !other.event.automatic,
                EventKind::SignIn => !other.event.remote,
            };
            let outcome = self.outcome(other_place);
            let is_before = gap > chrono::TimeDelta::zero()
                || (gap == chrono::TimeDelta::zero() && outcome.is_some());
            let stored = other.received_ms <= now.timestamp_millis();
            if other_place == place || !tapped || !is_before || gap > stay || !stored {
                continue;
            }
            match outcome {
                Some(Ok(decision)) if decision.skipped() == Some(SkipReason::DoubleTap) => continue,
                Some(Err(_)) => return Err(Apart::Earlier),
                Some(Ok(_)) | None => {}
            }
            if latest.is_none_or(|latest| latest.at < other.event.at) {
                latest = Some(&other.event);
            }
        }
        Ok(latest.map(|event| Previous {
            event: event.id.clone(),
            kind: event.kind,
            at: event.at,
        }))
    }

    /// What was recorded of a first decision.
    pub(super) fn recorded(
        &self,
        place: usize,
        past: &'a PastEvent,
        snapshot: &'a DecisionSnapshot,
        quirks: Quirks,
    ) -> Base<'a> {
        let base = self.recorded_again(past, snapshot, quirks);
        Base {
            previous: self.previous(place, past, base.ruling.rules(), snapshot.own.now),
            ..base
        }
    }

    /// What this side decides first about an event.
    pub(super) fn first(
        &self,
        place: usize,
        past: &PastEvent,
        snapshot: &DecisionSnapshot,
        base: &Base<'_>,
        quirks: Quirks,
    ) -> Decided {
        let Some(side) = self.side else {
            return Decided {
                key: base.key.clone(),
                outcome: base.outcome.clone(),
            };
        };
        let ruling = match side.ruling(&past.event, snapshot) {
            Ok(ruling) => ruling,
            Err(why) => {
                return Decided {
                    key: base.key.clone(),
                    outcome: Err(why),
                };
            }
        };
        let key = ruling.key(&past.event, &snapshot.own.student);
        let outcome = self.first_by(place, past, snapshot, base, &ruling, key.as_ref(), quirks);
        Decided { key, outcome }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of one decision, which have no other place together"
    )]
    fn first_by(
        &self,
        place: usize,
        past: &PastEvent,
        snapshot: &DecisionSnapshot,
        base: &Base<'_>,
        ruling: &Ruling<'_>,
        key: Option<&Key>,
        quirks: Quirks,
    ) -> Outcome {
        let Row { ledger, unknown } = self.row(key);
        if let Some(why) = unknown {
            return Err(why.of_later());
        }
        let previous = self.previous(place, past, ruling.rules(), snapshot.own.now);
        if ruling.is_same(&base.ruling) && ledger == base.row.ledger && previous == base.previous {
            return base.outcome.clone();
        }
        base.outcome.as_ref().map_err(|why| *why)?;
        let own = &snapshot.own;
        let event = &past.event;
        let previous = pick(previous?, base.previous.clone()?, own.previous.clone())?;
        let standing = ledger.standing_but(&event.id);
        let same_session = key == base.key.as_ref();
        let (arrival, standing, register) = if same_session {
            if base.row.unknown.is_some() {
                return Err(Apart::Earlier);
            }
            let recorded = base.row.ledger.standing_but(&event.id);
            (
                pick(
                    ledger.arrival.clone(),
                    base.row.ledger.arrival.clone(),
                    own.arrival.clone(),
                )?,
                pick(standing, recorded, own.standing.clone())?,
                pick_register(
                    without_recorded(key, &ledger, &base.row.ledger, event, snapshot, ruling)?,
                    &base.register,
                    own.register().ok_or(Apart::NoSnapshot)?,
                )?,
            )
        } else {
            let why = if key.is_some() { NOT_READ } else { NOT_NEEDED };
            let unread = RegisterView::CannotLook {
                why: why.to_owned(),
            };
            (ledger.arrival.clone(), standing, unread)
        };
        let untouched = ledger.marks.is_empty() && standing == Standing::default();
        let view = View {
            capabilities: ruling.capabilities,
            refused_with: &own.left_out,
            quirks,
            codes: &snapshot.mis.codes,
            register,
            arrival,
            previous,
            planned_before: false,
            standing,
            school_day: ruling.school_day.clone(),
            released: own.released,
            withdrawn: None,
            timezone: ruling.timezone,
        };
        let decision = decide(event, &own.student, ruling.group, &view);
        // In another session than the recorded one, the register is not known. It makes no difference to an event that is
        // skipped without it.
        let independent = untouched && decision.skipped().is_some();
        if !same_session && key.is_some() && !independent {
            return Err(Apart::OtherSession);
        }
        settled(decision)
    }

    /// Records a first decision and its effect on the ledger. `held` is whether the recorded mark was held for release.
    pub(super) fn take_first(
        &mut self,
        place: usize,
        past: &PastEvent,
        snapshot: &DecisionSnapshot,
        decided: Decided,
        held: bool,
    ) {
        let Decided { key, outcome } = decided;
        if let Some(key) = key {
            let row = self.rows.entry(key.clone()).or_default();
            match &outcome {
                Ok(decision) => {
                    enter(&mut row.ledger, &key, past, snapshot, decision);
                    // Nobody knows whether and when somebody would have released it.
                    if decision.hold.is_some() && !held {
                        row.unknown = Some(Apart::Held);
                    }
                }
                Err(why) => row.unknown = Some(*why),
            }
        }
        if let Some(kept) = self.outcomes.get_mut(place) {
            *kept = Some(outcome);
        }
    }

    /// The session of the mark that this event has planned on this side, if it is the newest there.
    fn planned(&self, place: usize, past: &PastEvent, snapshot: &DecisionSnapshot) -> Option<Key> {
        let decision = self.outcome(place)?.as_ref().ok()?;
        let mark = &decision.planned()?.mark;
        let key = (snapshot.own.student.clone(), mark.date, mark.session);
        let newest = self.rows.get(&key)?.ledger.newest()?;
        (newest.event == past.event.id).then_some(key)
    }

    /// What was recorded when an event was decided again before sending.
    pub(super) fn recorded_again(
        &self,
        past: &'a PastEvent,
        snapshot: &'a DecisionSnapshot,
        quirks: Quirks,
    ) -> Base<'a> {
        let ruling = Ruling::recorded(snapshot);
        let key = ruling.key(&past.event, &snapshot.own.student);
        let row = self.row(key.as_ref());
        let replayed = snapshot.replay(&past.event, quirks);
        Base {
            previous: Ok(None),
            register: register(
                key.as_ref(),
                held_in_copy(key.as_ref(), snapshot),
                &row.ledger,
                &past.event,
                snapshot,
                &ruling,
            ),
            outcome: replayed
                .filter(|decision| snapshot.is_decision(decision))
                .map(Arc::new)
                .ok_or(Apart::OtherVersion),
            ruling,
            key,
            row,
        }
    }

    /// What this side decides about its planned mark before sending; `None` if it has none to send.
    pub(super) fn again(
        &self,
        place: usize,
        past: &PastEvent,
        snapshot: &DecisionSnapshot,
        base: &Base<'_>,
        quirks: Quirks,
    ) -> Option<Decided> {
        let key = self.planned(place, past, snapshot)?;
        let outcome = match self.side {
            None => base.outcome.clone(),
            Some(side) => self.again_by(side, past, snapshot, base, &key, quirks),
        };
        Some(Decided {
            key: Some(key),
            outcome,
        })
    }

    fn again_by(
        &self,
        side: &Side<'_>,
        past: &PastEvent,
        snapshot: &DecisionSnapshot,
        base: &Base<'_>,
        key: &Key,
        quirks: Quirks,
    ) -> Outcome {
        let Row { ledger, unknown } = self.row(Some(key));
        if unknown.is_some() {
            return Err(Apart::Earlier);
        }
        let ruling = side.ruling(&past.event, snapshot)?;
        if ruling.is_same(&base.ruling) && ledger == base.row.ledger {
            return base.outcome.clone();
        }
        base.outcome.as_ref().map_err(|why| *why)?;
        if base.row.unknown.is_some() || base.key.as_ref() != Some(key) {
            return Err(Apart::Earlier);
        }
        let own = &snapshot.own;
        let event = &past.event;
        let against = |row: &LedgerRow| row.mark(&event.id).map(|mark| mark.against.clone());
        let recorded = against(&base.row.ledger).ok_or(Apart::Earlier)?;
        let arrival = if event.kind == EventKind::SignOut {
            let recorded = base.row.ledger.arrival.clone();
            pick(ledger.arrival.clone(), recorded, own.arrival.clone())?
        } else {
            None
        };
        let view = View {
            capabilities: ruling.capabilities,
            refused_with: &own.left_out,
            quirks,
            codes: &snapshot.mis.codes,
            register: pick_register(
                without_recorded(
                    Some(key),
                    &ledger,
                    &base.row.ledger,
                    event,
                    snapshot,
                    &ruling,
                )?,
                &base.register,
                own.register().ok_or(Apart::NoSnapshot)?,
            )?,
            arrival,
            previous: None,
            planned_before: true,
            standing: pick(
                against(&ledger).ok_or(Apart::Earlier)?,
                recorded,
                own.standing.clone(),
            )?,
            school_day: ruling.school_day.clone(),
            released: own.released,
            withdrawn: None,
            timezone: ruling.timezone,
        };
        settled(decide(event, &own.student, ruling.group, &view))
    }

    /// Records a decision before sending: the mark as it is sent, or none.
    pub(super) fn take_again(&mut self, place: usize, past: &PastEvent, decided: Decided) {
        let Decided { key, outcome } = decided;
        let event = &past.event.id;
        if let Some(row) = key.and_then(|key| self.rows.get_mut(&key)) {
            match &outcome {
                Ok(decision) => match decision.planned() {
                    Some(planned) => {
                        let kept = row
                            .ledger
                            .marks
                            .iter_mut()
                            .find(|mark| mark.event == *event);
                        if let Some(kept) = kept {
                            kept.code = planned.mark.code.clone();
                            kept.comment.clone_from(&planned.mark.comment);
                            kept.minutes_late = planned.mark.minutes_late;
                            kept.held = decision.hold.is_some();
                        }
                    }
                    None => {
                        row.ledger
                            .apply(&Change::Forget(event.clone()), DateTime::UNIX_EPOCH);
                    }
                },
                Err(why) => row.unknown = Some(*why),
            }
        }
        if let Some(kept) = self.outcomes.get_mut(place) {
            *kept = Some(outcome);
        }
    }

    /// A person released the event's mark, if it is held on this side.
    pub(super) fn released(&mut self, place: usize, past: &PastEvent) {
        let held = self.mark(place, past).filter(|mark| mark.held);
        if let (Some(mark), Some(row)) = (held, self.row_of(place, past)) {
            row.ledger
                .apply(&Change::Release(mark), DateTime::UNIX_EPOCH);
        }
    }

    /// Wonde accepted the event's mark. A mark that only this side writes counts as accepted at the same time.
    pub(super) fn accepted(&mut self, place: usize, past: &PastEvent) {
        self.released(place, past);
        let sent_at = past.sent_ms.and_then(DateTime::from_timestamp_millis);
        if let Some(mark) = self.mark_mut(place, past) {
            mark.sent_at = sent_at.or(Some(mark.planned_at));
            mark.answered = true;
        }
    }

    /// Whether the event's mark waits, or waited, for a person's release on this side.
    pub(super) fn holds(&self, place: usize) -> bool {
        let decision = self
            .outcome(place)
            .and_then(|outcome| outcome.as_ref().ok());
        decision.is_some_and(|decision| decision.hold.is_some())
    }

    /// The event came to its end, and so did its mark on each side. `recorded` is the recorded mark before that, and `held`
    /// whether it waited for a person's release.
    pub(super) fn settled(
        &mut self,
        place: usize,
        past: &PastEvent,
        recorded: Option<&LedgerMark>,
        held: bool,
    ) {
        // Nobody dropped what this side does not hold.
        if held && past.state == EventState::Discarded && !self.holds(place) {
            return;
        }
        let at = past.settled_ms.and_then(DateTime::from_timestamp_millis);
        let Some(mine) = self.mark_mut(place, past).map(|mark| mark.clone()) else {
            return;
        };
        let Some(row) = self.row_of(place, past) else {
            return;
        };
        let event = past.event.id.clone();
        let newest = row.ledger.newest().is_some_and(|mark| mark.event == event);
        let change = match past.state {
            EventState::Confirmed => Change::Confirm(event),
            EventState::Discarded => Change::Discard(event),
            // A newer mark took its place; if this side has none, its mark is sent.
            EventState::Superseded if newest => return,
            EventState::Superseded => Change::Forget(event),
            EventState::Rejected | EventState::Failed => match recorded {
                // Only this side has a mark.
                None => return,
                Some(recorded) if says_the_same(recorded, &mine) => Change::Forget(event),
                Some(_) => {
                    row.unknown = Some(Apart::Refused);
                    return;
                }
            },
            _ => return,
        };
        row.ledger.apply(&change, at.unwrap_or_default());
    }

    /// The event's mark in the ledger of this side.
    pub(super) fn mark(&self, place: usize, past: &PastEvent) -> Option<LedgerMark> {
        let key = self.key_of(place, past)?;
        self.rows.get(&key)?.ledger.mark(&past.event.id).cloned()
    }

    fn mark_mut(&mut self, place: usize, past: &PastEvent) -> Option<&mut LedgerMark> {
        let row = self.row_of(place, past)?;
        let mut marks = row.ledger.marks.iter_mut();
        marks.find(|mark| mark.event == past.event.id)
    }

    fn row_of(&mut self, place: usize, past: &PastEvent) -> Option<&mut Row> {
        let key = self.key_of(place, past)?;
        self.rows.get_mut(&key)
    }

    fn key_of(&self, place: usize, past: &PastEvent) -> Option<Key> {
        let snapshot = past.first.as_ref().ok()?;
        let decision = self.outcome(place)?.as_ref().ok()?;
        let (date, session) = decision.session?;
        Some((snapshot.own.student.clone(), date, session))
    }
}

/// An input on a side: the recorded one if nothing is different on the side; the derived one if the derivation is right for
/// what was recorded.
fn pick<T: PartialEq>(side: T, derived: T, recorded: T) -> Result<T, Apart> {
    if side == derived {
        Ok(recorded)
    } else if derived == recorded {
        Ok(side)
    } else {
        Err(Apart::Underivable)
    }
}

/// The same for views of the register. The age of a view, which decides nothing, may differ.
fn pick_register(
    side: RegisterView,
    derived: &RegisterView,
    recorded: RegisterView,
) -> Result<RegisterView, Apart> {
    if is_same_view(&side, derived) {
        Ok(recorded)
    } else if is_same_view(derived, &recorded) {
        Ok(side)
    } else {
        Err(Apart::Underivable)
    }
}

fn is_same_view(one: &RegisterView, other: &RegisterView) -> bool {
    match (one, other) {
        (
            RegisterView::Looked { held, source, .. },
            RegisterView::Looked {
                held: other,
                source: other_source,
                ..
            },
        ) => (held, source) == (other, other_source),
        (RegisterView::CannotLook { .. }, RegisterView::CannotLook { .. }) => true,
        _ => false,
    }
}

fn says_the_same(one: &LedgerMark, other: &LedgerMark) -> bool {
    (&one.code, &one.comment, one.minutes_late) == (&other.code, &other.comment, other.minutes_late)
}

/// A decision that waits would come later, in sight of another register.
fn settled(decision: Decision) -> Outcome {
    match decision.outcome {
        DecisionOutcome::Wait { .. } => Err(Apart::Waits),
        _ => Ok(Arc::new(decision)),
    }
}

/// The view of the register on a side that has not written all that was recorded. A mark of ours that the copy shows and this side lacks
/// was never in this side's register: there a mark of its own still stands, or what was there before.
fn without_recorded(
    key: Option<&Key>,
    ledger: &LedgerRow,
    recorded: &LedgerRow,
    event: &Event,
    snapshot: &DecisionSnapshot,
    ruling: &Ruling<'_>,
) -> Result<RegisterView, Apart> {
    let mut held = held_in_copy(key, snapshot);
    let is_shown = |mark: &LedgerMark| {
        held.as_ref()
            .is_some_and(|held| held.code == HeldCode::Known(mark.code.clone()))
    };
    let has = |row: &LedgerRow| row.marks_but(&event.id).any(is_shown);
    if has(recorded) && !has(ledger) {
        let own = ledger.newest_but(&event.id);
        let first = recorded.marks_but(&event.id).next();
        if own.is_none() && first.is_some_and(|first| first.over.is_some()) {
            return Err(Apart::Underivable);
        }
        held = None;
    }
    Ok(register(key, held, ledger, event, snapshot, ruling))
}

/// The pupil's mark in the copy of the register that was recorded.
fn held_in_copy(key: Option<&Key>, snapshot: &DecisionSnapshot) -> Option<HeldMark> {
    let (student, _, session) = key?;
    snapshot.own.copy.as_ref()?.held(student, *session)
}

/// The view of the register that the rules get with this ledger, and this mark in the copy that was recorded.
fn register(
    key: Option<&Key>,
    held: Option<HeldMark>,
    ledger: &LedgerRow,
    event: &Event,
    snapshot: &DecisionSnapshot,
    ruling: &Ruling<'_>,
) -> RegisterView {
    let own = &snapshot.own;
    let (Some((student, date, session)), true) = (key, own.register.is_some()) else {
        return RegisterView::CannotLook {
            why: NOT_NEEDED.to_owned(),
        };
    };
    let register = match &own.copy {
        Some(copy) => Ok(Arc::new(Register::new(*date, copy.read_at, held))),
        None => Err(NOT_READ.to_owned()),
    };
    let rules = ruling.rules();
    let sources = Sources {
        ledger: Some(ledger),
        register: &register,
        planned_at: own.planned_at,
        confirm_within: snapshot.mis.confirm_within,
        now: own.now,
        must_see: rules.is_some_and(|rules| rules.must_see_register(event.kind)),
    };
    let key = LedgerKey {
        school: String::new(),
        student: student.clone(),
        date: *date,
        session: *session,
    };
    view_of(&key, &event.id, &sources, |held| {
        rules.is_some_and(|rules| rules.protects(held, event.kind, &snapshot.mis.codes))
    })
}

/// Enters a first decision in the ledger as the decider does.
fn enter(
    ledger: &mut LedgerRow,
    key: &Key,
    past: &PastEvent,
    snapshot: &DecisionSnapshot,
    decision: &Decision,
) {
    let own = &snapshot.own;
    let event = &past.event;
    let now = snapshot.decided_at;
    let against = ledger.standing_but(&event.id);
    if decision.arrival {
        let arrival = writeback::Arrival {
            event: event.id.clone(),
            at: event.at,
        };
        ledger.apply(&Change::Arrive(arrival), now);
    }
    let change = match (&decision.outcome, &decision.standing) {
        (DecisionOutcome::Write(planned), standing) => {
            let held = held_in_copy(Some(key), snapshot);
            let planned_ms = own.now.timestamp_millis();
            Change::Plan {
                standing: Some(standing.clone().unwrap_or_else(|| against.clone())),
                mark: LedgerMark {
                    event: event.id.clone(),
                    code: planned.mark.code.clone(),
                    comment: planned.mark.comment.clone(),
                    minutes_late: planned.mark.minutes_late,
                    planned_at: DateTime::from_timestamp_millis(planned_ms).unwrap_or(own.now),
                    sent_at: None,
                    answered: false,
                    confirmed_at: None,
                    against,
                    over: held.as_ref().and_then(SeenMark::of),
                    found: None,
                    held: decision.hold.is_some(),
                    withdrawn: false,
                    repairs: None,
                },
            }
        }
        (DecisionOutcome::Skip { .. }, Some(standing)) => Change::Stand(standing.clone()),
        _ => return,
    };
    ledger.apply(&change, now);
}
