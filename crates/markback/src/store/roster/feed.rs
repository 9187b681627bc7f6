//! The groups as the host reads them: lists, and changes after a cursor.

use std::{
    borrow::{Borrow, Cow},
    collections::BTreeMap,
};

use chrono::{DateTime, Utc};
use mis_core::{Person, SchoolId};
use outbox::{on_pool, on_tx};
use roster::{Member, PersonKey};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::IgnoredAny, ser::SerializeMap as _};
use serde_json::{Value, json};

use super::corrupt;
use crate::store::Store;

/// The most changes in one answer.
const PAGE: i64 = 1_000;
/// The most rows removed in one transaction.
const PRUNE: i64 = 5_000;

/// The state of a school's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsRead {
    /// When the school was last synced.
    pub synced_at: Option<DateTime<Utc>>,
    /// The groups that have been read, with their sizes. A missing group is unknown, not empty.
    pub people: BTreeMap<String, u64>,
    /// The number of the last change.
    pub cursor: u64,
    pruned: u64,
}

/// The people of a group. Holds their data: for authorised readers, never for a log.
#[derive(Debug)]
pub struct GroupPage {
    /// The people, sorted by key.
    pub people: Vec<Member>,
    /// Changes after this number may be missing from the list; applying one twice changes nothing.
    pub cursor: u64,
    /// When the school was last synced.
    pub synced_at: Option<DateTime<Utc>>,
}

/// Changes of a group. Holds people's data: for authorised readers, never for a log.
#[derive(Debug)]
pub struct Changes {
    /// In order.
    pub changes: Vec<GroupChange>,
    /// The cursor for the next request.
    pub cursor: u64,
    /// Whether more changes are available.
    pub more: bool,
}

/// A change with the person as they are now; without the person if they have left the group.
pub struct GroupChange {
    /// Its number.
    pub seq: u64,
    /// When it was found.
    pub at: Option<DateTime<Utc>>,
    /// The person's key.
    pub person: String,
    /// What happened: `change`, `fields`, `cause`.
    pub what: Value,
    /// The person as they are now.
    pub member: Option<Member>,
}

impl std::fmt::Debug for GroupChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupChange")
            .field("seq", &self.seq)
            .field("person", &self.person)
            .finish_non_exhaustive()
    }
}

/// The part of a school's stored state that names its groups.
#[derive(Deserialize)]
struct Lists {
    lists: BTreeMap<String, IgnoredAny>,
}

/// The requested changes, or that some of them have been pruned.
#[derive(Debug)]
pub enum Horizon {
    /// The changes.
    Within(Changes),
    /// The cursor is older than the kept changes: read the list again.
    Beyond,
}

const SCHOOL: &str =
    "SELECT seq, pruned_seq, synced_ms, known FROM markback_roster_schools WHERE school = $1";
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

/// Tables with a school's people.
const TABLES: [&str; 9] = [
    "records",
    "keys",
    "members",
    "former",
    "directory",
    "changes",
    "syncs",
    "pulls",
    "pauses",
];
const STALE: &str = "SELECT school FROM markback_roster_schools WHERE synced_ms < $1";

impl Store {
    /// Removes schools that are not kept and were not synced since then.
    pub(crate) async fn drop_rosters(
        &self,
        keep: impl Fn(&SchoolId) -> bool,
        before: DateTime<Utc>,
    ) -> outbox::Result<()> {
        let before = before.timestamp_millis();
        let stale: Vec<String> = on_pool!(self.db, pool => sqlx::query_scalar(STALE).bind(before).fetch_all(pool).await)?;
        for school in stale
            .into_iter()
            .filter(|school| !keep(&SchoolId::from(school.as_str())))
        {
            let mut tx = self.db.begin().await?;
            for table in TABLES.into_iter().chain(["schools"]) {
                let text = format!("DELETE FROM markback_roster_{table} WHERE school = $1");
                let text = sqlx::AssertSqlSafe(text);
                on_tx!(tx, conn => sqlx::query(text).bind(&school).execute(conn).await.map(|_| ()))?;
            }
            tx.commit().await?;
            tracing::info!(%school, "removed the people of a school that is no longer in the settings");
        }
        Ok(())
    }

