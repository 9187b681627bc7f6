//! A school's state: records, keys, lists and ids, read as a whole and written as differences.

use std::collections::BTreeMap;

use mis_core::SchoolId;
use outbox::{Sql, Tx, on_pool, on_tx};
use roster::{
    Change, ChangeKind, Directory, Former, Identity, KindState, List, Member, PersonKey,
    PersonKind, RosterState,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{corrupt, kind_of, kind_word};
use crate::store::{Store, row::row, rows};

/// The most rows in one statement.
const CHUNK: usize = 1_000;

/// The statements for a table of JSON bodies by school, kind and id.
struct Table {
    all: &'static str,
    put: Sql,
    drop: Sql,
}

macro_rules! table {
    ($name:ident, $table:literal) => {
        static $name: Table = Table {
            all: concat!("SELECT kind, id, body FROM ", $table, " WHERE school = $1"),
            put: Sql::new(concat!(
                "INSERT INTO ",
                $table,
                " (school, kind, id, body) SELECT $2, r.kind, r.id, r.body FROM {rows $1: kind text, id text, body text} r \
                 WHERE true ON CONFLICT (school, kind, id) DO UPDATE SET body = excluded.body"
            )),
            drop: Sql::new(concat!(
                "DELETE FROM ",
                $table,
                " WHERE school = $2 AND (kind, id) IN (SELECT r.kind, r.id FROM {rows $1: kind text, id text} r)"
            )),
        };
    };
}

table!(RECORDS, "markback_roster_records");
table!(KEYS, "markback_roster_keys");
table!(MEMBERS, "markback_roster_members");
table!(FORMER, "markback_roster_former");

const SCHOOL: &str = "SELECT seq, known FROM markback_roster_schools WHERE school = $1";
const PUT_SCHOOL: &str = "INSERT INTO markback_roster_schools (school, seq, pruned_seq, known, ready, synced_ms, full_ms) \
     VALUES ($1, $2, 0, $3, $4, $5, $6) \
     ON CONFLICT (school) DO UPDATE SET seq = excluded.seq, known = excluded.known, ready = excluded.ready, \
     synced_ms = excluded.synced_ms, full_ms = coalesce(excluded.full_ms, markback_roster_schools.full_ms)";

row! {
    /// When a school's directory was last written.
    #[derive(Debug)]
    pub(in crate::store) struct VersionRow {
        school: String,
        synced_ms: i64,
    }
}

pub(in crate::store) static VERSIONS: Sql = Sql::new(
    "SELECT s.school, s.synced_ms FROM {rows $1: school text} r JOIN markback_roster_schools s \
     ON s.school = r.school AND s.ready = 1",
);

const READY: &str = "SELECT school FROM markback_roster_schools WHERE ready = 1";

static PUT_CHANGES: Sql = Sql::new(
    "INSERT INTO markback_roster_changes (school, seq, at_ms, grp, person, body) \
     SELECT $2, r.seq, r.at_ms, r.grp, r.person, r.body \
     FROM {rows $1: seq int, at_ms int, grp text, person text, body text} r WHERE true \
     ON CONFLICT (school, seq) DO NOTHING",
);

/// A school's stored state besides people.
#[derive(Default, Serialize, Deserialize)]
struct Whole {
    kinds: BTreeMap<PersonKind, KindState>,
    /// The groups that have been read, including empty ones.
    lists: BTreeMap<String, PersonKind>,
}

/// Bodies by kind and id.
type Bodies<'a, T> = BTreeMap<(&'a str, &'a str), T>;

/// The result of a sync to store.
pub(crate) struct Kept<'a> {
    pub(crate) school: &'a SchoolId,
    pub(crate) before: &'a RosterState,
    pub(crate) after: &'a RosterState,
    pub(crate) directory: &'a Directory,
    pub(crate) changes: &'a [Change],
    /// Whether everything was read.
    pub(crate) full: bool,
    /// Whether everybody who may appear in an event is known.
    pub(crate) ready: bool,
}

