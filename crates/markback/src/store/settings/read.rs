//! Reading versions and what rules.

use std::sync::Arc;

use chrono::DateTime;
use outbox::{Tx, on_pool, on_tx};

use super::{
    Activation, ActiveRow, ActiveVersion, BesideFile, Scope, SealedRow, SettingsKey, StoredSummary,
    StoredVersion, number,
};
use crate::store::Store;
use crate::store::row::row;

row! {
    struct Active {
        scope: String,
        name: String,
        number: i64,
        beside_file: String,
        since_ms: i64,
        generation: i64,
        body: Option<String>,
        key_id: Option<String>,
        sealed: Option<String>,
        token_generation: Option<i64>,
    }
}

row! {
    struct Version {
        scope: String,
        name: String,
        number: i64,
        body: String,
        base: i64,
        author: Option<String>,
        via: String,
        note: Option<String>,
        at_ms: i64,
        caller: Option<String>,
    }
}

row! {
    struct Activated {
        number: i64,
        author: Option<String>,
        via: String,
        note: Option<String>,
        at_ms: i64,
    }
}

row! {
    struct Summary {
        scope: String,
        name: String,
        newest: i64,
        number: Option<i64>,
        beside_file: Option<String>,
        since_ms: Option<i64>,
    }
}

const GENERATION: &str = "SELECT generation FROM markback_settings_generation WHERE one = 1";

const SINCE: &str = "SELECT a.scope, a.name, a.number, a.beside_file, a.since_ms, a.generation, v.body, \
         t.key_id, t.sealed, t.generation AS token_generation \
     FROM markback_settings_active a \
     LEFT JOIN markback_settings_versions v ON v.scope = a.scope AND v.name = a.name AND v.number = a.number \
     LEFT JOIN markback_settings_tokens t ON a.scope = 'school' AND t.school = a.name \
     WHERE a.generation > $1 ORDER BY a.scope DESC, a.name";

const VERSIONS: &str = "SELECT scope, name, number, body, base, author, via, note, at_ms, caller \
     FROM markback_settings_versions WHERE scope = $1 AND name = $2 ORDER BY number DESC";

const ONE: &str = "SELECT scope, name, number, body, base, author, via, note, at_ms, caller \
     FROM markback_settings_versions WHERE scope = $1 AND name = $2 AND number = $3";

const NEWEST: &str = "SELECT scope, name, number, body, base, author, via, note, at_ms, caller \
     FROM markback_settings_versions WHERE scope = $1 AND name = $2 ORDER BY number DESC LIMIT 1";

const ALL_NEWEST: &str = "SELECT scope, name, number, body, base, author, via, note, at_ms, caller \
     FROM markback_settings_versions v \
     WHERE number = (SELECT max(o.number) FROM markback_settings_versions o WHERE o.scope = v.scope AND o.name = v.name)";

const ACTIVATIONS: &str = "SELECT number, author, via, note, at_ms FROM markback_settings_activations \
     WHERE scope = $1 AND name = $2 ORDER BY generation DESC";

const SUMMARIES: &str = "SELECT v.scope, v.name, v.newest, a.number, a.beside_file, a.since_ms \
     FROM (SELECT scope, name, max(number) AS newest FROM markback_settings_versions GROUP BY scope, name) v \
     LEFT JOIN markback_settings_active a ON a.scope = v.scope AND a.name = v.name \
     ORDER BY v.scope, v.name";

impl Store {
    /// The number that every activation raises.
    pub(crate) async fn settings_generation(&self) -> outbox::Result<i64> {
        on_pool!(self.db, pool => sqlx::query_scalar(GENERATION).fetch_one(pool).await)
            .map_err(Into::into)
    }

    /// What rules, as far as it changed after this generation; templates come first.
    pub(crate) async fn settings_since(&self, generation: i64) -> outbox::Result<Vec<ActiveRow>> {
        let rows: Vec<Active> = on_pool!(self.db, pool => {
            sqlx::query_as(SINCE).bind(generation).fetch_all(pool).await
        })?;
        rows.into_iter().map(active).collect()
    }

    /// The same within a transaction.
    pub(crate) async fn settings_since_in(
        &self,
        tx: &mut Tx,
        generation: i64,
    ) -> outbox::Result<Vec<ActiveRow>> {
        let rows: Vec<Active> = on_tx!(tx, conn => {
            sqlx::query_as(SINCE).bind(generation).fetch_all(conn).await
        })?;
        rows.into_iter().map(active).collect()
    }

