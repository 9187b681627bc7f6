//! What the host reads of the groups: lists, and changes from a cursor on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mis_core::wonde::SchoolId;
use outbox::{on_pool, on_tx};
use roster::Member;
use serde::{Serialize, ser::SerializeMap as _};
use serde_json::Value;

use super::corrupt;
use crate::store::Store;

/// Changes in one answer at most.
const PAGE: i64 = 1_000;
/// Rows removed in one transaction at most.
const PRUNE: i64 = 5_000;

/// How many people a group has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    /// Its name.
    pub name: String,
    /// How many are in it.
    pub people: u64,
}

/// The people of a group. Holds their data: for whoever may see it, never for a log.
#[derive(Debug)]
pub struct GroupPage {
    /// The people, in the order of their keys.
    pub people: Vec<Member>,
    /// Changes after this number are not in the list, or are in it already: applied again they change nothing.
    pub cursor: u64,
}

/// Changes of a group. Holds people's data: for whoever may see it, never for a log.
#[derive(Debug)]
pub struct Changes {
    /// In order.
    pub changes: Vec<Page>,
    /// From where to ask next.
    pub cursor: u64,
    /// Whether there are more already.
    pub more: bool,
}

/// One change, with the person as they are in the group now; none for somebody who is not in it any more.
pub struct Page {
    /// Its number.
    pub seq: u64,
    /// When it was found.
    pub at: Option<DateTime<Utc>>,
    /// Who: the key.
    pub person: String,
    /// What happened: `change`, `fields`, `cause`.
    pub what: Value,
    /// The person as they are now.
    pub member: Option<Member>,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page")
            .field("seq", &self.seq)
            .field("person", &self.person)
            .finish_non_exhaustive()
    }
}

/// The changes that were asked for, or the word that some of them are not kept any more.
#[derive(Debug)]
pub enum Horizon {
    /// The changes.
    Within(Changes),
    /// The cursor is older than what is kept: the list is to be read anew.
    Beyond,
}

const NUMBERS: &str = "SELECT seq, pruned_seq FROM markback_roster_schools WHERE school = $1";
const COUNTS: &str =
    "SELECT kind, count(*) FROM markback_roster_members WHERE school = $1 GROUP BY kind";
const LIST: &str =
    "SELECT body FROM markback_roster_members WHERE school = $1 AND kind = $2 ORDER BY id";
const SINCE: &str = "SELECT c.seq, c.at_ms, c.person, c.body, m.body FROM markback_roster_changes c \
     LEFT JOIN markback_roster_members m ON m.school = c.school AND m.kind = c.grp AND m.id = c.person \
     WHERE c.school = $1 AND c.grp = $2 AND c.seq > $3 ORDER BY c.seq LIMIT $4";

const OLD_CHANGES: &str = "SELECT school, max(seq) FROM \
     (SELECT school, seq FROM markback_roster_changes WHERE at_ms < $1 ORDER BY at_ms LIMIT $2) old GROUP BY school";
const DROP_CHANGES: &str = "DELETE FROM markback_roster_changes WHERE school = $1 AND seq <= $2";
const MOVE_HORIZON: &str =
    "UPDATE markback_roster_schools SET pruned_seq = $2 WHERE school = $1 AND pruned_seq < $2";
const DROP_SYNCS: &str =
    "DELETE FROM markback_roster_syncs WHERE asked_ms < $1 AND ended_ms IS NOT NULL";

