//! The forms of two parts of answers that the database keeps as JSON, for programs that read them as types.
//!
//! What is stored is shown as it is, also if another version has written it, which may have known fewer fields or more.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use mis_core::{EventKind, PersonKind};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

/// The details of a line of an event's history. Which there are depends on what the line is about.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = none_required)]
#[non_exhaustive]
pub struct AuditDetails {
    /// The student's id.
    pub student: Option<String>,
    /// The day of the mark.
    pub date: Option<NaiveDate>,
    /// The session of the mark: `AM` or `PM`.
    pub session: Option<String>,
    /// What the register showed when the mark was decided; `null` if nothing.
    pub before: Option<AuditBefore>,
    /// The code of the mark.
    pub code: Option<String>,
    /// The comment of the mark.
    pub comment: Option<String>,
    /// The minutes late of the mark.
    pub minutes_late: Option<u32>,
    /// What the mark would have and the MIS does not store.
    pub dropped: Option<Vec<String>>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The group of the person.
    pub group: Option<String>,
    /// Whether a sign-in or a sign-out caused the mark.
    pub cause: Option<EventKind>,
    /// When that was.
    pub event_at: Option<DateTime<Utc>>,
    /// When the mark was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// The id of the writeback at Wonde.
    pub writeback_id: Option<String>,
    /// The id of the lesson that has the mark.
    pub lesson: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// Who decided, or what showed it.
    pub by: Option<String>,
    /// Through which interface a person decided.
    pub via: Option<String>,
    /// What the person wrote about it.
    pub note: Option<String>,
    /// The event's state before.
    pub state: Option<String>,
    /// The event's outcome before.
    pub outcome: Option<String>,
    /// Until when the mark waits for a person.
    pub until: Option<DateTime<Utc>>,
    /// How the mark is sent again after a rejection.
    pub goes_again: Option<String>,
    /// A limit of the MIS that the rejection showed.
    pub learned: Option<String>,
    /// The id of the event whose withdrawal caused it.
    pub withdrawn: Option<String>,
}

/// What a register showed before a mark.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct AuditBefore {
    /// The code.
    pub code: Option<String>,
    /// Where it was seen: in Wonde's copy of the register, or among our own marks.
    pub source: Option<String>,
    /// How old the copy was, in seconds.
    pub age_seconds: Option<i64>,
}

/// The report of a sync: counts, ids and no names. Lists have at most 200 entries; counts are complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SyncSummary {
    /// The MIS that was read.
    pub mis: Option<MisRead>,
    /// The changes of each group, by its name.
    pub groups: BTreeMap<String, GroupTally>,
    /// The number of records, by kind of people.
    pub records: BTreeMap<String, u64>,
    /// What was held back until a person accepts it.
    pub held: Vec<HeldChange>,
    /// What the school does not grant, or its MIS does not have.
    pub refused: Vec<RefusedProperty>,
    /// The matches after a change of the MIS.
    pub migrations: Vec<MigrationSummary>,
    /// Whether groups include students who are yet to start although the school does not grant reading them.
    pub pre_admission_refused: bool,
    /// What could not be read.
    pub unread: UnreadSummary,
    /// People with contradictory dates, and what was decided about them.
    pub dates: Listed<DecidedDate>,
    /// People whose several records were combined.
    pub one_person: Listed<CombinedRecords>,
    /// People in no group.
    pub in_no_group: PeopleByKind<PersonOfKind>,
    /// People who meet the conditions of several groups.
    pub in_several: PeopleByKind<PersonInSeveral>,
}

/// The MIS that a sync has read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct MisRead {
    /// The id of its adapter.
    pub adapter: String,
    /// Its name as Wonde tells it.
    pub name: Option<String>,
}

/// The changes of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct GroupTally {
    /// How many people are in it.
    pub people: u64,
    /// How many joined.
    pub joined: u64,
    /// How many changed.
    pub changed: u64,
    /// How many left.
    pub left: u64,
}

/// A change that was held back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HeldChange {
    /// Which, with its figures.
    pub what: HeldDetails,
    /// The same as a sentence.
    pub words: String,
}

