//! The settings of one group as a school writes them: its custom fields and its writeback table.
//!
//! Times, dates and days are kept as they were written, so that [`Rules::check`](crate::Rules::check) can name all that
//! is wrong at once.

use mis_core::{EmployeeId, EventKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod option;
mod stay;
mod written;

pub use option::{FieldOption, OptionCode};
pub use stay::ShortestStay;
pub use written::{LocalDate, LocalTime};

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
    /// What is asked. Answers name the field by it.
    pub name: String,
    /// The event at which it is asked.
    pub on: EventKind,
    /// What may be answered.
    pub options: Vec<FieldOption>,
}

/// The table `[school.group.writeback]`: what the group's sign-ins and sign-outs write into the register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["closes"]))]
#[serde(deny_unknown_fields, default)]
pub struct WritebackSettings {
    /// The morning session.
    pub am: MorningTimes,
    /// The afternoon session.
    pub pm: AfternoonTimes,
    /// The end of the day: from then on nothing is written. Required.
    #[schemars(required)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes: Option<LocalTime>,
    /// The days of the week on which there is school, `"monday"` or `"mon"`; Monday to Friday when left out.
    pub days: Vec<String>,
    /// Dates without school.
    pub closed: Vec<LocalDate>,
    /// The codes to write, for schools with other letters.
    pub codes: CodeSettings,
    /// Whether a sign-in in time writes the present mark.
    pub present: bool,
    /// The code for a sign-out; without one a sign-out writes nothing, unless an answer names a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaver_code: Option<String>,
    /// The custom fields whose answer may carry a code (`"M - Medical appointment"`).
    pub custom_codes: FieldNames,
    /// The custom fields whose answer becomes the comment.
    pub comment: FieldNames,
    /// Whether minutes late are sent where the MIS keeps them.
    pub minutes_late: bool,
    /// Codes that are never overwritten. While the register cannot be looked at, nothing is written.
    pub protected: Vec<String>,
    /// The events for which the protection holds; both when left out.
    pub protect_on: Vec<EventKind>,
    /// Whether the earliest sign-in of a session stands against later ones that the clock would mark.
    pub first_arrival_stands: bool,
    /// How long somebody stays at least, in or out: what comes sooner after the event before it is a double tap, and
    /// writes nothing. 60 seconds when left out; 0 switches it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortest_stay: Option<ShortestStay>,
    /// The member of staff named as the taker of the marks, by the id at Wonde.
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

/// The morning's times, by the school's own clock. A missing one switches its step off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MorningTimes {
    /// The morning session begins here. Where the MIS keeps marks on lessons, those that are over by then are no first
    /// lesson of the morning. The same in all groups of the school that set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens: Option<LocalTime>,
    /// Minutes late are counted from here; from `late` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<LocalTime>,
    /// Who signs in later than this is late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<LocalTime>,
    /// Who signs in later than this is absent without authorisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unauthorised: Option<LocalTime>,
}

/// The afternoon's times, by the school's own clock. A missing one switches its step off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AfternoonTimes {
    /// From here on an event, or a lesson that bears a mark, belongs to the afternoon; 12:00 when left out. The same in
    /// all groups of a school whose MIS keeps marks on lessons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens: Option<LocalTime>,
    /// Minutes late are counted from here; from `late` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<LocalTime>,
    /// Who signs in later than this is late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<LocalTime>,
    /// Who signs in later than this is absent without authorisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unauthorised: Option<LocalTime>,
}

/// The codes that the clock chooses from. Letter case is free; the school's code book has the spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CodeSettings {
    /// For a late arrival; `L` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
    /// For an arrival after the register closed; `U` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unauthorised: Option<String>,
    /// For presence in the morning; `/` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present_am: Option<String>,
    /// For presence in the afternoon; `\` when left out.
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
