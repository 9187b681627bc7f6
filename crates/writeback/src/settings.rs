//! The settings of one group as a school writes them: its custom fields and its writeback table.
//!
//! Times, dates and days are kept as they were written, so that [`Rules::check`](crate::Rules::check) can report all
//! problems at once.

use mis_core::{EmployeeId, EventKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod days;
mod hold;
mod option;
mod stay;
mod written;

pub use days::{DateRange, DayList, Days, LONGEST_RANGE, OtherAfternoon, OtherDay, OtherMorning};
pub use hold::HoldSettings;
pub use option::{FieldOption, OptionCode};
pub use stay::ShortestStay;
pub use written::{LocalDate, LocalDays, LocalTime};

/// Who is in a group. Only groups of students write back.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// Pupils.
    Students,
    /// Members of staff.
    Staff,
    /// Contacts of pupils.
    Parents,
}

impl std::fmt::Display for GroupKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Students => "students",
            Self::Staff => "staff",
            Self::Parents => "parents",
        })
    }
}

/// A custom field: a question with options, asked at a sign-in or at a sign-out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The question. Answers refer to the field by this name.
    pub name: String,
    /// The kind of event at which it is asked.
    pub on: EventKind,
    /// The possible answers.
    pub options: Vec<FieldOption>,
}

/// The table `[school.group.writeback]`: the marks that the group's sign-ins and sign-outs write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["closes"]))]
#[serde(deny_unknown_fields, default)]
pub struct WritebackSettings {
    /// The morning session.
    pub am: MorningTimes,
    /// The afternoon session.
    pub pm: AfternoonTimes,
    /// The end of the school day; nothing is written from this time on. Required.
    #[schemars(required)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes: Option<LocalTime>,
    /// The school days of the week, `"monday"` or `"mon"`. Default: Monday to Friday.
    pub days: Vec<String>,
    /// Dates without school.
    pub closed: Vec<LocalDate>,
    /// Times that differ on some days of the week or on single days, each as a `[[school.group.writeback.day]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub day: Vec<OtherDay>,
    /// Whether marks are written on days on which the school's calendar has no school, as for boarders.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignores_calendar: bool,
    /// Marks that wait until a person releases them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldSettings>,
    /// The codes to write, for schools with other codes than the default ones.
    pub codes: CodeSettings,
    /// Whether a sign-in in time writes the present mark.
    pub present: bool,
    /// The code for a sign-out. Without it a sign-out writes nothing, unless an answer has a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaver_code: Option<String>,
    /// The custom fields whose answers may contain a code (`"M - Medical appointment"`).
    pub custom_codes: FieldNames,
    /// The custom fields whose answer becomes the comment.
    pub comment: FieldNames,
    /// Whether minutes late are sent if the MIS stores them.
    pub minutes_late: bool,
    /// Codes that are never overwritten. If there are any, nothing is written while the register cannot be read.
    pub protected: Vec<String>,
    /// The kinds of event from which the codes are protected. Default: both.
    pub protect_on: Vec<EventKind>,
    /// Whether the earliest sign-in of a session takes precedence over later ones without a code of their own.
    pub first_arrival_stands: bool,
    /// The shortest time between two events of a person. An event sooner after the previous one is a double tap and
    /// writes nothing. Default: 60 seconds; 0 disables the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortest_stay: Option<ShortestStay>,
    /// The Wonde id of the employee who is recorded as having taken the marks.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub employee_id: Option<EmployeeId>,
}

impl Default for WritebackSettings {
    fn default() -> Self {
        Self {
            am: MorningTimes::default(),
            pm: AfternoonTimes::default(),
            closes: None,
            days: ["monday", "tuesday", "wednesday", "thursday", "friday"]
                .map(str::to_owned)
                .into(),
            closed: Vec::new(),
            day: Vec::new(),
            ignores_calendar: false,
            hold: None,
            codes: CodeSettings::default(),
            present: false,
            leaver_code: None,
            custom_codes: FieldNames::default(),
            comment: FieldNames::default(),
            minutes_late: true,
            protected: Vec::new(),
            protect_on: vec![EventKind::SignIn, EventKind::SignOut],
            first_arrival_stands: true,
            shortest_stay: None,
            employee_id: None,
        }
    }
}

impl WritebackSettings {
    /// Whether `late` and `unauthorised` of any session, on any day, are such.
    pub(crate) fn sets_time(
        &self,
        such: impl Fn(&Option<LocalTime>, &Option<LocalTime>) -> bool,
    ) -> bool {
        let Self { am, pm, day, .. } = self;
        such(&am.late, &am.unauthorised)
            || such(&pm.late, &pm.unauthorised)
            || day.iter().any(|OtherDay { am, pm, .. }| {
                such(&am.late, &am.unauthorised) || such(&pm.late, &pm.unauthorised)
            })
    }
}

/// The times of the morning, in the school's time zone. A missing time disables its step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MorningTimes {
    /// The start of the morning session. If the MIS keeps marks on lessons, lessons that end by then do not count as
    /// the first lesson of the morning. Must be the same in all groups of the school that set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens: Option<LocalTime>,
    /// The time from which minutes late are counted. Default: `late`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<LocalTime>,
    /// Sign-ins after this time are late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<LocalTime>,
    /// Sign-ins after this time are unauthorised absences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unauthorised: Option<LocalTime>,
}

/// The times of the afternoon, in the school's time zone. A missing time disables its step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AfternoonTimes {
    /// The start of the afternoon session, for events and for lessons that hold marks. Default: 12:00. Must be the same
    /// in all groups of a school whose MIS keeps marks on lessons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens: Option<LocalTime>,
    /// The time from which minutes late are counted. Default: `late`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<LocalTime>,
    /// Sign-ins after this time are late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<LocalTime>,
    /// Sign-ins after this time are unauthorised absences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unauthorised: Option<LocalTime>,
}

/// The codes that are chosen by time. Letter case does not matter; the spelling is that of the school's code book.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CodeSettings {
    /// For a late arrival. Default: `L`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
    /// For an arrival after the register closed. Default: `U`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unauthorised: Option<String>,
    /// For presence in the morning. Default: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present_am: Option<String>,
    /// For presence in the afternoon. Default: `\`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present_pm: Option<String>,
}

/// One custom field for each kind of event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FieldNames {
    /// The field asked at a sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<String>,
    /// The field asked at a sign-out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_out: Option<String>,
}

impl FieldNames {
    /// The field for one kind of event.
    pub fn on(&self, kind: EventKind) -> Option<&str> {
        match kind {
            EventKind::SignIn => self.sign_in.as_deref(),
            EventKind::SignOut => self.sign_out.as_deref(),
        }
    }
}