/// A change that was held back, with its figures. Which there are depends on `what`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = none_required)]
#[non_exhaustive]
pub struct HeldDetails {
    /// `kind`, `migration`, `group` or `property`.
    pub what: Option<String>,
    /// The kind of people.
    pub kind: Option<PersonKind>,
    /// Why an answer is doubted: `empty`, `cut_off`, `shrunk`, `left_out`, `unread` or `unreadable`.
    pub doubt: Option<String>,
    /// How many there were before.
    pub before: Option<u64>,
    /// How many came.
    pub received: Option<u64>,
    /// How many there are by Wonde's count.
    pub counted: Option<u64>,
    /// How many are missing without a leaving date.
    pub gone: Option<u64>,
    /// The number of records with that flaw.
    pub records: Option<u64>,
    /// Of how many.
    pub of: Option<u64>,
    /// The error.
    pub why: Option<String>,
    /// Records with a certain match.
    pub matched: Option<u64>,
    /// Records with a probable match.
    pub proposed: Option<u64>,
    /// Records with several possible matches.
    pub doubtful: Option<u64>,
    /// Records without a match.
    pub new: Option<u64>,
    /// People without a record.
    pub missing: Option<u64>,
    /// The group.
    pub group: Option<String>,
    /// How many would leave the group without an accounted cause.
    pub leaving: Option<u64>,
    /// How many would remain in the group.
    pub after: Option<u64>,
    /// The property that nobody has any more.
    pub part: Option<String>,
}

/// A property that cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RefusedProperty {
    /// Of which people.
    pub kind: Option<PersonKind>,
    /// Its name.
    pub property: String,
}

/// The matches of one kind of people after a change of the MIS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct MigrationSummary {
    /// The kind of people.
    pub kind: Option<PersonKind>,
    /// Certain matches.
    pub matched: Matches<MatchedRecord>,
    /// Probable matches, which a person accepts.
    pub proposed: Matches<MatchedRecord>,
    /// Records with several possible matches; they count as new.
    pub doubtful: Matches<DoubtfulRecord>,
    /// The ids of records without a match.
    pub new: Matches<String>,
    /// The ids of people without a record.
    pub missing: Matches<String>,
}

/// A number, and the first of what is counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Matches<T> {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub list: Vec<T>,
}

/// A record that was matched with a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct MatchedRecord {
    /// The person.
    pub person: String,
    /// The record's id.
    pub id: String,
    /// The evidence: `id`, `upn`, `email` or `name_and_birth_date`.
    pub by: String,
}

/// A record that may be that of several people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DoubtfulRecord {
    /// The record's id.
    pub id: String,
    /// The people.
    pub people: Vec<String>,
}

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct UnreadSummary {
    /// How many values were left out.
    pub values: u64,
    /// How many records were left out.
    pub records: u64,
    /// The first of both.
    pub list: Vec<UnreadPlace>,
}

/// A value or a record that could not be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct UnreadPlace {
    /// The kind of people.
    pub kind: Option<PersonKind>,
    /// The record's id, if it could be read.
    pub id: Option<String>,
    /// The field; empty for a row that is no record.
    pub field: String,
    /// The page of the list, from 1.
    pub page: u32,
    /// What was expected there.
    pub expected: String,
    /// Whether the whole record was left out, and not only the value.
    pub left_out: bool,
}

/// A number, and the first of the people who are counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Listed<T> {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub people: Vec<T>,
}

/// A number, in all and by kind of people, and the first of the people who are counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PeopleByKind<T> {
    /// How many there are.
    pub count: u64,
    /// How many of each kind of people.
    pub by_kind: BTreeMap<String, u64>,
    /// The first of them.
    pub people: Vec<T>,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PersonOfKind {
    /// The kind.
    pub kind: Option<PersonKind>,
    /// The id.
    pub person: String,
}

/// A person who meets the conditions of several groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PersonInSeveral {
    /// The kind.
    pub kind: Option<PersonKind>,
    /// The id.
    pub person: String,
    /// The group that the person is in: the first.
    pub group: String,
    /// The other groups.
    pub also: Vec<String>,
}

/// A person with contradictory dates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DecidedDate {
    /// The kind.
    pub kind: Option<PersonKind>,
    /// The id.
    pub person: String,
    /// The decision in a word.
    pub decision: String,
    /// The decision as a sentence.
    pub words: String,
}

/// A person with several records that the settings combine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CombinedRecords {
    /// The kind.
    pub kind: Option<PersonKind>,
    /// The id.
    pub person: String,
    /// The ids of the records.
    pub records: Vec<String>,
}

/// Which of the fields are there depends on what they tell of.
fn none_required(schema: &mut Schema) {
    schema.remove("required");
}

impl std::fmt::Debug for AuditDetails {
    /// It holds a pupil's data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditDetails").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AuditBefore {
    /// It holds a pupil's data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditBefore").finish_non_exhaustive()
    }
}
