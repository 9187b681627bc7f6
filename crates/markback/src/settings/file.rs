//! The settings file below its top level, as read and as in its JSON Schema.

use std::{collections::BTreeSet, path::PathBuf};

use mis_core::EventKind;
use roster::Membership;
use schemars::JsonSchema;
use serde::Deserialize;
use writeback::settings::{FieldOption, GroupKind, WritebackSettings};

use super::calendar::CalendarFile;

/// An ability that can be switched off.
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
    /// The school's name, which the pages show. Its id is shown when left out.
    pub(super) name: Option<String>,
    /// The name of a template. What the school leaves out comes from there.
    pub(super) template: Option<String>,
    /// The MIS by name, such as "SIMS". Wonde is asked when left out; `explain` needs it.
    pub(super) mis: Option<String>,
    /// The school's time zone by its IANA name, such as "Europe/London".
    pub(super) timezone: Option<String>,
    /// The environment variable that holds the token for Wonde. This or `token_file`; never the token itself. A school that
    /// the database keeps may leave out both and use its token there.
    pub(super) token_env: Option<String>,
    /// The file that holds the token for Wonde, relative to the settings file.
    pub(super) token_file: Option<PathBuf>,
    /// How the school's MIS is reached, if not through Wonde: the adapter's id as `adapter`, and the adapter's own settings.
    pub(super) link: Option<LinkFile>,
    /// Abilities of the MIS that are not used at this school: `["comment", "early_leaver"]`.
    pub(super) without: Option<Vec<Without>>,
    /// How people are identified, and by which ids events may name them.
    pub(super) persons: Option<PersonsFile>,
    /// On which days the school is open. Without it only the `days` and `closed` of its groups count.
    pub(super) calendar: Option<CalendarFile>,
    /// The school's groups. A person belongs to the first that takes them.
    pub(super) group: Option<Vec<GroupFile>>,
}

/// Settings shared by many schools.
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
    pub(super) link: Option<LinkFile>,
    /// As for a school.
    pub(super) without: Option<Vec<Without>>,
    /// As for a school.
    pub(super) persons: Option<PersonsFile>,
    /// As for a school.
    pub(super) calendar: Option<CalendarFile>,
    /// The groups of every school that has none of its own.
    pub(super) group: Option<Vec<GroupFile>>,
}

/// How the MIS of a school is reached that is not linked through Wonde.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Link")]
pub(super) struct LinkFile {
    /// The id of the adapter, as `markback adapters` lists it.
    #[schemars(required)]
    pub(super) adapter: Option<String>,
    /// The adapter's own settings, as its documentation says. Secrets are named by `…_env` or `…_file`.
    #[serde(flatten)]
    pub(super) settings: serde_json::Map<String, serde_json::Value>,
}

/// How people of a school are identified.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Persons")]
pub(super) struct PersonsFile {
    /// The ids by which events may name people: `id` (Wonde's, as in the groups), `upi`, `mis_id`, and for students
    /// `upn`, `admission_number` and `card`. The first that finds somebody counts. `["id", "upi"]` when left out.
    pub(super) by: Option<Vec<roster::IdKind>>,
    /// Whether contacts with equal names and an equal email address or mobile are one person, for an MIS that stores a
    /// parent once for each child. Reads name, email address and telephone number of all contacts.
    pub(super) same_parent: Option<bool>,
}

