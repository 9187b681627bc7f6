//! The rows of the API's keys. Each change raises one number, by which nodes notice it.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use outbox::{MigrationStep, Migrations, Sql, Tx, on_pool, on_tx};
use serde::de::DeserializeOwned;

use super::{Store, rows};
use crate::{
    audit_log::AuditAction,
    keys::{Grant, Hash, KeyRecord, KnownKey, NewKey, Scope},
    operator::Actor,
    store::row::row,
};

const TABLES: &str = include_str!("../../migrations/keys/0001_keys.sql");

/// The tables of the keys, in SQL that both databases accept.
pub(super) const MIGRATIONS: Migrations = Migrations {
    prefix: "markback_keys",
    steps: &[MigrationStep {
        version: 1,
        name: "keys",
        sqlite: TABLES,
        postgres: TABLES,
    }],
};

const GENERATION: &str = "SELECT generation FROM markback_keys_generation WHERE one = 1";
/// Holds the row's lock until the commit, so numbers become visible in their order.
const RAISE: &str = "UPDATE markback_keys_generation SET generation = generation + 1 WHERE one = 1";
const ADD: &str = "INSERT INTO markback_keys_issued \
     (id, hash, name, scopes, schools, created_ms, created_by, expires_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const REVOKE: &str = "UPDATE markback_keys_issued SET revoked_ms = $2, revoked_by = $3 WHERE id = $1 AND revoked_ms IS NULL";
const LIST: &str = "SELECT * FROM markback_keys_issued ORDER BY created_ms, id";
const ONE: &str = "SELECT * FROM markback_keys_issued WHERE id = $1";
const KNOWN: &str = "SELECT * FROM markback_keys_issued WHERE revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $1)";

/// Rows are written in their order, so that two nodes do not wait for each other.
static USED: Sql = Sql::new(
    "UPDATE markback_keys_issued SET last_used_ms = {greatest}(coalesce(last_used_ms, 0), r.at_ms) \
     FROM {rows $1: id text, at_ms int} r WHERE markback_keys_issued.id = r.id",
);

/// No node accepts them, so nodes need not know.
static ENDED: Sql = Sql::new(
    "DELETE FROM markback_keys_issued WHERE id IN (SELECT id FROM markback_keys_issued \
     WHERE revoked_ms < $1 OR expires_ms < $1 ORDER BY id LIMIT $2)",
);

row! {
    struct KeyRow {
        id: String,
        hash: String,
        name: String,
        scopes: String,
        schools: Option<String>,
        created_ms: i64,
        created_by: Option<String>,
        expires_ms: Option<i64>,
        last_used_ms: Option<i64>,
        revoked_ms: Option<i64>,
        revoked_by: Option<String>,
    }
}

impl KeyRow {
    /// Scopes of a newer version, which this one does not know, are left out.
    fn scopes(&self) -> outbox::Result<BTreeSet<Scope>> {
        let words: Vec<String> = read(&self.scopes)?;
        Ok(words.iter().filter_map(|word| word.parse().ok()).collect())
    }

    fn schools(&self) -> outbox::Result<Option<BTreeSet<SchoolId>>> {
        let ids: Option<Vec<String>> = self.schools.as_deref().map(read).transpose()?;
        Ok(ids.map(|ids| ids.iter().map(|id| SchoolId::from(id.as_str())).collect()))
    }

    fn record(self) -> outbox::Result<KeyRecord> {
        let at = |ms: Option<i64>| DateTime::from_timestamp_millis(ms?);
        Ok(KeyRecord {
            scopes: self.scopes()?,
            schools: self.schools()?,
            id: self.id,
            name: self.name,
            created_at: at(Some(self.created_ms)),
            created_by: self.created_by,
            expires_at: at(self.expires_ms),
            last_used_at: at(self.last_used_ms),
            revoked_at: at(self.revoked_ms),
            revoked_by: self.revoked_by,
        })
    }

