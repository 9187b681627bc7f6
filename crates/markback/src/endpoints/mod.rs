//! Endpoints: addresses of hosts, to which entries of the feed are delivered as signed webhooks.
//!
//! Not to be confused with the webhooks that Wonde sends to us (`hints.rs`). Deliveries are jobs of a queue of their own.
//! They are queued in the transaction that numbers the entries, so each entry is queued once for each endpoint. An
//! attempt whose answer is lost is made again: a host may get an entry twice, with the same `webhook-id`, and entries may
//! arrive out of order; their cursors tell the order.

mod deliver;
mod sealing;
mod signature;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use url::Url;

use crate::{
    audit_log::{AuditAction, NewAuditEntry},
    feed::{Cursor, FeedKind},
    operator::Actor,
    settings::{SecretError, Service},
    store::Store,
    targets::{TargetError, Targets},
};

pub(crate) use self::{
    deliver::Courier,
    sealing::{SEALED, Sealing, StoredSecret},
};
pub use self::{
    deliver::Tested,
    sealing::SecretsSealed,
    signature::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER},
};

/// How long the secret before the present one signs too.
pub const OLD_SECRET_SIGNS: Duration = Duration::from_secs(24 * 60 * 60);
/// The waits between the attempts of a delivery. After the last of them it is given up.
pub const RETRIES: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(5 * 60 * 60),
    Duration::from_secs(10 * 60 * 60),
];
/// An endpoint is dead after so many deliveries in a row were given up.
pub const DEAD_AFTER_ROUNDS: u32 = 5;
/// An endpoint is dead after each attempt has failed for so long.
pub const DEAD_AFTER: Duration = Duration::from_secs(5 * 24 * 60 * 60);

/// The longest address in bytes.
const URL_MAX: usize = 2_000;
/// The longest note in characters.
const NOTE_MAX: usize = 200;

/// Whether an endpoint gets entries.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum EndpointState {
    /// It gets entries.
    Active,
    /// A person has switched it off.
    Disabled,
    /// It has answered that it is gone (410), and gets nothing.
    Gone,
    /// Its deliveries have failed for too long, and it gets nothing.
    Dead,
}

impl EndpointState {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether a person should see to it.
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Gone | Self::Dead)
    }
}

/// An endpoint without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// The school whose entries it gets; `null` for all schools and what concerns no single one.
    pub school: Option<String>,
    /// The kinds of entries that it gets; empty for all.
    pub kinds: Vec<FeedKind>,
    /// Its address.
    #[schemars(with = "String")]
    pub url: Url,
    /// What it is for, in the words of whoever added it.
    pub note: Option<String>,
    /// Whether it gets entries.
    pub state: EndpointState,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// Since when each attempt has failed; `null` if the last one succeeded.
    pub failing_since: Option<DateTime<Utc>>,
    /// How many deliveries were given up since the last success.
    pub given_up: u64,
    /// The last success.
    pub last_success: Option<DateTime<Utc>>,
    /// The last failure.
    pub last_error: Option<String>,
    /// Until when the secret before the present one signs too.
    pub old_secret_until: Option<DateTime<Utc>>,
}

/// An endpoint to add.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// The school whose entries it gets; `None` for all schools and what concerns no single one.
    pub school: Option<String>,
    /// The kinds of entries that it gets; empty for all.
    pub kinds: Vec<FeedKind>,
    /// Its address.
    pub url: Url,
    /// What it is for. Cut at 200 characters.
    pub note: Option<String>,
}

/// The state of a delivery.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryState {
    /// It is on its way, or waits for its next attempt.
    Waiting,
    /// The endpoint has answered that it has the entry (2xx).
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryState {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The delivery of an entry to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Delivery {
    /// The entry's cursor, by which it is sent again.
    pub entry: Cursor,
    /// Its state.
    pub state: DeliveryState,
    /// How often it was queued again on demand.
    pub resent: u64,
    /// The attempts since it was queued last.
    pub attempts_in_round: u64,
    /// When it changed last.
    pub changed_at: DateTime<Utc>,
    /// Its attempts, the oldest first.
    pub attempts: Vec<Attempt>,
}

/// An attempt to deliver an entry. The answer's body is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Attempt {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it does not count as delivered.
    pub error: Option<String>,
}

/// Which deliveries to list.
#[derive(Clone, Debug)]
pub struct DeliveryFilter {
    /// Those of entries before this one; `None` begins with the newest.
    pub before: Option<Cursor>,
    /// Those in this state only.
    pub state: Option<DeliveryState>,
    /// The most deliveries.
    pub limit: u32,
}

