//! Schools' sealed tokens.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use outbox::{Sql, Tx, on_pool, on_tx};
use serde::Serialize;
use strum::{EnumString, IntoStaticStr};

use super::SealedRow;
use crate::{
    operator::Actor,
    store::{Store, row::row, rows},
};

/// A token that the database keeps, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoredToken {
    /// The school.
    pub school: SchoolId,
    /// The id of the key that it is sealed with.
    pub key_id: String,
    /// When it was set.
    pub at: Option<DateTime<Utc>>,
    /// Who set it, if known.
    pub by: Option<String>,
    /// Through which interface.
    pub via: String,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum TokenChange {
    /// It was set, in place of another if there was one.
    Set,
    /// The same token was sealed with another key.
    Resealed,
    /// It was removed.
    Removed,
}

/// A line in the history of a school's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenEntry {
    /// What became of it.
    pub what: TokenChange,
    /// The id of the key that it is sealed with from then on.
    pub key_id: Option<String>,
    /// Who, if known.
    pub by: Option<String>,
    /// Through which interface.
    pub via: String,
    /// Why, in their words.
    pub note: Option<String>,
    /// When.
    pub at: Option<DateTime<Utc>>,
}

row! {
    struct Listed {
        school: String,
        key_id: String,
        author: Option<String>,
        via: String,
        at_ms: i64,
    }
}

row! {
    struct Sealed {
        school: String,
        key_id: String,
        sealed: String,
        generation: i64,
    }
}

row! {
    struct Entry {
        what: String,
        key_id: Option<String>,
        author: Option<String>,
        via: String,
        note: Option<String>,
        at_ms: i64,
    }
}

const LIST: &str =
    "SELECT school, key_id, author, via, at_ms FROM markback_settings_tokens ORDER BY school";

const SEALED: &str = "SELECT school, key_id, sealed, generation FROM markback_settings_tokens \
     WHERE school = coalesce($1, school)";

const SET: &str = "INSERT INTO markback_settings_tokens (school, key_id, sealed, generation, author, via, at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (school) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed, \
         generation = excluded.generation, author = excluded.author, via = excluded.via, at_ms = excluded.at_ms";

const REMOVE: &str = "DELETE FROM markback_settings_tokens WHERE school = $1";

static RESEAL: Sql = Sql::new(
    "UPDATE markback_settings_tokens SET key_id = $2, sealed = r.sealed \
     FROM {rows $1: school text, sealed text} r WHERE markback_settings_tokens.school = r.school",
);

static NOTE: Sql = Sql::new(
    "INSERT INTO markback_settings_token_log (school, generation, what, key_id, author, via, note, at_ms) \
     SELECT r.school, $2, $3, $4, $5, $6, $7, $8 FROM {rows $1: school text, sealed text} r",
);

/// Nodes read the rows that have changed since they looked.
static CHANGED: Sql = Sql::new(
    "UPDATE markback_settings_active SET generation = $2 WHERE scope = 'school' \
     AND name IN (SELECT r.school FROM {rows $1: school text, sealed text} r)",
);

const LOG: &str = "SELECT what, key_id, author, via, note, at_ms FROM markback_settings_token_log \
     WHERE school = $1 ORDER BY generation DESC";

/// A change of tokens, in a transaction that has raised the generation.
#[derive(Debug)]
pub(crate) struct TokensChanged<'a> {
    pub(crate) what: TokenChange,
    pub(crate) generation: i64,
    /// The id of the key that they are sealed with from then on.
    pub(crate) key_id: Option<&'a str>,
    /// The schools, each with what its token is sealed as.
    pub(crate) tokens: &'a [(SchoolId, String)],
}