    fn known(self) -> outbox::Result<(String, KnownKey)> {
        let known = KnownKey {
            grant: Grant::new(self.scopes()?, self.schools()?),
            hash: Hash::read(&self.hash).ok_or_else(unreadable)?,
            name: self.name,
            expires_ms: self.expires_ms,
            last_used_ms: self.last_used_ms,
        };
        Ok((self.id, known))
    }
}

fn read<T: DeserializeOwned>(json: &str) -> outbox::Result<T> {
    serde_json::from_str(json).map_err(|_| unreadable())
}

fn unreadable() -> outbox::Error {
    outbox::Error::invalid("a stored key cannot be read")
}

impl Store {
    /// Adds a key by its public part and the hash of the whole.
    pub(crate) async fn add_key(
        &self,
        id: &str,
        hash: &str,
        new: &NewKey,
        actor: &Actor,
    ) -> outbox::Result<KeyRecord> {
        let words: Vec<_> = new.scopes.iter().map(|scope| scope.as_str()).collect();
        let ids = new.schools.as_ref().map(|schools| {
            let ids: Vec<_> = schools.iter().map(SchoolId::as_str).collect();
            rows(&ids)
        });
        let (scopes, schools) = (rows(&words)?, ids.transpose()?);
        let expires = new.expires_at.map(|at| at.timestamp_millis());
        let mut tx = self.db.begin().await?;
        self.raise_keys_generation(&mut tx).await?;
        on_tx!(tx, conn => {
            sqlx::query(ADD)
                .bind(id)
                .bind(hash)
                .bind(new.name.trim())
                .bind(&scopes)
                .bind(&schools)
                .bind(self.now_ms())
                .bind(&actor.caller.name)
                .bind(expires)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        let entry = actor.entry(AuditAction::KeyAdded).subject(id);
        self.record_in(&mut tx, &[entry]).await?;
        tx.commit().await?;
        self.key(id).await?.ok_or_else(unreadable)
    }

    /// Revokes a key. `None` if there is no such key.
    pub(crate) async fn revoke_key(
        &self,
        id: &str,
        actor: &Actor,
    ) -> outbox::Result<Option<KeyRecord>> {
        let mut tx = self.db.begin().await?;
        self.raise_keys_generation(&mut tx).await?;
        let revoked = on_tx!(tx, conn => {
            sqlx::query(REVOKE)
                .bind(id)
                .bind(self.now_ms())
                .bind(&actor.caller.name)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        if revoked > 0 {
            let entry = actor.entry(AuditAction::KeyRevoked).subject(id);
            self.record_in(&mut tx, &[entry]).await?;
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        self.key(id).await
    }

    /// All keys, oldest first, with those that expired or were revoked.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn keys(&self) -> outbox::Result<Vec<KeyRecord>> {
        let found: Vec<KeyRow> =
            on_pool!(self.db, pool => sqlx::query_as(LIST).fetch_all(pool).await)?;
        found.into_iter().map(KeyRow::record).collect()
    }

    /// A key by its public part.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn key(&self, id: &str) -> outbox::Result<Option<KeyRecord>> {
        let found: Option<KeyRow> = on_pool!(self.db, pool => {
            sqlx::query_as(ONE).bind(id).fetch_optional(pool).await
        })?;
        found.map(KeyRow::record).transpose()
    }

    /// The keys that are valid at present, by public part.
    pub(crate) async fn known_keys(&self) -> outbox::Result<HashMap<String, KnownKey>> {
        let found: Vec<KeyRow> = on_pool!(self.db, pool => {
            sqlx::query_as(KNOWN).bind(self.now_ms()).fetch_all(pool).await
        })?;
        found.into_iter().map(KeyRow::known).collect()
    }

    /// The number that each change of a key raises.
    pub(crate) async fn keys_generation(&self) -> outbox::Result<i64> {
        Ok(on_pool!(self.db, pool => sqlx::query_scalar(GENERATION).fetch_one(pool).await)?)
    }

    /// Notes when keys were used, by public part and in ms.
    pub(crate) async fn note_key_uses(&self, uses: &[(&str, i64)]) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        let (text, uses) = (USED.on(tx.engine()), rows(uses)?);
        on_tx!(tx, conn => sqlx::query(text).bind(&uses).execute(conn).await.map(|_| ()))?;
        tx.commit().await
    }

    /// Removes keys that expired or were revoked before that time. Returns their number.
    pub(crate) async fn prune_keys(&self, before: DateTime<Utc>) -> outbox::Result<u64> {
        self.remove(&ENDED, before.timestamp_millis()).await
    }

    async fn raise_keys_generation(&self, tx: &mut Tx) -> outbox::Result<()> {
        on_tx!(tx, conn => sqlx::query(RAISE).execute(conn).await.map(|_| ()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use outbox::TestClock;
    use secrecy::{ExposeSecret as _, SecretString};

    use super::*;
    use crate::{
        audit_log::{AuditFilter, Caller},
        keys::{self, KeyError, Keys},
    };

    fn actor() -> Actor {
        Actor {
            via: "command line",
            caller: Caller::user(Some("ann".to_owned())),
            ..Actor::default()
        }
    }

    fn new(name: &str) -> NewKey {
        NewKey {
            name: name.to_owned(),
            scopes: BTreeSet::from([Scope::EventsWrite, Scope::EventsRead]),
            schools: Some(BTreeSet::from(["A1".into()])),
            expires_at: None,
        }
    }

    async fn is_right(keys: &Keys, key: &SecretString) -> bool {
        let shown = key.expose_secret().as_bytes();
        keys.verify(shown).await.unwrap().is_some()
    }

    async fn check(url: &str, other_node: bool) {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let open = async || {
            let settings = outbox::Settings::default();
            Store::open(url, settings, clock.clone()).await.unwrap()
        };
        let store = open().await;
        let second = if other_node {
            open().await
        } else {
            store.clone()
        };
        let (one, two) = (Keys::new(store.clone()), Keys::new(second));
        let (key, record) = keys::add(&store, &new(" the host "), &actor())
            .await
            .unwrap();
        assert_eq!(
            (record.name.as_str(), record.state(store.now())),
            ("the host", "active")
        );
        assert_eq!(record.created_by.as_deref(), Some("ann"));
        let verified = one
            .verify(key.expose_secret().as_bytes())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(verified.caller, Caller::of_key(&record.id, "the host"));
        assert!(verified.grant.allows(Scope::EventsRead) && verified.grant.sees(&"A1".into()));
        assert!(!verified.grant.allows(Scope::GroupsRead) && !verified.grant.sees(&"A2".into()));
        assert!(is_right(&two, &key).await);
        // Another secret with the same public part.
        let (other, _) = keys::add(&store, &new("other"), &actor()).await.unwrap();
        let body = format!(
            "{}{}",
            &key.expose_secret()[..14],
            &other.expose_secret()[14..57]
        );
        let mixed = format!("{body}{}", keys::checksum(&body));
        assert_eq!(
            keys::public_part(mixed.as_bytes()),
            Some(record.id.as_str())
        );
        assert!(one.verify(mixed.as_bytes()).await.unwrap().is_none());
        // A key is known to each node within seconds, and at once to the one that made it.
        assert!(!is_right(&one, &other).await);
        one.look_again();
        assert!(is_right(&one, &other).await && !is_right(&two, &other).await);
        clock.advance(Duration::from_secs(2));
        assert!(is_right(&two, &other).await);

        // Its last use is written once a minute.
        one.write_uses().await.unwrap();
        let used = async || store.key(&record.id).await.unwrap().unwrap().last_used_at;
        let first = used().await.unwrap();
        clock.advance(Duration::from_secs(30));
        assert!(is_right(&one, &key).await);
        one.write_uses().await.unwrap();
        assert_eq!(used().await, Some(first));
        clock.advance(Duration::from_secs(30));
        assert!(is_right(&one, &key).await);
        one.write_uses().await.unwrap();
        assert_eq!(used().await, Some(store.now()));

        // A revoked key stops everywhere within two seconds.
        assert!(is_right(&two, &key).await);
        let revoked = keys::revoke(&store, &record.id, &actor()).await.unwrap();
        assert_eq!(
            (revoked.state(store.now()), revoked.revoked_by.as_deref()),
            ("revoked", Some("ann"))
        );
        clock.advance(Duration::from_secs(2));
        assert!(!is_right(&one, &key).await && !is_right(&two, &key).await);
        assert!(is_right(&one, &other).await);
        // Revoking it again changes nothing.
        clock.advance(Duration::from_secs(2));
        assert_eq!(
            keys::revoke(&store, &record.id, &actor()).await.unwrap(),
            revoked
        );
        let unknown = keys::revoke(&store, "none", &actor()).await;
        assert!(matches!(unknown, Err(KeyError::Unknown)));

        // An expired one stops by itself.
        let expires_at = Some(store.now() + Duration::from_secs(60));
        let brief = NewKey {
            expires_at,
            ..new("brief")
        };
        let (brief, record) = keys::add(&store, &brief, &actor()).await.unwrap();
        one.look_again();
        assert!(is_right(&one, &brief).await);
        clock.advance(Duration::from_secs(60));
        assert!(!is_right(&one, &brief).await);
        assert_eq!(record.state(store.now()), "expired");

        let listed = store.keys().await.unwrap();
        assert_eq!(listed.len(), 3);
        // Those that ended are removed later; the audit log below has them still.
        let ended = async || {
            let before = store.now() - keys::KEPT_AFTER_END;
            store.prune_keys(before).await.unwrap()
        };
        assert_eq!(ended().await, 0);
        clock.advance(keys::KEPT_AFTER_END + Duration::from_secs(1));
        assert_eq!(ended().await, 2);
        let left = store.keys().await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].name, "other");
        assert!(is_right(&one, &other).await && !is_right(&one, &brief).await);
        let told = format!("{listed:?}{one:?}");
        for secret in [&key, &other, &brief] {
            assert!(!told.contains(&secret.expose_secret()[14..]), "{told}");
        }
        let filter = AuditFilter {
            limit: 100,
            ..AuditFilter::default()
        };
        let entries = store.audit_entries(&filter).await.unwrap();
        let told: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(told, ["key_added", "key_revoked", "key_added", "key_added"]);
        assert!(
            entries
                .iter()
                .all(|entry| entry.caller.as_deref() == Some("ann"))
        );
    }

    #[tokio::test]
    async fn a_key_is_right_until_it_is_revoked_or_expires() {
        check("sqlite::memory:", false).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("markback.db");
        check(&format!("sqlite:{}", file.display()), true).await;
        if let Some(server) = throwaway_postgres::shared().unwrap() {
            check(&server.create_database().unwrap(), true).await;
        }
    }

    #[tokio::test]
    async fn a_key_that_makes_no_sense_is_refused() {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let settings = outbox::Settings::default();
        let store = Store::open("sqlite::memory:", settings, clock)
            .await
            .unwrap();
        let cases = [
            (
                "name",
                NewKey {
                    name: " ".to_owned(),
                    ..new("")
                },
            ),
            ("name", new(&"x".repeat(101))),
            ("name", new("two\nlines")),
            (
                "scopes",
                NewKey {
                    scopes: BTreeSet::new(),
                    ..new("x")
                },
            ),
            (
                "schools",
                NewKey {
                    schools: Some(BTreeSet::new()),
                    ..new("x")
                },
            ),
            (
                "expires",
                NewKey {
                    expires_at: Some(store.now()),
                    ..new("x")
                },
            ),
        ];
        for (wrong, new) in cases {
            match keys::add(&store, &new, &actor()).await {
                Err(KeyError::Invalid { field, .. }) => assert_eq!(field, wrong),
                other => panic!("{wrong}: {other:?}"),
            }
        }
        assert!(store.keys().await.unwrap().is_empty());
    }
}
