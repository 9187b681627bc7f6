//! The shape of the settings file below its top level, as it is read and as its JSON Schema tells it.

use std::path::PathBuf;

use mis_core::EventKind;
use schemars::JsonSchema;
use serde::Deserialize;
use writeback::settings::{FieldOption, GroupKind, WritebackSettings};

/// What an MIS or a school may be without.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Without {
    /// No marks are written at all.
    Session,
    /// No comments are sent with marks.
    Comment,
    /// No minutes late are sent.
    MinutesLate,
    /// Nothing is written for a sign-out.
    EarlyLeaver,
    /// No people and groups are read.
    Roster,
}

/// One school.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "School")]
pub(super) struct SchoolFile {
    /// The school's id at Wonde, such as "A1930499544".
    #[schemars(required)]
    pub(super) id: Option<String>,
    /// The name of a template. What the school leaves out comes from there.
    pub(super) template: Option<String>,
    /// The MIS by name, such as "SIMS". Asked of Wonde when left out; `explain` needs it.
    pub(super) mis: Option<String>,
    /// The school's own clock, by its name in the IANA time zone database, such as "Europe/London".
    pub(super) timezone: Option<String>,
    /// The environment variable that holds the token for Wonde. This or `token_file`; never the token itself.
    pub(super) token_env: Option<String>,
    /// The file that holds the token for Wonde, relative to the settings file.
    pub(super) token_file: Option<PathBuf>,
    /// What is not to be used at this school although its MIS could: `["comment", "early_leaver"]`.
    pub(super) without: Option<Vec<Without>>,
    /// The school's groups. A person belongs to the first that takes them.
    pub(super) group: Option<Vec<GroupFile>>,
}

/// What many schools have in common.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Template")]
pub(super) struct TemplateFile {
    /// The name by which schools refer to it.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// As for a school.
    pub(super) mis: Option<String>,
    /// As for a school.
    pub(super) timezone: Option<String>,
    /// As for a school.
    pub(super) token_env: Option<String>,
    /// As for a school.
    pub(super) token_file: Option<PathBuf>,
    /// As for a school.
    pub(super) without: Option<Vec<Without>>,
    /// The groups of every school that has none of its own.
    pub(super) group: Option<Vec<GroupFile>>,
}

/// One group of people at a school.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Group")]
pub(super) struct GroupFile {
    /// The group's name, unlike those of the school's other groups.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// Whom it is for. Only groups of students write back.
    #[schemars(required)]
    pub(super) kind: Option<GroupKind>,
    /// The year groups it takes, as the school names them. All students when left out.
    #[serde(default)]
    pub(super) years: Vec<String>,
    /// What the screen says to its people.
    pub(super) message: Option<String>,
    /// What the screen asks them.
    #[serde(default)]
    pub(super) field: Vec<FieldFile>,
    /// How their sign-ins and sign-outs become marks. Nothing is written back without it.
    pub(super) writeback: Option<WritebackSettings>,
}

/// One question with its options. As [`writeback::Field`], but nothing has to be there: so all that is missing is told.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Field")]
pub(super) struct FieldFile {
    /// What is asked. Answers name the field by it.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// The event at which it is asked.
    #[schemars(required)]
    pub(super) on: Option<EventKind>,
    /// What may be answered: a text, or a table that leaves nothing to parsing.
    #[schemars(required)]
    pub(super) options: Option<Vec<FieldOption>>,
}