impl Store {
    /// The tokens that the database keeps, by school.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn tokens(&self) -> outbox::Result<Vec<StoredToken>> {
        let rows: Vec<Listed> =
            on_pool!(self.db, pool => sqlx::query_as(LIST).fetch_all(pool).await)?;
        let tokens = rows.into_iter().map(|row| StoredToken {
            school: row.school.into(),
            key_id: row.key_id,
            at: DateTime::from_timestamp_millis(row.at_ms),
            by: row.author,
            via: row.via,
        });
        Ok(tokens.collect())
    }

    /// What became of a school's token, latest first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn token_history(&self, school: &SchoolId) -> outbox::Result<Vec<TokenEntry>> {
        let rows: Vec<Entry> = on_pool!(self.db, pool => {
            sqlx::query_as(LOG).bind(school.as_str()).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|row| {
                Ok(TokenEntry {
                    what: row.what.parse().map_err(|_| {
                        outbox::Error::invalid("a line about a token is of another version")
                    })?,
                    key_id: row.key_id,
                    by: row.author,
                    via: row.via,
                    note: row.note,
                    at: DateTime::from_timestamp_millis(row.at_ms),
                })
            })
            .collect()
    }

    /// The sealed tokens: that of one school, or all.
    pub(crate) async fn sealed_tokens(
        &self,
        school: Option<&SchoolId>,
    ) -> outbox::Result<BTreeMap<SchoolId, Arc<SealedRow>>> {
        let school = school.map(SchoolId::as_str);
        let found: Vec<Sealed> = on_pool!(self.db, pool => {
            sqlx::query_as(SEALED).bind(school).fetch_all(pool).await
        })?;
        Ok(found.into_iter().map(sealed).collect())
    }

    /// The same within a transaction.
    pub(crate) async fn sealed_tokens_in(
        &self,
        tx: &mut Tx,
        school: Option<&str>,
    ) -> outbox::Result<BTreeMap<SchoolId, Arc<SealedRow>>> {
        let found: Vec<Sealed> = on_tx!(tx, conn => {
            sqlx::query_as(SEALED).bind(school).fetch_all(conn).await
        })?;
        Ok(found.into_iter().map(sealed).collect())
    }

    /// Writes changed tokens, with a line in the history of each. Nodes read them within seconds.
    pub(crate) async fn change_tokens(
        &self,
        tx: &mut Tx,
        change: &TokensChanged<'_>,
        actor: &Actor,
    ) -> outbox::Result<()> {
        let (now, generation) = (self.now_ms(), change.generation);
        let (by, note) = (actor.by_in_short(), actor.note_in_short());
        let engine = tx.engine();
        let table = rows(change.tokens)?;
        let (reseal, log, changed) = (RESEAL.on(engine), NOTE.on(engine), CHANGED.on(engine));
        on_tx!(tx, conn => {
            for (school, sealed) in change.tokens {
                match change.what {
                    TokenChange::Set => {
                        sqlx::query(SET)
                            .bind(school.as_str())
                            .bind(change.key_id)
                            .bind(sealed)
                            .bind(generation)
                            .bind(&by)
                            .bind(actor.via)
                            .bind(now)
                            .execute(&mut *conn)
                            .await?;
                    }
                    TokenChange::Removed => {
                        sqlx::query(REMOVE).bind(school.as_str()).execute(&mut *conn).await?;
                    }
                    // All at once, below.
                    TokenChange::Resealed => break,
                }
            }
            if change.what == TokenChange::Resealed {
                sqlx::query(reseal).bind(&table).bind(change.key_id).execute(&mut *conn).await?;
            }
            sqlx::query(changed).bind(&table).bind(generation).execute(&mut *conn).await?;
            sqlx::query(log)
                .bind(&table)
                .bind(generation)
                .bind(<&str>::from(change.what))
                .bind(change.key_id)
                .bind(&by)
                .bind(actor.via)
                .bind(&note)
                .bind(now)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }
}

fn sealed(row: Sealed) -> (SchoolId, Arc<SealedRow>) {
    let sealed = SealedRow {
        key_id: row.key_id,
        sealed: row.sealed,
        generation: row.generation,
    };
    (row.school.into(), Arc::new(sealed))
}
