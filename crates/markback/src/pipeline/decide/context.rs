//! What a decision needs: the school's codes, registers, limits and our own ledger, read once for a batch.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, NaiveDate, Utc};
use mis_core::{
    Ability, Capabilities, CodeBook, Error, ErrorKind, EventKind, HeldCode, Quirks, Recovery,
    Register, StudentId,
};
use writeback::{
    Decision, DecisionOutcome, Event, Previous, RegisterMark, RegisterSource, RegisterView,
    SchoolDay, SkipReason, Standing, View, Withdrawn, decide, local_date,
};

use super::view::{Sources, view_of, withdrawn_of};
use crate::{
    calendar::{ReadClosures, reading::kept_closures},
    ledger::{LedgerRow, SeenMark},
    mirror::{MaxAge, Mirror, Unread},
    pipeline::planned::PlannedMark,
    schools::Schools,
    settings::{Group, School},
    snapshot::{
        self, GroupPart, KeptCopy, Look as Which, MisPart, NOT_NEEDED, OwnPart, SchoolPart,
    },
    store::{LedgerKey, NewSnapshot, Part, Store},
};

/// Why the register is not read where the MIS takes no marks.
const NOT_WRITTEN: &str =
    "the MIS does not accept marks at this school, so its register is not read";

/// Reads the context of decisions.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct ContextReader {
    pub(in crate::pipeline) store: Store,
    pub(in crate::pipeline) schools: Arc<Schools>,
    pub(in crate::pipeline) mirror: Mirror,
    /// How long to wait for the outcome of a mark.
    pub(in crate::pipeline) confirm_within: Duration,
}

/// What deciding events of one school needs.
pub(in crate::pipeline) struct DecisionContext<'a> {
    pub(in crate::pipeline) school: &'a School,
    capabilities: Capabilities,
    quirks: Quirks,
    codes: Arc<CodeBook>,
    pub(in crate::pipeline) registers: HashMap<NaiveDate, Result<Arc<Register>, String>>,
    /// Why a register could not be read, if any could not.
    pub(in crate::pipeline) unread: Option<Error>,
    pub(in crate::pipeline) ledger: HashMap<LedgerKey, LedgerRow>,
    confirm_within: Duration,
    /// The closures of the school's iCalendar.
    closures: ReadClosures,
    /// The version of the school's settings.
    pub(in crate::pipeline) settings: String,
    /// What the snapshots of these decisions share.
    mis_part: Option<Part>,
    group_parts: Mutex<HashMap<String, Option<Part>>>,
}

/// A decision with its input.
pub(in crate::pipeline) struct Decided {
    pub(in crate::pipeline) decision: Decision,
    /// `None` if the input has no JSON form. The decision counts all the same.
    pub(in crate::pipeline) snapshot: Option<NewSnapshot>,
}

/// How often an event has been decided.
pub(in crate::pipeline) enum Look<'a> {
    /// Not yet.
    First {
        /// What the same person did shortly before.
        previous: Option<Previous>,
    },
    /// It has a planned mark, which is about to be sent. That it is no double tap was decided then.
    Again(&'a PlannedMark),
    /// It was withdrawn after this mark was sent, which is to be repaired.
    Repair(&'a PlannedMark),
}

impl ContextReader {
    /// Reads the context for these sessions. The outer error is the database's, the inner one the school's. The ledger is
    /// read last, so that it has everything we wrote meanwhile.
    pub(in crate::pipeline) async fn read<'a>(
        &self,
        school: &'a School,
        keys: &[LedgerKey],
        max_age: MaxAge,
    ) -> outbox::Result<mis_core::Result<DecisionContext<'a>>> {
        let mis = match self.schools.mis(school).await {
            Ok(mis) => mis,
            Err(error) => return Ok(Err(error)),
        };
        let capabilities = mis.capabilities();
        let (mut registers, mut unread) = (HashMap::new(), None);
        // Registers matter only where marks can be written.
        let writes = capabilities.has(Ability::Session);
        let dates: HashSet<NaiveDate> =
            keys.iter().map(|key| key.date).filter(|_| writes).collect();
        for date in dates {
            let register = match self.mirror.register(school, &mis, date, max_age).await {
                Ok(register) => Ok(register),
                Err(Unread::Store(error)) => return Err(error),
                Err(Unread::Mis(error)) if concerns_all_requests(&error) => return Ok(Err(error)),
                Err(Unread::Mis(error)) => {
                    let why = error.to_string();
                    unread.get_or_insert(error);
                    Err(why)
                }
                Err(Unread::First(why)) => Err(why),
            };
            registers.insert(date, register);
        }
        // After the registers: an unknown code in one of them may have renewed the code book.
        let codes = if writes {
            match mis.code_book().await {
                Ok(codes) => codes,
                Err(error) => return Ok(Err(error)),
            }
        } else {
            Arc::default()
        };
        let closures = kept_closures(&self.store, school).await?;
        let ledger = self.store.ledger(keys).await?;
        let capabilities = self.store.limited_capabilities(&school.id, &mis).await?;
        let adapter = mis.descriptor();
        let part = SchoolPart::of(school).map(|school_part| MisPart {
            adapter: adapter.id.to_owned(),
            declared: adapter.capabilities,
            capabilities,
            codes: codes.clone(),
            timezone: school.timezone,
            confirm_within: self.confirm_within,
            school: school_part,
        });
        Ok(Ok(DecisionContext {
            school,
            capabilities,
            quirks: mis.quirks(),
            codes,
            settings: school.version.to_string(),
            mis_part: snapshot::part(part),
            group_parts: Mutex::default(),
            registers,
            unread,
            ledger,
            closures,
            confirm_within: self.confirm_within,
        }))
    }
}

