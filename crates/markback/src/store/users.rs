//! The rows of the users, their sessions, and the browsers in which they have signed in.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta};
use mis_core::SchoolId;
use outbox::{MigrationStep, Migrations, Sql, Tx, on_pool, on_tx};

use super::{Store, rows};
use crate::{
    audit_log::AuditAction,
    operator::Actor,
    store::row::row,
    users::{
        NewUser, Role, User,
        sessions::{Limits, SessionRecord},
    },
};

const TABLES: &str = include_str!("../../migrations/users/0001_users.sql");

/// The tables of the users, in SQL that both databases accept.
pub(super) const MIGRATIONS: Migrations = Migrations {
    prefix: "markback_users",
    steps: &[MigrationStep {
        version: 1,
        name: "users and their sessions",
        sqlite: TABLES,
        postgres: TABLES,
    }],
};

/// How long a browser stays known after the last sign-in.
const KNOWN_FOR: Duration = Duration::from_secs(400 * 24 * 60 * 60);

const ADD: &str = "INSERT INTO markback_users_accounts \
     (name, shown, password, stamp, role, schools, created_ms, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (name) DO NOTHING";
const LIST: &str = "SELECT * FROM markback_users_accounts ORDER BY name";
const ONE: &str = "SELECT * FROM markback_users_accounts WHERE name = $1";
const COUNT: &str = "SELECT count(*) FROM markback_users_accounts";
const PASSWORD: &str =
    "UPDATE markback_users_accounts SET password = $2, stamp = $3 WHERE name = $1";
const ROLE: &str = "UPDATE markback_users_accounts SET role = $2, schools = $3 WHERE name = $1";
const DISABLE: &str = "UPDATE markback_users_accounts SET disabled_ms = $2, stamp = $3 WHERE name = $1 AND disabled_ms IS NULL";
const ENABLE: &str = "UPDATE markback_users_accounts SET disabled_ms = NULL WHERE name = $1 AND disabled_ms IS NOT NULL";
const REMOVE: &str = "DELETE FROM markback_users_accounts WHERE name = $1";
const SIGNED_IN: &str = "UPDATE markback_users_accounts SET signed_in_ms = $2 WHERE name = $1";

const KNOW: &str = "INSERT INTO markback_users_browsers (name, hash, seen_ms) VALUES ($1, $2, $3) \
     ON CONFLICT (name, hash) DO UPDATE SET seen_ms = excluded.seen_ms";
const KNOWS: &str = "SELECT count(*) FROM markback_users_browsers WHERE name = $1 AND hash = $2";
const FORGET: &str = "DELETE FROM markback_users_browsers WHERE name = $1";

const BEGIN: &str = "INSERT INTO markback_users_sessions (hash, name, stamp, data, created_ms, seen_ms) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (hash) DO NOTHING";
const SESSION: &str = "SELECT s.name, s.stamp, s.data, s.seen_ms FROM markback_users_sessions s \
     JOIN markback_users_accounts a ON a.name = s.name AND a.stamp = s.stamp AND a.disabled_ms IS NULL \
     WHERE s.hash = $1 AND s.created_ms > $2 AND s.seen_ms > $3";
const SAVE: &str = "UPDATE markback_users_sessions SET data = $2, seen_ms = $3 WHERE hash = $1";
const END: &str = "DELETE FROM markback_users_sessions WHERE hash = $1";
const END_ALL: &str = "DELETE FROM markback_users_sessions WHERE name = $1";

static PAST: Sql = Sql::new(
    "DELETE FROM markback_users_sessions WHERE hash IN (SELECT hash FROM markback_users_sessions WHERE created_ms <= $1 LIMIT $2)",
);
static UNUSED: Sql = Sql::new(
    "DELETE FROM markback_users_sessions WHERE hash IN (SELECT hash FROM markback_users_sessions WHERE seen_ms <= $1 LIMIT $2)",
);
static BROWSERS: Sql = Sql::new(
    "DELETE FROM markback_users_browsers WHERE (name, hash) IN \
     (SELECT name, hash FROM markback_users_browsers WHERE seen_ms < $1 LIMIT $2)",
);