impl Store {
    /// A school's people. `None` before the first sync.
    pub(crate) async fn roster(&self, school: &SchoolId) -> outbox::Result<Option<RosterState>> {
        let school = school.as_str();
        let row: Option<(i64, String)> = on_pool!(self.db, pool => sqlx::query_as(SCHOOL).bind(school).fetch_optional(pool).await)?;
        let Some((seq, known)) = row else {
            return Ok(None);
        };
        let whole: Whole = serde_json::from_str(&known).map_err(corrupt("a school's roster"))?;
        let mut state = RosterState {
            kinds: whole.kinds,
            seq: u64::try_from(seq).unwrap_or_default(),
            ..RosterState::default()
        };
        for (kind, _, record) in self.bodies::<mis_core::Person>(&RECORDS, school).await? {
            if let Some(known) = kind_of(&kind).and_then(|kind| state.kinds.get_mut(&kind)) {
                known.records.insert(record);
            }
        }
        for (kind, key, identity) in self.bodies::<Identity>(&KEYS, school).await? {
            if let Some(known) = kind_of(&kind).and_then(|kind| state.kinds.get_mut(&kind)) {
                known.keys.insert(PersonKey::new(key), identity);
            }
        }
        for (name, kind) in whole.lists {
            state.lists.insert(
                name,
                List {
                    kind,
                    members: BTreeMap::new(),
                },
            );
        }
        for (group, key, member) in self.bodies::<Member>(&MEMBERS, school).await? {
            if let Some(list) = state.lists.get_mut(&group) {
                list.members.insert(PersonKey::new(key), member);
            }
        }
        state.former = self
            .bodies::<Former>(&FORMER, school)
            .await?
            .into_iter()
            .map(|(_, _, former)| former)
            .collect();
        Ok(Some(state))
    }