    /// All versions of a school's settings or of a template, newest first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn settings_versions(&self, key: &SettingsKey) -> outbox::Result<Vec<StoredVersion>> {
        let rows: Vec<Version> = on_pool!(self.db, pool => {
            sqlx::query_as(VERSIONS)
                .bind(<&str>::from(key.scope))
                .bind(&key.name)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(version).collect()
    }

    /// One version.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn settings_version(
        &self,
        key: &SettingsKey,
        number: u32,
    ) -> outbox::Result<Option<StoredVersion>> {
        let row: Option<Version> = on_pool!(self.db, pool => {
            sqlx::query_as(ONE)
                .bind(<&str>::from(key.scope))
                .bind(&key.name)
                .bind(i64::from(number))
                .fetch_optional(pool)
                .await
        })?;
        row.map(version).transpose()
    }

    /// The newest version, within a transaction.
    pub(crate) async fn newest_settings(
        &self,
        tx: &mut Tx,
        key: &SettingsKey,
    ) -> outbox::Result<Option<StoredVersion>> {
        let row: Option<Version> = on_tx!(tx, conn => {
            sqlx::query_as(NEWEST)
                .bind(<&str>::from(key.scope))
                .bind(&key.name)
                .fetch_optional(conn)
                .await
        })?;
        row.map(version).transpose()
    }

    /// The newest version of everything, within a transaction.
    pub(crate) async fn all_newest_settings(
        &self,
        tx: &mut Tx,
    ) -> outbox::Result<Vec<StoredVersion>> {
        let rows: Vec<Version> =
            on_tx!(tx, conn => sqlx::query_as(ALL_NEWEST).fetch_all(conn).await)?;
        rows.into_iter().map(version).collect()
    }

    /// What ruled when, latest first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn settings_activations(&self, key: &SettingsKey) -> outbox::Result<Vec<Activation>> {
        let rows: Vec<Activated> = on_pool!(self.db, pool => {
            sqlx::query_as(ACTIVATIONS)
                .bind(<&str>::from(key.scope))
                .bind(&key.name)
                .fetch_all(pool)
                .await
        })?;
        Ok(rows
            .into_iter()
            .map(|row| Activation {
                number: Some(number(row.number)).filter(|number| *number > 0),
                by: row.author,
                via: row.via,
                note: row.note,
                at: DateTime::from_timestamp_millis(row.at_ms),
            })
            .collect())
    }

    /// All schools and templates that the database has or had.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn settings_summaries(&self) -> outbox::Result<Vec<StoredSummary>> {
        let rows: Vec<Summary> =
            on_pool!(self.db, pool => sqlx::query_as(SUMMARIES).fetch_all(pool).await)?;
        rows.into_iter()
            .map(|row| {
                Ok(StoredSummary {
                    key: key(&row.scope, row.name)?,
                    active: row.number.map(number).filter(|number| *number > 0),
                    newest: number(row.newest),
                    beside_file: beside(row.beside_file.as_deref().unwrap_or("refuse"))?,
                    since: row.since_ms.and_then(DateTime::from_timestamp_millis),
                    removed: row.number == Some(0),
                })
            })
            .collect()
    }
}

fn active(row: Active) -> outbox::Result<ActiveRow> {
    let number = number(row.number);
    let version = row.body.map(|body| ActiveVersion { number, body });
    Ok(ActiveRow {
        key: key(&row.scope, row.name)?,
        version,
        beside_file: beside(&row.beside_file)?,
        since: DateTime::from_timestamp_millis(row.since_ms),
        generation: row.generation,
        token: row.key_id.zip(row.sealed).map(|(key_id, sealed)| {
            Arc::new(SealedRow {
                key_id,
                sealed,
                generation: row.token_generation.unwrap_or_default(),
            })
        }),
    })
}

fn version(row: Version) -> outbox::Result<StoredVersion> {
    Ok(StoredVersion {
        key: key(&row.scope, row.name)?,
        number: number(row.number),
        body: row.body,
        base: number(row.base),
        by: row.author,
        via: row.via,
        note: row.note,
        at: DateTime::from_timestamp_millis(row.at_ms),
        caller: row.caller,
    })
}

pub(super) fn key(scope: &str, name: String) -> outbox::Result<SettingsKey> {
    let scope: Scope = scope.parse().map_err(|_| unreadable())?;
    Ok(SettingsKey { scope, name })
}

fn beside(word: &str) -> outbox::Result<BesideFile> {
    word.parse().map_err(|_| unreadable())
}

pub(super) fn unreadable() -> outbox::Error {
    outbox::Error::invalid(
        "settings in the store cannot be read; were they written by another version?",
    )
}