impl Store {
    /// The groups that were read, with how many people each has.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn group_summaries(&self, school: &SchoolId) -> outbox::Result<Vec<GroupSummary>> {
        let counted: Vec<(String, i64)> = on_pool!(self.db, pool => sqlx::query_as(COUNTS).bind(school.as_str()).fetch_all(pool).await)?;
        Ok(counted
            .into_iter()
            .map(|(name, people)| GroupSummary {
                name,
                people: u64::try_from(people).unwrap_or_default(),
            })
            .collect())
    }

    /// The people of a group. `None` before the school was synced for the first time.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn group_people(
        &self,
        school: &SchoolId,
        group: &str,
    ) -> outbox::Result<Option<GroupPage>> {
        // The number first: a change that comes in between is then told once more, rather than never.
        let Some((cursor, _)) = self.numbers(school).await? else {
            return Ok(None);
        };
        let bodies: Vec<String> = on_pool!(self.db, pool => {
            sqlx::query_scalar(LIST).bind(school.as_str()).bind(group).fetch_all(pool).await
        })?;
        let people = bodies
            .iter()
            .map(|body| serde_json::from_str(body).map_err(corrupt("a group's list")))
            .collect::<outbox::Result<_>>()?;
        Ok(Some(GroupPage { people, cursor }))
    }

    /// The changes of a group after a cursor. `None` before the school was synced for the first time.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn group_changes(
        &self,
        school: &SchoolId,
        group: &str,
        since: u64,
    ) -> outbox::Result<Option<Horizon>> {
        let Some((seq, pruned)) = self.numbers(school).await? else {
            return Ok(None);
        };
        if since < pruned || since > seq {
            return Ok(Some(Horizon::Beyond));
        }
        type Row = (i64, i64, String, String, Option<String>);
        let after = i64::try_from(since).unwrap_or(i64::MAX);
        let found: Vec<Row> = on_pool!(self.db, pool => {
            sqlx::query_as(SINCE)
                .bind(school.as_str())
                .bind(group)
                .bind(after)
                .bind(PAGE + 1)
                .fetch_all(pool)
                .await
        })?;
        let more = i64::try_from(found.len()).unwrap_or(i64::MAX) > PAGE;
        let changes = found
            .into_iter()
            .take(usize::try_from(PAGE).unwrap_or(usize::MAX))
            .map(page)
            .collect::<outbox::Result<Vec<_>>>()?;
        let last = changes.last().map_or(since, |last| last.seq);
        Ok(Some(Horizon::Within(Changes {
            cursor: if more { last } else { seq.max(last) },
            changes,
            more,
        })))
    }

    /// The number of the last change, and of the last that is not kept any more.
    async fn numbers(&self, school: &SchoolId) -> outbox::Result<Option<(u64, u64)>> {
        let numbers: Option<(i64, i64)> = on_pool!(self.db, pool => sqlx::query_as(NUMBERS).bind(school.as_str()).fetch_optional(pool).await)?;
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        Ok(numbers.map(|(seq, pruned)| (number(seq), number(pruned))))
    }

    /// Forgets changes and ended syncs from before that time, in short transactions. A change goes with all before it.
    pub(crate) async fn prune_roster(&self, before: DateTime<Utc>) -> outbox::Result<()> {
        let before = before.timestamp_millis();
        loop {
            let old: Vec<(String, i64)> = on_pool!(self.db, pool => {
                sqlx::query_as(OLD_CHANGES).bind(before).bind(PRUNE).fetch_all(pool).await
            })?;
            if old.is_empty() {
                break;
            }
            let mut tx = self.db.begin().await?;
            for (school, seq) in &old {
                for text in [DROP_CHANGES, MOVE_HORIZON] {
                    on_tx!(tx, conn => sqlx::query(text).bind(school).bind(seq).execute(conn).await.map(|_| ()))?;
                }
            }
            tx.commit().await?;
        }
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => sqlx::query(DROP_SYNCS).bind(before).execute(conn).await.map(|_| ()))?;
        tx.commit().await
    }
}

fn page(
    (seq, at, person, body, member): (i64, i64, String, String, Option<String>),
) -> outbox::Result<Page> {
    let member = member
        .map(|member| serde_json::from_str(&member).map_err(corrupt("a group's list")))
        .transpose()?;
    Ok(Page {
        seq: u64::try_from(seq).unwrap_or_default(),
        at: DateTime::from_timestamp_millis(at),
        person,
        what: serde_json::from_str(&body).map_err(corrupt("a change"))?,
        member,
    })
}

/// A person as the host sees them: the key as `id`, the present id at Wonde as `wonde_id`, and what the settings name.
pub struct Shown<'m>(pub &'m Member);

impl Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields: BTreeMap<String, Value> = match serde_json::to_value(&self.0.person) {
            Ok(Value::Object(fields)) => fields.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        let present = fields.remove("id");
        fields.remove("kind");
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.0.key)?;
        map.serialize_entry("wonde_id", &present)?;
        for (name, value) in fields.iter().filter(|(_, value)| !is_nothing(value)) {
            map.serialize_entry(name, value)?;
        }
        if !self.0.children.is_empty() {
            map.serialize_entry("children", &self.0.children)?;
        }
        map.end()
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}