    /// The state of a school's groups; `None` before its first sync.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn groups_read(&self, school: &SchoolId) -> outbox::Result<Option<GroupsRead>> {
        type Row = (i64, i64, i64, String);
        let row: Option<Row> = on_pool!(self.db, pool => {
            sqlx::query_as(SCHOOL).bind(school.as_str()).fetch_optional(pool).await
        })?;
        let Some((seq, pruned, synced, known)) = row else {
            return Ok(None);
        };
        let known: Lists = serde_json::from_str(&known).map_err(corrupt("a school's roster"))?;
        let counted: Vec<(String, i64)> = on_pool!(self.db, pool => {
            sqlx::query_as(COUNTS).bind(school.as_str()).fetch_all(pool).await
        })?;
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let mut people: BTreeMap<_, _> = known.lists.into_keys().map(|name| (name, 0)).collect();
        for (name, count) in counted {
            if let Some(people) = people.get_mut(&name) {
                *people = number(count);
            }
        }
        Ok(Some(GroupsRead {
            synced_at: DateTime::from_timestamp_millis(synced),
            people,
            cursor: number(seq),
            pruned: number(pruned),
        }))
    }

    /// The people of a group. `None` before it has been read: then it is unknown who is in it.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn group_people(
        &self,
        school: &SchoolId,
        group: &str,
    ) -> outbox::Result<Option<GroupPage>> {
        // The number first: a change in between is repeated rather than lost.
        let read = self.groups_read(school).await?;
        let Some(read) = read.filter(|read| read.people.contains_key(group)) else {
            return Ok(None);
        };
        let bodies: Vec<String> = on_pool!(self.db, pool => {
            sqlx::query_scalar(LIST).bind(school.as_str()).bind(group).fetch_all(pool).await
        })?;
        let people = bodies
            .iter()
            .map(|body| serde_json::from_str(body).map_err(corrupt("a group's list")))
            .collect::<outbox::Result<_>>()?;
        Ok(Some(GroupPage {
            people,
            cursor: read.cursor,
            synced_at: read.synced_at,
        }))
    }

    /// The changes of a group after a cursor. `None` before it has been read.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn group_changes(
        &self,
        school: &SchoolId,
        group: &str,
        since: u64,
    ) -> outbox::Result<Option<Horizon>> {
        let read = self.groups_read(school).await?;
        let Some(read) = read.filter(|read| read.people.contains_key(group)) else {
            return Ok(None);
        };
        if since < read.pruned || since > read.cursor {
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
        let cursor = if more { last } else { read.cursor.max(last) };
        Ok(Some(Horizon::Within(Changes {
            changes,
            cursor,
            more,
        })))
    }

    /// Removes changes and finished syncs from before that time, in short transactions. A change goes with all before
    /// it.
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
) -> outbox::Result<GroupChange> {
    let member = member
        .map(|member| serde_json::from_str(&member).map_err(corrupt("a group's list")))
        .transpose()?;
    Ok(GroupChange {
        seq: u64::try_from(seq).unwrap_or_default(),
        at: DateTime::from_timestamp_millis(at),
        person,
        what: serde_json::from_str(&body).map_err(corrupt("a change"))?,
        member,
    })
}

/// A person as the host sees them: the key as `id`, the present id at Wonde as `wonde_id`, and the configured fields.
pub struct MemberJson<M>(pub M);

impl<M: Borrow<Member>> Serialize for MemberJson<M> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let member: &Member = self.0.borrow();
        let mut fields: BTreeMap<String, Value> = match serde_json::to_value(&member.person) {
            Ok(Value::Object(fields)) => fields.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        let present = fields.remove("id");
        fields.remove("kind");
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &member.key)?;
        map.serialize_entry("wonde_id", &present)?;
        for (name, value) in fields.iter().filter(|(_, value)| !is_nothing(value)) {
            map.serialize_entry(name, value)?;
        }
        if !member.children.is_empty() {
            map.serialize_entry("children", &member.children)?;
        }
        map.end()
    }
}

/// Like [`Serialize`] above, so that the two are seen together.
impl<M> JsonSchema for MemberJson<M> {
    fn schema_name() -> Cow<'static, str> {
        "GroupMember".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Person::json_schema(generator);
        if let Some(Value::Object(fields)) = schema.get_mut("properties") {
            // What a member never shows.
            for name in [
                "kind",
                "upn",
                "mobile",
                "joins",
                "leaves",
                "pre_admission",
                "current",
                "changed_at",
            ] {
                fields.remove(name);
            }
            fields.insert("id".to_owned(), json!({"type": "string", "description": "The person's permanent id, which events use."}));
            fields.insert(
                "wonde_id".to_owned(),
                json!({"type": "string", "description": "The present id at Wonde."}),
            );
            let children = json!({
                "type": "array",
                "items": generator.subschema_for::<PersonKey>(),
                "description": "Of a parent: their students in the group.",
            });
            fields.insert("children".to_owned(), children);
        }
        schema.insert("required".to_owned(), json!(["id", "wonde_id"]));
        schema.insert(
            "description".to_owned(),
            json!("A person of a group, with the properties that the group's settings name."),
        );
        schema
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}