/// One group of people at a school.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Group")]
pub(super) struct GroupFile {
    /// The group's name, unique within the school.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// The kind of its people. Only groups of students write back.
    #[schemars(required)]
    pub(super) kind: Option<GroupKind>,
    /// Only students in one of these year groups, as the school names them: "7", "Year 7", "R". `"7"` also means `"Year
    /// 7"`.
    ///
    /// All conditions must hold; the values of one list are alternatives, and letter case does not matter. Without any
    /// condition the group takes everybody of its kind whom no group before it took.
    #[serde(default)]
    pub(super) years: Vec<String>,
    /// Only students in one of these registration (tutor) groups.
    #[serde(default)]
    pub(super) registrations: Vec<String>,
    /// Only students of one of these houses.
    #[serde(default)]
    pub(super) houses: Vec<String>,
    /// Only students of one of these boarding houses; `"*"` takes any boarder.
    #[serde(default)]
    pub(super) boarding: Vec<String>,
    /// Only students at one of these campuses.
    #[serde(default)]
    pub(super) campuses: Vec<String>,
    /// Only students in, or staff of, one of these classes.
    #[serde(default)]
    pub(super) classes: Vec<String>,
    /// Only students or staff in one of these groups of the MIS: `{ type = "USER", name = "Orchestra" }`.
    #[serde(default)]
    pub(super) groups: Vec<roster::GroupName>,
    /// Only staff who teach (true), or only those who do not (false).
    pub(super) teaching: Option<bool>,
    /// Only staff with one of these roles.
    #[serde(default)]
    pub(super) roles: Vec<String>,
    /// Includes students who are yet to start (true), if the school grants reading them. Otherwise they join on their
    /// first day.
    pub(super) pre_admission: Option<bool>,
    /// Only staff who are employed now (true, as when left out), or only those who are not (false).
    pub(super) current: Option<bool>,
    /// Only parents who have parental responsibility for the student (true), or only those who have not (false).
    pub(super) parental_responsibility: Option<bool>,
    /// Only parents up to this place in the order in which the student's contacts are to be called; the first is 1.
    pub(super) priority_max: Option<u32>,
    /// Only parents who live with the student (true), or only those who do not (false).
    pub(super) lives_with: Option<bool>,
    /// Only parents of students in these groups of this school: "Years 7-11", or a list.
    #[serde(default, deserialize_with = "roster::one_or_many")]
    #[schemars(schema_with = "roster::one_or_many_schema")]
    pub(super) of: Vec<String>,
    /// Ids of people who belong here regardless of the conditions. With this alone the group takes nobody else.
    #[serde(default)]
    pub(super) include: Vec<String>,
    /// Ids of people who do not belong here regardless of the conditions.
    #[serde(default)]
    pub(super) exclude: Vec<String>,
    /// The properties of its people that are read besides their ids. Name, year and registration group when left out.
    pub(super) properties: Option<BTreeSet<roster::Property>>,
    /// What the screen shows to its people.
    pub(super) message: Option<String>,
    /// What the screen asks them.
    #[serde(default)]
    pub(super) field: Vec<FieldFile>,
    /// How sign-ins and sign-outs become marks. Nothing is written back without it.
    pub(super) writeback: Option<WritebackSettings>,
}

impl GroupFile {
    /// Its members.
    pub(super) fn membership(&mut self) -> Membership {
        use std::mem::take;
        Membership {
            years: take(&mut self.years),
            registrations: take(&mut self.registrations),
            houses: take(&mut self.houses),
            boarding: take(&mut self.boarding),
            campuses: take(&mut self.campuses),
            classes: take(&mut self.classes),
            groups: take(&mut self.groups),
            teaching: self.teaching,
            roles: take(&mut self.roles),
            pre_admission: self.pre_admission,
            current: self.current,
            parental_responsibility: self.parental_responsibility,
            priority_max: self.priority_max,
            lives_with: self.lives_with,
            of: take(&mut self.of),
            include: take(&mut self.include),
            exclude: take(&mut self.exclude),
            properties: self.properties.take(),
        }
    }
}

/// A question with its options. Like [`writeback::Field`], but everything is optional, so that all missing parts are
/// reported.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Field")]
pub(super) struct FieldFile {
    /// The question. Answers name the field by it.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// The event at which it is asked.
    #[schemars(required)]
    pub(super) on: Option<EventKind>,
    /// An option: text, or a table that needs no parsing.
    #[schemars(required)]
    pub(super) options: Option<Vec<FieldOption>>,
}