row! {
    struct UserRow {
        name: String,
        shown: String,
        password: String,
        stamp: i64,
        role: String,
        schools: Option<String>,
        created_ms: i64,
        created_by: Option<String>,
        signed_in_ms: Option<i64>,
        disabled_ms: Option<i64>,
    }
}

row! {
    struct SessionRow {
        name: String,
        stamp: i64,
        data: String,
        seen_ms: i64,
    }
}

impl UserRow {
    fn user(self) -> outbox::Result<User> {
        let at = |ms: Option<i64>| DateTime::from_timestamp_millis(ms?);
        let schools: Option<Vec<String>> = self
            .schools
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .map_err(|_| unreadable())?;
        Ok(User {
            // A role of a newer version, which this one does not know, may do the least.
            role: self.role.parse().unwrap_or(Role::Look),
            schools: schools.map(|ids| ids.iter().map(|id| SchoolId::from(id.as_str())).collect()),
            name: self.name,
            shown: self.shown,
            created_at: at(Some(self.created_ms)),
            created_by: self.created_by,
            signed_in_at: at(self.signed_in_ms),
            disabled_at: at(self.disabled_ms),
        })
    }
}

fn unreadable() -> outbox::Error {
    outbox::Error::invalid("a stored user cannot be read")
}

fn ids(schools: Option<&BTreeSet<SchoolId>>) -> outbox::Result<Option<String>> {
    let ids = schools.map(|schools| {
        let ids: Vec<_> = schools.iter().map(SchoolId::as_str).collect();
        rows(&ids)
    });
    ids.transpose()
}