    /// Stores the differences and changes of a sync.
    pub(crate) async fn keep_roster(&self, tx: &mut Tx, kept: &Kept<'_>) -> outbox::Result<()> {
        let (school, before, after) = (kept.school.as_str(), kept.before, kept.after);
        put_differences(tx, &RECORDS, school, &records(before), &records(after)).await?;
        put_differences(tx, &KEYS, school, &keys(before), &keys(after)).await?;
        put_differences(tx, &MEMBERS, school, &members(before), &members(after)).await?;
        put_differences(tx, &FORMER, school, &former(before), &former(after)).await?;
        self.put_ids(tx, school, kept.directory).await?;
        put_changes(tx, school, kept.changes).await?;
        self.publish_groups(tx, school, kept.changes, after.seq)
            .await?;
        let known = serde_json::to_string(&whole(after)).map_err(corrupt("a school's roster"))?;
        let now = self.now_ms();
        let (seq, full) = (
            i64::try_from(after.seq).unwrap_or(i64::MAX),
            kept.full.then_some(now),
        );
        let ready = i64::from(kept.ready);
        on_tx!(tx, conn => {
            sqlx::query(PUT_SCHOOL)
                .bind(school)
                .bind(seq)
                .bind(&known)
                .bind(ready)
                .bind(now)
                .bind(full)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    async fn bodies<T: DeserializeOwned>(
        &self,
        table: &'static Table,
        school: &str,
    ) -> outbox::Result<Vec<(String, String, T)>> {
        let found: Vec<(String, String, String)> = on_pool!(self.db, pool => sqlx::query_as(table.all).bind(school).fetch_all(pool).await)?;
        found
            .into_iter()
            .map(|(kind, id, body)| {
                Ok((
                    kind,
                    id,
                    serde_json::from_str(&body).map_err(corrupt("a school's roster"))?,
                ))
            })
            .collect()
    }

    /// The schools with a directory.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn schools_ready(&self) -> outbox::Result<Vec<SchoolId>> {
        let ready: Vec<String> =
            on_pool!(self.db, pool => sqlx::query_scalar(READY).fetch_all(pool).await)?;
        Ok(ready.into_iter().map(SchoolId::from).collect())
    }

    /// The version of the school's directory; `None` before its students have been read for the first time.
    pub(crate) async fn directory_version(&self, school: &SchoolId) -> outbox::Result<Option<i64>> {
        let keys = [[school.as_str()]];
        let found = self
            .ask_together(&self.asked.versions, &VERSIONS, &keys)
            .await?;
        let mine = found.iter().find(|row| row.school == school.as_str());
        Ok(mine.map(|row| row.synced_ms))
    }
}

/// Runs a statement with rows as `$1` and the school as `$2`, in parts.
pub(super) async fn run(
    tx: &mut Tx,
    statement: &'static Sql,
    school: &str,
    all: &[impl Serialize],
) -> outbox::Result<()> {
    for part in all.chunks(CHUNK) {
        let (text, table) = (statement.on(tx.engine()), rows(part)?);
        on_tx!(tx, conn => sqlx::query(text).bind(&table).bind(school).execute(conn).await.map(|_| ()))?;
    }
    Ok(())
}

async fn put_differences<T: PartialEq + Serialize>(
    tx: &mut Tx,
    table: &'static Table,
    school: &str,
    before: &Bodies<'_, T>,
    after: &Bodies<'_, T>,
) -> outbox::Result<()> {
    let gone: Vec<_> = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .collect();
    let mut put = Vec::new();
    for (key, body) in after
        .iter()
        .filter(|(key, body)| before.get(*key) != Some(body))
    {
        let body = serde_json::to_string(body).map_err(corrupt("a school's roster"))?;
        put.push((key.0, key.1, body));
    }
    run(tx, &table.drop, school, &gone).await?;
    run(tx, &table.put, school, &put).await
}

/// Changes as stored: without the people's data, which is in the lists.
async fn put_changes(tx: &mut Tx, school: &str, changes: &[Change]) -> outbox::Result<()> {
    let mut table = Vec::with_capacity(changes.len());
    for change in changes {
        let body = match &change.kind {
            ChangeKind::Joined { .. } => serde_json::json!({"change": "joined"}),
            ChangeKind::Changed { fields, .. } => {
                serde_json::json!({"change": "changed", "fields": fields})
            }
            ChangeKind::Left { cause } => {
                serde_json::json!({"change": "left", "cause": cause, "words": cause.to_string()})
            }
        };
        table.push((
            change.seq,
            change.at.timestamp_millis(),
            &change.group,
            &change.person,
            body.to_string(),
        ));
    }
    run(tx, &PUT_CHANGES, school, &table).await
}

fn whole(state: &RosterState) -> Whole {
    let bare = |known: &KindState| KindState {
        records: Default::default(),
        keys: Default::default(),
        ..known.clone()
    };
    Whole {
        kinds: state
            .kinds
            .iter()
            .map(|(kind, known)| (*kind, bare(known)))
            .collect(),
        lists: state
            .lists
            .iter()
            .map(|(name, list)| (name.clone(), list.kind))
            .collect(),
    }
}

fn records(state: &RosterState) -> Bodies<'_, &mis_core::Person> {
    state
        .kinds
        .iter()
        .flat_map(|(kind, known)| {
            known
                .records
                .iter()
                .map(move |record| ((kind_word(*kind), record.id.as_str()), record))
        })
        .collect()
}

fn keys(state: &RosterState) -> Bodies<'_, &Identity> {
    state
        .kinds
        .iter()
        .flat_map(|(kind, known)| {
            known
                .keys
                .iter()
                .map(move |(key, identity)| ((kind_word(*kind), key.as_str()), identity))
        })
        .collect()
}

fn members(state: &RosterState) -> Bodies<'_, &Member> {
    state
        .lists
        .iter()
        .flat_map(|(name, list)| {
            list.members
                .iter()
                .map(move |(key, member)| ((name.as_str(), key.as_str()), member))
        })
        .collect()
}

fn former(state: &RosterState) -> Bodies<'_, &Former> {
    state
        .former
        .iter()
        .map(|former| ((former.group.as_str(), former.member.key.as_str()), former))
        .collect()
}
