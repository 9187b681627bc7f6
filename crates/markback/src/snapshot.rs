//! Snapshots of decisions: the whole input of `writeback::decide`, kept so that a decision can be replayed exactly.
//!
//! What the decisions about many events share is stored once: the group with its settings ([`GroupPart`]), and the school's
//! MIS, code book and time zone ([`MisPart`]). An event's own part ([`OwnPart`]) is small. The event itself is in its row.
//! Quirks are functions of the adapter, so the adapter's id is kept, and a replay uses those of the linked adapter.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mis_core::{
    Ability, AttendanceCodeId, Capabilities, CodeBook, EmployeeId, EventKind, HeldCode, HeldMark,
    Quirks, Registry, Session, StudentId,
};
use roster::Membership;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use writeback::{
    Arrival, Decision, Event, GroupContext, Previous, RegisterMark, RegisterSource, RegisterView,
    Rule, Rules, SchoolDay, Standing, View, Withdrawn, decide,
    settings::{Field, GroupKind, WritebackSettings},
};

use crate::{
    settings::{Group, School},
    store::{Part, StoredSnapshot},
};

/// Why an event for which no session is known has no view of the register.
pub(crate) const NOT_NEEDED: &str = "no mark depends on it";
/// The bytes of a SHA-256 hash that tell two decisions, or two schools' conditions, apart.
const FINGERPRINT_BYTES: usize = 8;

/// Which decision about an event it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// The first of the event's round.
    First = 0,
    /// The last one before its mark was sent, with the register read anew.
    BeforeSending = 1,
}

impl Look {
    /// From its number in the database.
    pub(crate) fn read(number: i64) -> Option<Self> {
        [Self::First, Self::BeforeSending]
            .into_iter()
            .find(|look| *look as i64 == number)
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first decision",
            Self::BeforeSending => "decision before sending",
        })
    }
}

/// A group with its settings as the decision found them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupPart {
    pub(crate) name: String,
    /// Its place among the school's groups.
    pub(crate) place: usize,
    pub(crate) kind: GroupKind,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<Field>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) writeback: Option<WritebackSettings>,
}

impl GroupPart {
    /// A group of this school.
    pub(crate) fn of(school: &School, group: &Group) -> Self {
        let place = school.groups.iter().position(|one| one.name == group.name);
        Self {
            name: group.name.clone(),
            place: place.unwrap_or(usize::MAX),
            kind: group.kind,
            fields: group.fields.clone(),
            writeback: group.writeback.clone(),
        }
    }
}

/// A school's MIS, codes and time zone as the decision found them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MisPart {
    /// The adapter's id, for the quirks.
    pub(crate) adapter: String,
    /// What the adapter declared. If it declares something else now, its quirks may differ too.
    pub(crate) declared: Capabilities,
    pub(crate) capabilities: Capabilities,
    pub(crate) codes: Arc<CodeBook>,
    pub(crate) timezone: Tz,
    /// How long to wait for the outcome of a mark: the view of the register depends on it.
    pub(crate) confirm_within: Duration,
    pub(crate) school: SchoolPart,
}

/// The settings of a school that decide what an event is compared with, apart from the groups' rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchoolPart {
    /// A hash of the conditions for members of all groups, and of the ids that name people: if it is the same, so are the
    /// groups of all events.
    pub(crate) members: String,
    pub(crate) without: Vec<Ability>,
    /// When the sessions begin, for an MIS that keeps marks on lessons.
    pub(crate) opens: (Option<NaiveTime>, Option<NaiveTime>),
}

impl SchoolPart {
    pub(crate) fn of(school: &School) -> serde_json::Result<Self> {
        let groups: Vec<_> = school
            .groups
            .iter()
            .map(|group| {
                let conditions = Membership {
                    properties: None,
                    ..group.membership.clone()
                };
                (group.kind, conditions)
            })
            .collect();
        let by: Vec<_> = school.persons.by.iter().map(ToString::to_string).collect();
        Ok(Self {
            members: hash_of(&(groups, by))?,
            without: school.without.to_vec(),
            opens: school.session_times(),
        })
    }
}