impl Store {
    /// All users by name, with those that are disabled.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn users(&self) -> outbox::Result<Vec<User>> {
        let found: Vec<UserRow> =
            on_pool!(self.db, pool => sqlx::query_as(LIST).fetch_all(pool).await)?;
        found.into_iter().map(UserRow::user).collect()
    }

    /// A user by the name for signing in.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn user(&self, name: &str) -> outbox::Result<Option<User>> {
        self.user_row(name).await?.map(UserRow::user).transpose()
    }

    /// A user with the hash of the password and the stamp.
    pub(crate) async fn user_with_password(
        &self,
        name: &str,
    ) -> outbox::Result<Option<(User, String, i64)>> {
        let Some(row) = self.user_row(name).await? else {
            return Ok(None);
        };
        let (password, stamp) = (row.password.clone(), row.stamp);
        Ok(Some((row.user()?, password, stamp)))
    }

    async fn user_row(&self, name: &str) -> outbox::Result<Option<UserRow>> {
        Ok(on_pool!(self.db, pool => {
            sqlx::query_as(ONE).bind(name).fetch_optional(pool).await
        })?)
    }

    /// The number of users.
    pub(crate) async fn user_count(&self) -> outbox::Result<i64> {
        Ok(on_pool!(self.db, pool => sqlx::query_scalar(COUNT).fetch_one(pool).await)?)
    }

    /// Adds a user. `None` if the name is taken.
    pub(crate) async fn add_user(
        &self,
        new: &NewUser,
        password: &str,
        actor: &Actor,
    ) -> outbox::Result<Option<User>> {
        let schools = ids(new.schools.as_ref())?;
        let mut tx = self.db.begin().await?;
        let added = on_tx!(tx, conn => {
            sqlx::query(ADD)
                .bind(&new.name)
                .bind(&new.shown)
                .bind(password)
                .bind(rand::random::<i64>())
                .bind(new.role.as_str())
                .bind(&schools)
                .bind(self.now_ms())
                .bind(&actor.caller.name)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        if added == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        self.changed(tx, AuditAction::UserAdded, &new.name, actor)
            .await
    }

    /// Sets a password and ends all sessions. `None` if there is no such user.
    pub(crate) async fn set_user_password(
        &self,
        name: &str,
        password: &str,
        actor: &Actor,
    ) -> outbox::Result<Option<User>> {
        let mut tx = self.db.begin().await?;
        let set = on_tx!(tx, conn => {
            sqlx::query(PASSWORD)
                .bind(name)
                .bind(password)
                .bind(rand::random::<i64>())
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        if set == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        // Whoever knew the old password may have signed in somewhere.
        end_all(&mut tx, FORGET, name).await?;
        end_all(&mut tx, END_ALL, name).await?;
        self.changed(tx, AuditAction::UserPasswordSet, name, actor)
            .await
    }

    /// Sets role and schools. `None` if there is no such user.
    pub(crate) async fn set_user_role(
        &self,
        name: &str,
        role: Role,
        schools: Option<&BTreeSet<SchoolId>>,
        actor: &Actor,
    ) -> outbox::Result<Option<User>> {
        let schools = ids(schools)?;
        let mut tx = self.db.begin().await?;
        let set = on_tx!(tx, conn => {
            sqlx::query(ROLE)
                .bind(name)
                .bind(role.as_str())
                .bind(&schools)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        if set == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        self.changed(tx, AuditAction::UserRoleSet, name, actor)
            .await
    }

    /// Disables a user and ends all sessions, or enables one. `None` if there is no such user.
    pub(crate) async fn set_user_disabled(
        &self,
        name: &str,
        disabled: bool,
        actor: &Actor,
    ) -> outbox::Result<Option<User>> {
        let mut tx = self.db.begin().await?;
        let set = if disabled {
            on_tx!(tx, conn => {
                sqlx::query(DISABLE)
                    .bind(name)
                    .bind(self.now_ms())
                    .bind(rand::random::<i64>())
                    .execute(conn)
                    .await
                    .map(|done| done.rows_affected())
            })?
        } else {
            on_tx!(tx, conn => {
                sqlx::query(ENABLE).bind(name).execute(conn).await.map(|done| done.rows_affected())
            })?
        };
        if set == 0 {
            tx.rollback().await?;
            return self.user(name).await;
        }
        let action = if disabled {
            end_all(&mut tx, END_ALL, name).await?;
            AuditAction::UserDisabled
        } else {
            AuditAction::UserEnabled
        };
        self.changed(tx, action, name, actor).await
    }

    /// Removes a user and what belongs to them. `false` if there is no such user.
    pub(crate) async fn remove_user(&self, name: &str, actor: &Actor) -> outbox::Result<bool> {
        let mut tx = self.db.begin().await?;
        let removed = end_all(&mut tx, REMOVE, name).await?;
        if removed == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        end_all(&mut tx, END_ALL, name).await?;
        end_all(&mut tx, FORGET, name).await?;
        self.changed(tx, AuditAction::UserRemoved, name, actor)
            .await?;
        Ok(true)
    }

    /// Records a change and commits it. Returns the user as they are now.
    async fn changed(
        &self,
        mut tx: Tx,
        action: AuditAction,
        name: &str,
        actor: &Actor,
    ) -> outbox::Result<Option<User>> {
        self.record_in(&mut tx, &[actor.entry(action).subject(name)])
            .await?;
        tx.commit().await?;
        self.user(name).await
    }

    /// Notes that a user has signed in, in this browser if it is known by a hash.
    pub(crate) async fn note_sign_in(
        &self,
        name: &str,
        browser: Option<&str>,
        actor: &Actor,
    ) -> outbox::Result<()> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => {
            sqlx::query(SIGNED_IN).bind(name).bind(now).execute(conn).await.map(|_| ())
        })?;
        if let Some(browser) = browser {
            on_tx!(tx, conn => {
                sqlx::query(KNOW).bind(name).bind(browser).bind(now).execute(conn).await.map(|_| ())
            })?;
        }
        let entry = actor.entry(AuditAction::UserSignedIn).subject(name);
        self.record_in(&mut tx, &[entry]).await?;
        tx.commit().await
    }

    /// Whether a user has signed in before in the browser with this hash.
    pub(crate) async fn knows_browser(&self, name: &str, hash: &str) -> outbox::Result<bool> {
        let known: i64 = on_pool!(self.db, pool => {
            sqlx::query_scalar(KNOWS).bind(name).bind(hash).fetch_one(pool).await
        })?;
        Ok(known > 0)
    }

    /// Adds a session. `false` if there is one with this hash.
    pub(crate) async fn add_session(
        &self,
        hash: &str,
        session: &SessionRecord,
    ) -> outbox::Result<bool> {
        let mut tx = self.db.begin().await?;
        let added = on_tx!(tx, conn => {
            sqlx::query(BEGIN)
                .bind(hash)
                .bind(&session.name)
                .bind(session.stamp)
                .bind(&session.data)
                .bind(self.now_ms())
                .bind(session.seen_ms)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        tx.commit().await?;
        Ok(added > 0)
    }

    /// A session by the hash of its id, if it lasts.
    pub(crate) async fn session(
        &self,
        hash: &str,
        limits: Limits,
    ) -> outbox::Result<Option<SessionRecord>> {
        let (created, seen) = limits.oldest(self.now());
        let found: Option<SessionRow> = on_pool!(self.db, pool => {
            sqlx::query_as(SESSION).bind(hash).bind(created).bind(seen).fetch_optional(pool).await
        })?;
        Ok(found.map(|row| SessionRecord {
            name: row.name,
            stamp: row.stamp,
            data: row.data,
            seen_ms: row.seen_ms,
        }))
    }

    /// Keeps the data of a session and when it was used.
    pub(crate) async fn save_session(
        &self,
        hash: &str,
        session: &SessionRecord,
    ) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => {
            sqlx::query(SAVE)
                .bind(hash)
                .bind(&session.data)
                .bind(session.seen_ms)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        tx.commit().await
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, hash: &str) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        end_all(&mut tx, END, hash).await?;
        tx.commit().await
    }

    /// Removes sessions that have ended by time, and browsers that were not used for long. Returns their number.
    pub(crate) async fn prune_sessions(&self, limits: Limits) -> outbox::Result<u64> {
        let (created, seen) = limits.oldest(self.now());
        let known = TimeDelta::from_std(KNOWN_FOR).unwrap_or(TimeDelta::MAX);
        let mut removed = self.remove(&PAST, created).await? + self.remove(&UNUSED, seen).await?;
        if let Some(before) = self.now().checked_sub_signed(known) {
            removed += self.remove(&BROWSERS, before.timestamp_millis()).await?;
        }
        Ok(removed)
    }
}

/// Runs a statement with one text. Returns the number of rows.
async fn end_all(tx: &mut Tx, statement: &'static str, of: &str) -> outbox::Result<u64> {
    Ok(on_tx!(tx, conn => {
        sqlx::query(statement).bind(of).execute(conn).await.map(|done| done.rows_affected())
    })?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outbox::TestClock;
    use secrecy::SecretString;

    use super::*;
    use crate::{
        audit_log::{AuditFilter, Caller},
        users::{self, Attempt, SignInError, SignedIn, Task, UserError, Users, sessions},
    };

    const RIGHT: &str = "correct horse battery";
    const OTHER: &str = "staple of another kind";
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const LIMITS: Limits = Limits {
        idle: Duration::from_secs(2 * 60 * 60),
        absolute: Duration::from_secs(12 * 60 * 60),
    };

    async fn open(url: &str) -> (Store, Arc<TestClock>) {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let settings = outbox::Settings::default();
        let store = Store::open(url, settings, clock.clone()).await.unwrap();
        (store, clock)
    }

    fn ann() -> Actor {
        Actor {
            via: "command line",
            caller: Caller::user(Some("ann".to_owned())),
            ..Actor::default()
        }
    }

    fn new(name: &str) -> NewUser {
        NewUser {
            name: name.to_owned(),
            shown: String::new(),
            role: Role::Tend,
            schools: Some(BTreeSet::from(["A1".into()])),
        }
    }

    async fn add(store: &Store, name: &str) -> Result<User, UserError> {
        users::add(store, &new(name), &RIGHT.into(), &ann()).await
    }

    fn attempt(name: &str, password: &str) -> Attempt {
        Attempt {
            name: name.to_owned(),
            password: SecretString::from(password),
            peer: "192.0.2.1".parse().ok(),
            browser: None,
        }
    }

    /// Begins a session with this id.
    async fn begin(store: &Store, id: &[u8], signed_in: &SignedIn) {
        let session = SessionRecord {
            name: signed_in.user.name.clone(),
            stamp: signed_in.stamp,
            data: "{}".to_owned(),
            seen_ms: store.now_ms(),
        };
        assert!(sessions::begin(store, id, &session).await.unwrap());
        assert!(!sessions::begin(store, id, &session).await.unwrap());
    }

    async fn lasts(store: &Store, id: &[u8]) -> bool {
        let found = sessions::load(store, id, LIMITS).await.unwrap();
        found.is_some()
    }

    async fn check(url: &str) {
        let (store, clock) = open(url).await;
        let door = Users::new(store.clone());
        assert!(!door.are_any().await.unwrap());
        let amy = add(&store, " Amy ").await.unwrap();
        assert_eq!((amy.name.as_str(), amy.shown.as_str()), ("amy", "amy"));
        assert_eq!(amy.created_by.as_deref(), Some("ann"));
        assert!(door.are_any().await.unwrap());
        match add(&store, "AMY").await {
            Err(UserError::Invalid { field, .. }) => assert_eq!(field, "name"),
            other => panic!("{other:?}"),
        }

        let sign_in = async |password| door.sign_in(attempt("Amy", password)).await;
        assert!(matches!(sign_in(OTHER).await, Err(SignInError::Wrong)));
        clock.advance(HOUR);
        let signed_in = sign_in(RIGHT).await.unwrap();
        let found = store.user("amy").await.unwrap().unwrap();
        assert_eq!(found.signed_in_at, Some(store.now()));

        // A session is found by its id, until it was not used for long.
        begin(&store, b"one", &signed_in).await;
        assert!(lasts(&store, b"one").await && !lasts(&store, b"two").await);
        for _ in 0..11 {
            clock.advance(HOUR);
            let mut session = sessions::load(&store, b"one", LIMITS)
                .await
                .unwrap()
                .unwrap();
            session.seen_ms = store.now_ms();
            sessions::save(&store, b"one", &session).await.unwrap();
        }
        // It has been used all the time, and ends nevertheless.
        clock.advance(HOUR);
        assert!(!lasts(&store, b"one").await);
        begin(&store, b"two", &signed_in).await;
        clock.advance(2 * HOUR);
        assert!(!lasts(&store, b"two").await);
        assert_eq!(store.prune_sessions(LIMITS).await.unwrap(), 2);
        assert_eq!(store.prune_sessions(LIMITS).await.unwrap(), 0);

        // Signing out ends one, another password and disabling end all.
        begin(&store, b"one", &signed_in).await;
        begin(&store, b"two", &signed_in).await;
        sessions::end(&store, b"one").await.unwrap();
        assert!(!lasts(&store, b"one").await && lasts(&store, b"two").await);
        users::set_password(&store, "Amy", &OTHER.into(), &ann())
            .await
            .unwrap();
        assert!(!lasts(&store, b"two").await);
        assert!(matches!(sign_in(RIGHT).await, Err(SignInError::Wrong)));
        // Somebody who signed in by the old password at that very moment.
        begin(&store, b"late", &signed_in).await;
        assert!(!lasts(&store, b"late").await);
        let signed_in = sign_in(OTHER).await.unwrap();
        begin(&store, b"three", &signed_in).await;
        let disabled = users::set_disabled(&store, "amy", true, &ann())
            .await
            .unwrap();
        assert_eq!(
            (disabled.state(), disabled.disabled_at),
            ("disabled", Some(store.now()))
        );
        assert!(!lasts(&store, b"three").await);
        assert!(matches!(sign_in(OTHER).await, Err(SignInError::Wrong)));
        begin(&store, b"late again", &signed_in).await;
        users::set_disabled(&store, "amy", true, &ann())
            .await
            .unwrap();
        users::set_disabled(&store, "amy", false, &ann())
            .await
            .unwrap();
        assert!(!lasts(&store, b"late again").await);
        assert!(sign_in(OTHER).await.is_ok());

        // A role holds from the next look at the user on.
        assert!(found.may(Task::ManageUsers, &"A1".into()).is_err());
        let promoted = users::set_role(&store, "amy", Role::Admin, None, &ann())
            .await
            .unwrap();
        assert!(promoted.may(Task::ManageUsers, &"A2".into()).is_ok());
        users::remove(&store, "amy", &ann()).await.unwrap();
        assert!(matches!(sign_in(OTHER).await, Err(SignInError::Wrong)));
        for unknown in ["amy", "no name"] {
            let removed = users::remove(&store, unknown, &ann()).await;
            assert!(matches!(removed, Err(UserError::Unknown)));
            let set = users::set_password(&store, unknown, &RIGHT.into(), &ann()).await;
            assert!(matches!(set, Err(UserError::Unknown)));
            let set = users::set_role(&store, unknown, Role::Look, None, &ann()).await;
            assert!(matches!(set, Err(UserError::Unknown)));
            let set = users::set_disabled(&store, unknown, true, &ann()).await;
            assert!(matches!(set, Err(UserError::Unknown)));
        }

        let filter = AuditFilter {
            limit: 100,
            ..AuditFilter::default()
        };
        let entries = store.audit_entries(&filter).await.unwrap();
        let mut told: Vec<_> = entries
            .iter()
            .map(|entry| (entry.action.as_str(), entry.caller.as_deref().unwrap()))
            .collect();
        told.reverse();
        let expected = [
            ("user_added", "ann"),
            ("user_signed_in", "amy"),
            ("user_password_set", "ann"),
            ("user_signed_in", "amy"),
            ("user_disabled", "ann"),
            ("user_enabled", "ann"),
            ("user_signed_in", "amy"),
            ("user_role_set", "ann"),
            ("user_removed", "ann"),
        ];
        assert_eq!(told, expected);
        let about_amy =
            |entry: &crate::audit_log::AuditEntry| entry.subject.as_deref() == Some("amy");
        assert!(entries.iter().all(about_amy));
    }

    #[tokio::test]
    async fn a_user_signs_in_until_the_session_ends() {
        check("sqlite::memory:").await;
        if let Some(server) = throwaway_postgres::shared().unwrap() {
            check(&server.create_database().unwrap()).await;
        }
    }

    #[tokio::test]
    async fn who_guesses_is_slowed_and_nobody_else() {
        let (store, clock) = open("sqlite::memory:").await;
        let door = Users::new(store.clone());
        for name in ["amy", "bob"] {
            add(&store, name).await.unwrap();
        }
        let known = |name, password| Attempt {
            browser: Some("a random text of Amy's browser".to_owned()),
            ..attempt(name, password)
        };
        door.sign_in(known("amy", RIGHT)).await.unwrap();
        let mut wrong = 0;
        let seconds = loop {
            match door.sign_in(attempt("amy", OTHER)).await {
                Err(SignInError::Wrong) => wrong += 1,
                Err(SignInError::Slowed(seconds)) => break seconds,
                other => panic!("{other:?}"),
            }
        };
        // Ten tries, of which the first was right, in a browser that was not known by then.
        assert_eq!((wrong, seconds), (9, 20));
        let slowed = |result| matches!(result, Err(SignInError::Slowed(_)));
        // The right password is not even checked, or it could be guessed as fast as ever.
        assert!(slowed(door.sign_in(attempt("amy", RIGHT)).await));
        // Others from the same address are not punished, and neither is Amy in her own browser.
        door.sign_in(attempt("bob", RIGHT)).await.unwrap();
        door.sign_in(known("amy", RIGHT)).await.unwrap();
        // A browser of somebody else is worth nothing.
        assert!(slowed(
            door.sign_in(Attempt {
                browser: Some("another browser".to_owned()),
                ..attempt("amy", RIGHT)
            })
            .await
        ));
        let elsewhere = Attempt {
            peer: "192.0.2.2".parse().ok(),
            ..attempt("amy", RIGHT)
        };
        door.sign_in(elsewhere).await.unwrap();
        // An unknown name is treated like a known one.
        for _ in 0..10 {
            let result = door.sign_in(attempt("nobody", RIGHT)).await;
            assert!(matches!(result, Err(SignInError::Wrong)));
        }
        assert!(slowed(door.sign_in(attempt("nobody", RIGHT)).await));
        clock.advance(Duration::from_secs(20));
        door.sign_in(attempt("amy", RIGHT)).await.unwrap();
        // A new password forgets the browsers, since whoever knew the old one may have signed in in theirs.
        users::set_password(&store, "amy", &OTHER.into(), &ann())
            .await
            .unwrap();
        assert!(slowed(door.sign_in(known("amy", OTHER)).await));
    }
}
