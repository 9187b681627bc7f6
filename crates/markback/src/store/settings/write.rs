//! Adding versions and letting them rule.

use outbox::{Sql, Tx, on_tx};

use super::{BesideFile, Scope, SettingsKey};
use crate::{
    feed::NoticeWhat,
    operator::Actor,
    store::{NewEntry, Store, rows},
};

/// A version to add.
#[derive(Debug)]
pub(crate) struct NewVersion<'a> {
    pub(crate) key: &'a SettingsKey,
    pub(crate) number: u32,
    pub(crate) body: &'a str,
    pub(crate) base: u32,
}

/// A version that rules from now on.
#[derive(Debug)]
pub(crate) struct NewActivation<'a> {
    pub(crate) key: &'a SettingsKey,
    /// 0 removes it.
    pub(crate) number: u32,
    pub(crate) beside_file: BesideFile,
}

const RAISE: &str = "UPDATE markback_settings_generation SET generation = generation + 1 WHERE one = 1 RETURNING generation";

static ADD: Sql = Sql::new(
    "INSERT INTO markback_settings_versions (scope, name, number, body, base, author, via, note, at_ms, caller) \
     SELECT r.scope, r.name, r.number, r.body, r.base, $3, $4, $5, $2, $6 \
     FROM {rows $1: scope text, name text, number int, body text, base int} r WHERE true \
     ON CONFLICT (scope, name, number) DO NOTHING",
);

static ACTIVATE: Sql = Sql::new(
    "INSERT INTO markback_settings_active (scope, name, number, beside_file, since_ms, generation) \
     SELECT r.scope, r.name, r.number, r.beside_file, $2, $3 \
     FROM {rows $1: scope text, name text, number int, beside_file text} r WHERE true \
     ON CONFLICT (scope, name) DO UPDATE SET \
         since_ms = CASE WHEN markback_settings_active.number = 0 THEN excluded.since_ms \
             ELSE markback_settings_active.since_ms END, \
         number = excluded.number, beside_file = excluded.beside_file, generation = excluded.generation",
);

static NOTE: Sql = Sql::new(
    "INSERT INTO markback_settings_activations (scope, name, number, generation, author, via, note, at_ms) \
     SELECT r.scope, r.name, r.number, $3, $4, $5, $6, $2 \
     FROM {rows $1: scope text, name text, number int, beside_file text} r",
);

impl Store {
    /// Raises the generation, and holds its lock until the end of the transaction.
    pub(crate) async fn raise_settings_generation(&self, tx: &mut Tx) -> outbox::Result<i64> {
        let raised: i64 = on_tx!(tx, conn => sqlx::query_scalar(RAISE).fetch_one(conn).await)?;
        Ok(raised)
    }

    /// Adds versions. Returns false if one of the numbers is taken, because somebody else was faster; then the
    /// transaction must be rolled back.
    pub(crate) async fn add_settings(
        &self,
        tx: &mut Tx,
        versions: &[NewVersion<'_>],
        actor: &Actor,
    ) -> outbox::Result<bool> {
        let table: Vec<_> = versions
            .iter()
            .map(|one| {
                let scope = <&str>::from(one.key.scope);
                (scope, &one.key.name, one.number, one.body, one.base)
            })
            .collect();
        let (text, table, now) = (ADD.on(tx.engine()), rows(&table)?, self.now_ms());
        let (by, note) = (actor.by_in_short(), actor.note_in_short());
        let added = on_tx!(tx, conn => {
            sqlx::query(text)
                .bind(&table)
                .bind(now)
                .bind(&by)
                .bind(actor.via)
                .bind(&note)
                .bind(actor.identity())
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(usize::try_from(added).is_ok_and(|added| added == versions.len()))
    }

    /// Lets versions rule from this generation on.
    pub(crate) async fn activate_settings(
        &self,
        tx: &mut Tx,
        generation: i64,
        activations: &[NewActivation<'_>],
        actor: &Actor,
    ) -> outbox::Result<()> {
        let table: Vec<_> = activations
            .iter()
            .map(|one| {
                let (scope, beside) = (<&str>::from(one.key.scope), <&str>::from(one.beside_file));
                (scope, &one.key.name, one.number, beside)
            })
            .collect();
        let (table, now) = (rows(&table)?, self.now_ms());
        let (activate, note_line) = (ACTIVATE.on(tx.engine()), NOTE.on(tx.engine()));
        let (by, note) = (actor.by_in_short(), actor.note_in_short());
        on_tx!(tx, conn => {
            sqlx::query(activate)
                .bind(&table)
                .bind(now)
                .bind(generation)
                .execute(&mut *conn)
                .await?;
            sqlx::query(note_line)
                .bind(&table)
                .bind(now)
                .bind(generation)
                .bind(&by)
                .bind(actor.via)
                .bind(&note)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        let told: Vec<_> = activations.iter().map(told).collect();
        self.publish(tx, &told).await
    }
}

/// The feed's entry about a version that rules from now on. A template may concern each school.
fn told(activation: &NewActivation<'_>) -> NewEntry {
    let SettingsKey { scope, name } = activation.key;
    let (school, whose) = match scope {
        Scope::School => (name.as_str(), "the school".to_owned()),
        Scope::Template => ("", format!("the template {name}")),
    };
    let text = match activation.number {
        0 => format!("{whose} has no settings in the database any more"),
        number => format!("version {number} of the settings of {whose} rules"),
    };
    NewEntry::notice(school, NoticeWhat::SettingsActivated, text)
}