/// An event's own part of a decision's input.
///
/// `Debug` is not implemented: it holds comments and answers, which are a child's data.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OwnPart {
    pub(crate) student: StudentId,
    #[serde(with = "chrono::serde::ts_nanoseconds")]
    pub(crate) now: DateTime<Utc>,
    /// The view of the register; `None` if no mark depended on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) register: Option<KeptView>,
    /// Wonde's copy of the pupil's session; `None` if it was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copy: Option<KeptCopy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arrival: Option<Arrival>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<Previous>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) standing: Standing,
    /// Parts that the MIS has refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<Ability>,
    /// When its mark was planned; `None` for a first decision.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "chrono::serde::ts_nanoseconds_option"
    )]
    pub(crate) planned_at: Option<DateTime<Utc>>,
    /// What the school's calendar said about the day.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) school_day: SchoolDay,
    /// Whether a person had released the mark.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) released: bool,
    /// What was known of the mark of a withdrawn event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) withdrawn: Option<Withdrawn>,
    /// The version of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<String>,
    /// The fingerprint of the decision.
    pub(crate) decision: String,
}

/// A view of the register.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeptView {
    /// Wonde's copy, which is kept beside it.
    Copy,
    /// Anything else that was read.
    Looked {
        source: RegisterSource,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<RegisterMark>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        age: Option<TimeDelta>,
    },
    /// It was not read, for this reason.
    Unread(String),
}

/// Wonde's copy of one pupil's session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptCopy {
    #[serde(with = "chrono::serde::ts_nanoseconds")]
    pub(crate) read_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<RegisterMark>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "chrono::serde::ts_nanoseconds_option"
    )]
    changed_at: Option<DateTime<Utc>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl KeptCopy {
    pub(crate) fn of(held: Option<&HeldMark>, read_at: DateTime<Utc>) -> Self {
        Self {
            read_at,
            held: held.map(|held| RegisterMark {
                code: held.code.clone(),
                comment: held.comment.clone(),
                minutes_late: held.minutes_late,
            }),
            changed_at: held.and_then(|held| held.changed_at),
        }
    }

    /// The held mark of this pupil and session.
    pub(crate) fn held(&self, student: &StudentId, session: Session) -> Option<HeldMark> {
        let held = self.held.as_ref()?;
        Some(HeldMark {
            student: student.clone(),
            session,
            code: held.code.clone(),
            comment: held.comment.clone(),
            minutes_late: held.minutes_late,
            changed_at: self.changed_at,
        })
    }

    fn view(&self, now: DateTime<Utc>) -> RegisterView {
        RegisterView::Looked {
            held: self.held.clone(),
            source: RegisterSource::Wonde,
            age: Some(now - self.read_at),
        }
    }
}

impl KeptView {
    fn of(view: &RegisterView, copy: Option<&KeptCopy>, now: DateTime<Utc>) -> Option<Self> {
        if copy.is_some_and(|copy| copy.view(now) == *view) {
            return Some(Self::Copy);
        }
        match view {
            RegisterView::CannotLook { why } if why == NOT_NEEDED => None,
            RegisterView::CannotLook { why } => Some(Self::Unread(why.clone())),
            RegisterView::Looked { held, source, age } => Some(Self::Looked {
                source: *source,
                held: held.clone(),
                age: *age,
            }),
        }
    }
}

impl OwnPart {
    /// The input and the fingerprint of a decision.
    pub(crate) fn of(
        student: &StudentId,
        view: &View<'_>,
        copy: Option<KeptCopy>,
        now: DateTime<Utc>,
        planned_at: Option<DateTime<Utc>>,
        settings: Option<String>,
        decision: &Decision,
    ) -> serde_json::Result<Self> {
        Ok(Self {
            student: student.clone(),
            now,
            register: KeptView::of(&view.register, copy.as_ref(), now),
            copy,
            arrival: view.arrival.clone(),
            previous: view.previous.clone(),
            standing: view.standing.clone(),
            left_out: view.refused_with.to_vec(),
            planned_at,
            school_day: view.school_day.clone(),
            released: view.released,
            withdrawn: view.withdrawn.clone(),
            settings,
            decision: fingerprint(decision)?,
        })
    }