/// Why a request about an endpoint was rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no such endpoint.
    #[error("there is no webhook endpoint with this id; `markback webhooks ls` lists them")]
    Unknown,
    /// It must not be called.
    #[error("`url`: {0}")]
    Target(#[from] TargetError),
    /// The address is too long.
    #[error("`url`: the address has more than {URL_MAX} bytes; write a shorter one")]
    TooLong,
    /// The entry cannot be sent again.
    #[error(
        "this entry is on its way to the endpoint already, or is not kept any more; the list of deliveries shows which"
    )]
    NotResent,
    /// The key that seals secrets cannot be used. Nothing was changed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The client cannot be set up.
    #[error("the client for webhooks cannot be set up")]
    Client(#[source] reqwest::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

/// The endpoints in a database. The audit log has each change of one.
#[derive(Clone, Debug)]
pub struct Endpoints {
    store: Store,
    targets: Targets,
    sealing: Sealing,
}

impl Endpoints {
    /// The endpoints in this database. The settings say which addresses may be called, and which key seals secrets.
    pub fn new(store: Store, settings: &Service) -> Self {
        Self {
            store,
            targets: Targets::new(&settings.targets),
            sealing: Sealing::new(settings.seal_keys()),
        }
    }

    /// Delivers entries to these endpoints.
    ///
    /// # Errors
    /// Returns an error if the client cannot be set up.
    pub(crate) fn courier(&self) -> Result<Courier, EndpointError> {
        Courier::new(self.store.clone(), &self.targets, self.sealing.clone())
    }

    /// Adds an endpoint, and returns it with its secret, which is never shown again.
    ///
    /// # Errors
    /// Returns an error if the address must not be called, or a database query fails.
    pub async fn add(
        &self,
        mut new: NewEndpoint,
        actor: &Actor,
    ) -> Result<(Endpoint, Secret), EndpointError> {
        if new.url.as_str().len() > URL_MAX {
            return Err(EndpointError::TooLong);
        }
        self.targets.check(&new.url)?;
        new.kinds.sort_unstable();
        new.kinds.dedup();
        new.note = new.note.map(|note| {
            let clean = note.chars().filter(|c| !c.is_control());
            clean.take(NOTE_MAX).collect()
        });
        let id = format!("we_{:016x}", rand::random::<u64>());
        let secret = Secret::random();
        let stored = self.sealing.store(&id, &secret)?;
        let entry = entry(
            AuditAction::EndpointAdded,
            &id,
            new.school.as_deref(),
            actor,
        );
        self.store.add_endpoint(&id, &new, &stored, entry).await?;
        Ok((self.get(&id).await?, secret))
    }

    /// All endpoints, the oldest first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn list(&self) -> outbox::Result<Vec<Endpoint>> {
        self.store.endpoints().await
    }

    /// One endpoint.
    ///
    /// # Errors
    /// Returns an error if there is none with this id, or the database query fails.
    pub async fn get(&self, id: &str) -> Result<Endpoint, EndpointError> {
        let found = self.store.endpoint(id).await?;
        found
            .map(|found| found.endpoint)
            .ok_or(EndpointError::Unknown)
    }

    /// Removes an endpoint with its log.
    ///
    /// # Errors
    /// Like [`Endpoints::get`].
    pub async fn remove(&self, id: &str, actor: &Actor) -> Result<(), EndpointError> {
        let entry = self.entry(AuditAction::EndpointRemoved, id, actor).await?;
        known(self.store.remove_endpoint(id, entry).await?)
    }

    /// Lets an endpoint get entries again, or none. What was written meanwhile is sent by [`Endpoints::resend_since`].
    ///
    /// # Errors
    /// Like [`Endpoints::get`].
    pub async fn enable(
        &self,
        id: &str,
        enabled: bool,
        actor: &Actor,
    ) -> Result<Endpoint, EndpointError> {
        let (state, action) = match enabled {
            true => (EndpointState::Active, AuditAction::EndpointEnabled),
            false => (EndpointState::Disabled, AuditAction::EndpointDisabled),
        };
        let entry = self.entry(action, id, actor).await?;
        known(self.store.set_endpoint_state(id, state, entry).await?)?;
        self.get(id).await
    }

    /// Gives an endpoint a new secret and returns it. The one before it signs too for [`OLD_SECRET_SIGNS`], so the host has
    /// time to change it.
    ///
    /// # Errors
    /// Like [`Endpoints::get`].
    pub async fn rotate(
        &self,
        id: &str,
        actor: &Actor,
    ) -> Result<(Endpoint, Secret), EndpointError> {
        let entry = self.entry(AuditAction::EndpointRotated, id, actor).await?;
        let secret = Secret::random();
        let stored = self.sealing.store(id, &secret)?;
        let length = TimeDelta::from_std(OLD_SECRET_SIGNS).unwrap_or_default();
        let until = self.store.now() + length;
        known(
            self.store
                .rotate_endpoint(id, &stored, until, entry)
                .await?,
        )?;
        Ok((self.get(id).await?, secret))
    }

    /// The deliveries to an endpoint, the newest entry first.
    ///
    /// # Errors
    /// Like [`Endpoints::get`].
    pub async fn deliveries(
        &self,
        id: &str,
        filter: &DeliveryFilter,
    ) -> Result<Vec<Delivery>, EndpointError> {
        self.get(id).await?;
        Ok(self.store.deliveries(id, filter).await?)
    }

    /// Sends an entry again, whatever became of it.
    ///
    /// # Errors
    /// Returns an error if there is no such endpoint, the entry is on its way or not kept any more, or a database query
    /// fails.
    pub async fn resend(
        &self,
        id: &str,
        entry: Cursor,
        actor: &Actor,
    ) -> Result<(), EndpointError> {
        let change = self.entry(AuditAction::EndpointResent, id, actor).await?;
        match self.store.resend_one(id, entry.number(), change).await? {
            true => Ok(()),
            false => Err(EndpointError::NotResent),
        }
    }

    /// Sends again what failed since then, and what was never sent because the endpoint got nothing. Returns the number
    /// of entries.
    ///
    /// # Errors
    /// Like [`Endpoints::get`].
    pub async fn resend_since(
        &self,
        id: &str,
        since: DateTime<Utc>,
        actor: &Actor,
    ) -> Result<u64, EndpointError> {
        let change = self.entry(AuditAction::EndpointResent, id, actor).await?;
        self.store.number_feed().await?;
        // Before the entries are queued, which takes several transactions.
        self.store.record(&[change]).await?;
        Ok(self.store.resend_since(id, since).await?)
    }

    /// The entry of the audit log for a change of an endpoint.
    async fn entry(
        &self,
        action: AuditAction,
        id: &str,
        actor: &Actor,
    ) -> Result<NewAuditEntry, EndpointError> {
        let endpoint = self.get(id).await?;
        Ok(entry(action, id, endpoint.school.as_deref(), actor))
    }

    /// Sends a test message now, and tells how the endpoint answered. It is not logged and not sent again.
    ///
    /// # Errors
    /// Returns an error if there is no such endpoint, or a database query fails.
    pub async fn test(&self, id: &str) -> Result<Tested, EndpointError> {
        let found = self.store.endpoint(id).await?;
        let found = found.ok_or(EndpointError::Unknown)?;
        Ok(self.courier()?.test(&found).await)
    }

    /// Seals all secrets with the present key: those that are in the database in clear, and those that are sealed with the
    /// key before it. Those that cannot be opened stay as they are.
    ///
    /// # Errors
    /// Returns an error if there is no key, or a database query fails.
    pub async fn seal_secrets(&self, actor: &Actor) -> Result<SecretsSealed, EndpointError> {
        let keys = self.sealing.keys();
        let mut done = SecretsSealed {
            key_id: keys.present()?.id.clone(),
            ..SecretsSealed::default()
        };
        let mut changed = Vec::new();
        for (id, stored) in self.store.endpoint_secrets().await? {
            match stored.sealed_again(&keys, &id) {
                Ok(Some(sealed)) => changed.push((id, stored, sealed)),
                Ok(None) => done.already += 1,
                Err(error) => {
                    done.failed.insert(id, sealing::why(&error));
                }
            }
        }
        let entry = actor.entry(AuditAction::EndpointSecretsSealed);
        done.sealed = self.store.replace_endpoint_secrets(&changed, entry).await?;
        Ok(done)
    }
}

fn entry(action: AuditAction, id: &str, school: Option<&str>, actor: &Actor) -> NewAuditEntry {
    let entry = actor.entry(action).subject(id);
    match school {
        Some(school) => entry.school(&SchoolId::from(school)),
        None => entry,
    }
}

fn known(found: bool) -> Result<(), EndpointError> {
    found.then_some(()).ok_or(EndpointError::Unknown)
}