/// Whether an error of one request applies to all, so that nothing is decided without the register meanwhile.
fn concerns_all_requests(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unauthorized | ErrorKind::RateLimited
    ) || matches!(error.recovery(), Recovery::RetryAfter(_))
}

/// What a school's calendar says about an event's day, with the closures that were read from elsewhere.
pub(crate) fn school_day(school: &School, event: &Event, read: &ReadClosures) -> SchoolDay {
    let Some(calendar) = &school.calendar else {
        return SchoolDay::NoCalendar;
    };
    match local_date(event.at, school.timezone) {
        Some(date) => calendar.day(date, read),
        None => SchoolDay::NoCalendar,
    }
}

impl DecisionContext<'_> {
    /// The events that stand in the session of an event decided for the first time. Its own mark from an earlier round
    /// does not count.
    pub(in crate::pipeline) fn standing_of(
        &self,
        key: Option<&LedgerKey>,
        event: &Event,
    ) -> Standing {
        let row = key.and_then(|key| self.ledger.get(key));
        row.map_or_else(Standing::default, |row| row.standing_but(&event.id))
    }

    /// What Wonde's copy shows of a session.
    pub(in crate::pipeline) fn seen(&self, key: &LedgerKey) -> Option<SeenMark> {
        let register = self.registers.get(&key.date)?.as_ref().ok()?;
        SeenMark::of(register.held(&key.student, key.session)?)
    }

    /// Applies the rules to one event.
    pub(in crate::pipeline) fn decide(
        &self,
        event: &Event,
        student: &StudentId,
        group: Option<&Group>,
        key: Option<&LedgerKey>,
        now: DateTime<Utc>,
        look: Look<'_>,
    ) -> Decided {
        let planned = match &look {
            Look::Again(planned) => Some(*planned),
            Look::First { .. } | Look::Repair(_) => None,
        };
        let view = self.view(event, group, key, now, look);
        let decision = decide(event, student, group.map(Group::as_rules), &view);
        let copy = key.and_then(|key| self.copy(key));
        let planned_at = planned.map(|planned| planned.planned_at);
        let settings = Some(self.settings.clone());
        let own = OwnPart::of(student, &view, copy, now, planned_at, settings, &decision);
        let snapshot = own
            .and_then(|own| serde_json::to_string(&own))
            .inspect_err(|error| tracing::error!(%error, "the input of a decision is not stored"))
            .ok()
            .and_then(|body| self.snapshot(event, group, planned.is_some(), body));
        Decided { decision, snapshot }
    }

    /// Whether all registers were read lately, or could not be read at all.
    pub(in crate::pipeline) fn is_recent(&self, mirror: &Mirror) -> bool {
        let mut read = self.registers.values().flatten();
        read.all(|register| mirror.is_recent(register))
    }

    /// Whether the register cannot change what is decided about an event that comes for the first time, so that an older copy
    /// will do. That is so if the pupil's arrival is known, or if the event is the first one of the session, is judged by the
    /// time, and the group's rules protect nothing.
    pub(in crate::pipeline) fn is_decided_by_rules(
        &self,
        event: &Event,
        student: &StudentId,
        group: Option<&Group>,
        key: &LedgerKey,
        now: DateTime<Utc>,
        previous: Option<Previous>,
    ) -> bool {
        let view = self.view(event, group, Some(key), now, Look::First { previous });
        let outcome = decide(event, student, group.map(Group::as_rules), &view).outcome;
        let rules = group.and_then(|group| group.rules.as_ref());
        let sees = |kind| rules.is_some_and(|rules| rules.must_see_register(kind));
        let row = self.ledger.get(key);
        let is_alone = row.is_none_or(|row| row.newest_but(&event.id).is_none())
            && !sees(EventKind::SignIn)
            && !sees(EventKind::SignOut);
        match outcome {
            DecisionOutcome::Write(planned) => is_alone && planned.rule.is_time_based(),
            DecisionOutcome::Skip { reason, .. } => match reason {
                SkipReason::AlreadyArrived => row.is_none_or(|row| row.standing.chosen.is_none()),
                // An older copy may say so where the register does not any more.
                SkipReason::AlreadyRecorded => false,
                _ => is_alone,
            },
            _ => false,
        }
    }

    /// What the rules go by.
    fn view<'v>(
        &'v self,
        event: &Event,
        group: Option<&Group>,
        key: Option<&LedgerKey>,
        now: DateTime<Utc>,
        look: Look<'v>,
    ) -> View<'v> {
        let (planned, previous, repair) = match look {
            Look::First { previous } => (None, previous, None),
            Look::Again(planned) => (
                Some(planned),
                None,
                planned.repairs.is_some().then_some(planned),
            ),
            Look::Repair(planned) => (None, None, Some(planned)),
        };
        let row = key.and_then(|key| self.ledger.get(key));
        let (withdrawn, repaired) = repair
            .and_then(|planned| self.withdrawn(key?, planned, now))
            .unzip();
        let register = match key.and_then(|key| Some((key, self.registers.get(&key.date)?))) {
            _ if repaired.is_some() => repaired.unwrap_or(RegisterView::CannotLook {
                why: NOT_NEEDED.to_owned(),
            }),
            Some((key, register)) => {
                let rules = group.and_then(|group| group.rules.as_ref());
                let sources = Sources {
                    ledger: row,
                    register,
                    planned_at: planned.map(|planned| planned.planned_at),
                    confirm_within: self.confirm_within,
                    now,
                    must_see: rules.is_some_and(|rules| rules.must_see_register(event.kind)),
                };
                let protects = |held: &HeldCode| {
                    rules.is_some_and(|rules| rules.protects(held, event.kind, &self.codes))
                };
                view_of(key, &event.id, &sources, protects)
            }
            None => RegisterView::CannotLook {
                why: NOT_NEEDED.to_owned(),
            },
        };
        View {
            capabilities: self.capabilities,
            quirks: self.quirks,
            codes: &self.codes,
            register,
            // Which arrival stands was judged when the mark was planned. An earlier one that came in since has taken the
            // mark's place in the ledger, or says the same. A sign-out is no arrival: what it is compared with may stand.
            arrival: row
                .filter(|_| planned.is_none() || event.kind == EventKind::SignOut)
                .and_then(|row| row.arrival.clone()),
            refused_with: planned.map_or(&[], |planned| &planned.left_out),
            previous,
            planned_before: planned.is_some(),
            // So was which event stands.
            standing: planned.map_or_else(
                || self.standing_of(key, event),
                |planned| planned.against.clone(),
            ),
            school_day: school_day(self.school, event, &self.closures),
            released: planned.is_some_and(|planned| planned.released),
            withdrawn,
            timezone: self.school.timezone,
        }
    }

    /// What is known of the mark of a withdrawn event, and the view of the register.
    fn withdrawn(
        &self,
        key: &LedgerKey,
        planned: &PlannedMark,
        now: DateTime<Utc>,
    ) -> Option<(Withdrawn, RegisterView)> {
        let unread = Err(NOT_WRITTEN.to_owned());
        let sources = Sources {
            ledger: self.ledger.get(key),
            register: self.registers.get(&key.date).unwrap_or(&unread),
            planned_at: None,
            confirm_within: self.confirm_within,
            now,
            must_see: true,
        };
        let event = planned.event.id.as_str();
        Some(withdrawn_of(key, event, || planned.first_mark(), &sources))
    }

    /// Somebody else's mark that a decision found in the register.
    pub(in crate::pipeline) fn found(
        &self,
        key: &LedgerKey,
        decision: &Decision,
    ) -> Option<RegisterMark> {
        let found = decision.found.as_ref()?;
        if found.source != RegisterSource::Wonde {
            return None;
        }
        let held = self.registers.get(&key.date)?.as_ref().ok()?;
        let held = held.held(&key.student, key.session)?;
        Some(RegisterMark {
            code: held.code.clone(),
            comment: held.comment.clone(),
            minutes_late: held.minutes_late,
        })
    }

    fn snapshot(
        &self,
        event: &Event,
        group: Option<&Group>,
        again: bool,
        body: String,
    ) -> Option<NewSnapshot> {
        let group = match group {
            None => None,
            Some(group) => Some(self.group_part(group)?),
        };
        Some(NewSnapshot {
            school: self.school.id.to_string(),
            event: event.id.clone(),
            look: if again {
                Which::BeforeSending
            } else {
                Which::First
            },
            restarts: false,
            job: 0,
            group,
            mis: self.mis_part.clone()?,
            body,
        })
    }

    fn group_part(&self, group: &Group) -> Option<Part> {
        let mut parts = self
            .group_parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parts.get(&group.name) {
            return known.clone();
        }
        let part = snapshot::part(Ok(GroupPart::of(self.school, group)));
        parts.insert(group.name.clone(), part.clone());
        part
    }

    /// What Wonde's copy shows of a session, if it was read.
    fn copy(&self, key: &LedgerKey) -> Option<KeptCopy> {
        let register = self.registers.get(&key.date)?.as_ref().ok()?;
        let held = register.held(&key.student, key.session);
        Some(KeptCopy::of(held, register.read_at()))
    }
}