    /// The view of the register; `None` if it was Wonde's copy and that is missing.
    pub(crate) fn register(&self) -> Option<RegisterView> {
        Some(match &self.register {
            None => RegisterView::CannotLook {
                why: NOT_NEEDED.to_owned(),
            },
            Some(KeptView::Unread(why)) => RegisterView::CannotLook { why: why.clone() },
            Some(KeptView::Copy) => self.copy.as_ref()?.view(self.now),
            Some(KeptView::Looked { source, held, age }) => RegisterView::Looked {
                held: held.clone(),
                source: *source,
                age: *age,
            },
        })
    }
}

/// A group that was read back, with its rules.
#[derive(Debug)]
pub(crate) struct KnownGroup {
    pub(crate) part: GroupPart,
    pub(crate) rules: Option<Rules>,
}

impl KnownGroup {
    fn read(body: &str) -> Result<Self, Unreadable> {
        let part: GroupPart = serde_json::from_str(body).map_err(|_| Unreadable::Version)?;
        let rules = match &part.writeback {
            None => None,
            Some(settings) => {
                let checked = Rules::check(part.kind, &part.fields, settings, None);
                Some(checked.rules.ok_or(Unreadable::Settings)?)
            }
        };
        Ok(Self { part, rules })
    }

    pub(crate) fn as_rules(&self) -> GroupContext<'_> {
        GroupContext {
            name: &self.part.name,
            kind: self.part.kind,
            rules: self.rules.as_ref(),
        }
    }
}

/// Why a snapshot cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its JSON has another form.
    #[error("its snapshot was written by another version")]
    Version,
    /// A part is not in the database.
    #[error("a part of its snapshot is missing")]
    Missing,
    /// Its group's settings have problems by the checks of this version.
    #[error("the settings that it went by are not valid in this version")]
    Settings,
}

/// The input of a decision, read back.
#[derive(Clone)]
pub(crate) struct DecisionSnapshot {
    pub(crate) decided_at: DateTime<Utc>,
    /// The job that decided the event: a person's events are decided in the order of these.
    pub(crate) job: i64,
    pub(crate) group: Option<Arc<KnownGroup>>,
    pub(crate) mis: Arc<MisPart>,
    pub(crate) own: OwnPart,
}

/// What a replay needs of the linked adapter.
pub(crate) struct LinkedQuirks {
    pub(crate) quirks: Quirks,
    /// How the linked adapter differs from that of the decision, if it does.
    pub(crate) differs: Option<String>,
}

impl MisPart {
    /// The quirks of the adapter as it is linked into this program.
    pub(crate) fn quirks(&self, registry: &Registry) -> LinkedQuirks {
        let adapter = &self.adapter;
        match registry.get(adapter) {
            Ok(linked) => LinkedQuirks {
                quirks: linked.quirks,
                differs: (linked.capabilities != self.declared).then(|| {
                    format!(
                        "the adapter {adapter} declares other capabilities than at the time of the decision, and its quirks \
                         may differ too"
                    )
                }),
            },
            Err(_) => LinkedQuirks {
                quirks: Quirks::NONE,
                differs: Some(format!(
                    "this program has no adapter {adapter}, so its quirks are not known"
                )),
            },
        }
    }
}

impl DecisionSnapshot {
    /// Decides the event again from the same input. `None` if the snapshot lacks the view of the register.
    pub(crate) fn replay(&self, event: &Event, quirks: Quirks) -> Option<Decision> {
        let view = View {
            capabilities: self.mis.capabilities,
            refused_with: &self.own.left_out,
            quirks,
            codes: &self.mis.codes,
            register: self.own.register()?,
            arrival: self.own.arrival.clone(),
            previous: self.own.previous.clone(),
            planned_before: self.own.planned_at.is_some(),
            standing: self.own.standing.clone(),
            school_day: self.own.school_day.clone(),
            released: self.own.released,
            withdrawn: self.own.withdrawn.clone(),
            timezone: self.mis.timezone,
        };
        let group = self.group.as_deref().map(KnownGroup::as_rules);
        Some(decide(event, &self.own.student, group, &view))
    }

    /// Whether this is the decision that was made, in all its parts.
    pub(crate) fn is_decision(&self, decision: &Decision) -> bool {
        fingerprint(decision).is_ok_and(|print| print == self.own.decision)
    }
}

/// Reads snapshots. Each part is read once.
#[derive(Default)]
pub(crate) struct Reader {
    bodies: HashMap<String, String>,
    groups: HashMap<String, Result<Arc<KnownGroup>, Unreadable>>,
    mis: HashMap<String, Result<Arc<MisPart>, Unreadable>>,
}

impl Reader {
    /// Reads the parts from their texts by hash.
    pub(crate) fn new(bodies: HashMap<String, String>) -> Self {
        Self {
            bodies,
            ..Self::default()
        }
    }

    /// The hashes of the parts of these snapshots, each once.
    pub(crate) fn hashes(snapshots: &[StoredSnapshot]) -> Vec<&str> {
        let mut hashes: Vec<&str> = snapshots
            .iter()
            .flat_map(|one| [Some(one.mis_part.as_str()), one.group_part.as_deref()])
            .flatten()
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Reads one snapshot.
    pub(crate) fn read(&mut self, stored: &StoredSnapshot) -> Result<DecisionSnapshot, Unreadable> {
        let Self {
            bodies,
            groups,
            mis,
        } = self;
        let body = |hash: &str| bodies.get(hash).ok_or(Unreadable::Missing);
        let group = match &stored.group_part {
            None => None,
            Some(hash) => {
                let known = groups
                    .entry(hash.clone())
                    .or_insert_with(|| Ok(Arc::new(KnownGroup::read(body(hash)?)?)));
                Some(known.clone()?)
            }
        };
        let mis = mis.entry(stored.mis_part.clone()).or_insert_with(|| {
            let part = serde_json::from_str(body(&stored.mis_part)?);
            part.map(Arc::new).map_err(|_| Unreadable::Version)
        });
        Ok(DecisionSnapshot {
            decided_at: DateTime::from_timestamp_millis(stored.decided_ms).unwrap_or_default(),
            job: stored.job,
            group,
            mis: mis.clone()?,
            own: serde_json::from_str(&stored.body).map_err(|_| Unreadable::Version)?,
        })
    }
}

/// Everything in a decision. What is absent is left out, so that a new optional part changes no fingerprint.
#[derive(Serialize)]
struct Whole<'a> {
    decision: &'a Decision,
    dropped: &'a [Ability],
    arrival: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<(NaiveDate, Session)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<&'a Standing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<(Option<&'a HeldCode>, RegisterSource, Option<TimeDelta>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    planned: Option<WholeMark<'a>>,
}

/// What the JSON form of a decision does not show of its mark.
#[derive(Serialize)]
struct WholeMark<'a> {
    student: &'a StudentId,
    cause: EventKind,
    rule: Rule,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_id: Option<&'a AttendanceCodeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    employee: Option<&'a EmployeeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lapse_after: Option<TimeDelta>,
}

/// A short hash of everything in a decision.
pub(crate) fn fingerprint(decision: &Decision) -> serde_json::Result<String> {
    let whole = Whole {
        decision,
        dropped: &decision.dropped,
        arrival: decision.arrival,
        session: decision.session,
        standing: decision.standing.as_ref(),
        found: decision
            .found
            .as_ref()
            .map(|found| (found.code.as_ref(), found.source, found.age)),
        planned: decision.planned().map(|planned| WholeMark {
            student: &planned.mark.student,
            cause: planned.mark.cause,
            rule: planned.rule,
            code_id: planned.code_id.as_ref(),
            employee: planned.mark.employee.as_ref(),
            lapse_after: decision.hold.as_ref().and_then(|hold| hold.lapse_after),
        }),
    };
    hash_of(&whole)
}

fn hash_of(value: &impl Serialize) -> serde_json::Result<String> {
    let hash = Sha256::digest(serde_json::to_vec(value)?);
    let bytes = hash.iter().take(FINGERPRINT_BYTES);
    Ok(bytes.map(|byte| format!("{byte:02x}")).collect())
}

/// The JSON form of a part, for the store. A decision counts also without its snapshot.
pub(crate) fn part(value: serde_json::Result<impl Serialize>) -> Option<Part> {
    value
        .and_then(|value| Part::of(&value))
        .inspect_err(|error| tracing::error!(%error, "a part of a snapshot is not stored"))
        .ok()
}
