//! The audit log: who changed what, and who looked at a person.
//!
//! It is about everybody who uses the service, while an event's history is about one event. Entries hold ids only, and
//! none can be changed or removed before its retention is over. A change is recorded in its own transaction or before its
//! answer; looks are written together, at most a second behind, so a crash can lose the looks of the last second.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::store::Store;

/// The time between two writes of looks.
pub(crate) const WRITE_EVERY: Duration = Duration::from_secs(1);
/// So many unwritten looks are written at once, and the next look waits for that.
const UNWRITTEN_MAX: usize = 1_000;

/// Who uses the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The public part of the API key, if there is one.
    pub key: Option<String>,
    /// The name of the API key, of the system user or of the user of the pages.
    pub name: Option<String>,
}

impl Caller {
    /// An API key by its public part and its name.
    pub fn of_key(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            key: Some(id.into()),
            name: Some(name.into()),
        }
    }

    /// A system user or a user of the pages, if known.
    pub fn user(name: Option<String>) -> Self {
        Self { key: None, name }
    }
}

/// Whether an entry is about a change or a look.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AuditKind {
    /// Something was changed.
    Change,
    /// A person's data was shown.
    Look,
}

/// What was done.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum AuditAction {
    /// Events were received; the amount tells how many were new.
    EventsSent,
    /// An event was retried.
    EventRetried,
    /// An event was discarded.
    EventDiscarded,
    /// A held mark was released.
    EventReleased,
    /// A held mark was dropped.
    EventDropped,
    /// An event was withdrawn, and another may have replaced it.
    EventCorrected,
    /// A version of a school's settings or of a template was written.
    SettingsDrafted,
    /// A version began to rule.
    SettingsActivated,
    /// A version of a school's settings is to rule from a day on.
    SettingsScheduled,
    /// A version that was to rule from a day on is not to any more.
    SettingsScheduleCancelled,
    /// A school or a template was taken out of the settings.
    SettingsRemoved,
    /// The settings file was read again; the amount tells how many schools changed.
    SettingsFileTaken,
    /// A key was made.
    KeyAdded,
    /// A key was revoked.
    KeyRevoked,
    /// A user was added.
    UserAdded,
    /// A user's role or schools were set.
    UserRoleSet,
    /// A user's password was set, which ended their sessions.
    UserPasswordSet,
    /// A user was disabled.
    UserDisabled,
    /// A user was enabled again.
    UserEnabled,
    /// A user was removed.
    UserRemoved,
    /// A user signed in.
    UserSignedIn,
    /// A user signed out.
    UserSignedOut,
    /// A school's token for Wonde was stored.
    TokenStored,
    /// A school's token for Wonde was removed.
    TokenRemoved,
    /// Schools' tokens for Wonde were sealed with another key.
    TokensResealed,
    /// An endpoint for webhooks was added.
    EndpointAdded,
    /// An endpoint for webhooks gets entries again.
    EndpointEnabled,
    /// An endpoint for webhooks gets nothing for now.
    EndpointDisabled,
    /// An endpoint for webhooks got a new secret.
    EndpointRotated,
    /// Entries were sent to an endpoint for webhooks again.
    EndpointResent,
    /// An endpoint for webhooks was removed.
    EndpointRemoved,
    /// Secrets of endpoints for webhooks were sealed; the amount tells of how many endpoints.
    EndpointSecretsSealed,
    /// A sync of a school's people was requested.
    SyncStarted,
    /// A sync was requested that applies changes that were held back.
    SyncAccepted,
    /// Scheduled syncs of a school were paused.
    SyncsPaused,
    /// Scheduled syncs of a school were resumed.
    SyncsResumed,
    /// The pause of a school or a token was ended.
    PauseEnded,
    /// One event was shown.
    EventShown,
    /// Events were listed; the amount tells how many. The subject is a person if the list is theirs.
    EventsListed,
    /// People were searched for by name; the amount tells how many were shown.
    PeopleFound,
    /// What is kept about a person's day was shown, with the register; the amount tells of how many events.
    PersonShown,
    /// What is kept about a person was exported; the amount tells of how many entries.
    PersonExported,
    /// What is kept about a person was erased; the subject is a hash, and the amount tells how many entries went.
    PersonErased,
    /// An event's decision was replayed.
    DecisionReplayed,
    /// A group's people were shown; the amount tells how many.
    GroupShown,
    /// Changes of a group's people were shown; the amount tells how many.
    GroupChangesShown,
    /// A sync's outcome was previewed, with the people that it would change.
    SyncPreviewed,
    /// Reports of syncs were shown, which name people without a group.
    SyncsShown,
    /// Entries of the feed were shown; the amount tells how many.
    FeedShown,
    /// The feed was followed as a stream.
    FeedFollowed,
    /// A draft of settings was tried on past events.
    SettingsTried,
    /// It was asked what would be decided about an event of a person.
    EventExplained,
    /// A school's connection was checked, with what can be read of its people.
    SchoolExamined,
}

impl AuditAction {
    /// All actions.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it is a change or a look.
    pub fn kind(self) -> AuditKind {
        match self {
            Self::EventShown
            | Self::EventsListed
            | Self::PeopleFound
            | Self::PersonShown
            | Self::PersonExported
            | Self::DecisionReplayed
            | Self::GroupShown
            | Self::GroupChangesShown
            | Self::SyncPreviewed
            | Self::SyncsShown
            | Self::FeedShown
            | Self::FeedFollowed
            | Self::SettingsTried
            | Self::EventExplained
            | Self::SchoolExamined => AuditKind::Look,
            Self::EventsSent
            | Self::EventRetried
            | Self::EventDiscarded
            | Self::EventReleased
            | Self::EventDropped
            | Self::EventCorrected
            | Self::SettingsDrafted
            | Self::SettingsActivated
            | Self::SettingsScheduled
            | Self::SettingsScheduleCancelled
            | Self::SettingsRemoved
            | Self::SettingsFileTaken
            | Self::KeyAdded
            | Self::KeyRevoked
            | Self::UserAdded
            | Self::UserRoleSet
            | Self::UserPasswordSet
            | Self::UserDisabled
            | Self::UserEnabled
            | Self::UserRemoved
            | Self::UserSignedIn
            | Self::UserSignedOut
            | Self::TokenStored
            | Self::TokenRemoved
            | Self::TokensResealed
            | Self::EndpointAdded
            | Self::EndpointEnabled
            | Self::EndpointDisabled
            | Self::EndpointRotated
            | Self::EndpointResent
            | Self::EndpointRemoved
            | Self::EndpointSecretsSealed
            | Self::SyncStarted
            | Self::SyncAccepted
            | Self::SyncsPaused
            | Self::SyncsResumed
            | Self::PauseEnded
            | Self::PersonErased => AuditKind::Change,
        }
    }
}

/// An entry to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAuditEntry {
    pub(crate) action: AuditAction,
    pub(crate) caller: Caller,
    pub(crate) via: &'static str,
    pub(crate) school: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) amount: Option<u64>,
}

impl NewAuditEntry {
    /// An entry about an action by this caller, through an interface: `command line`, `API` or `pages`.
    pub fn new(action: AuditAction, caller: &Caller, via: &'static str) -> Self {
        Self {
            action,
            caller: caller.clone(),
            via,
            school: None,
            subject: None,
            amount: None,
        }
    }

    /// Names the school.
    #[must_use]
    pub fn school(mut self, school: &SchoolId) -> Self {
        self.school = Some(school.to_string());
        self
    }

    /// Names the subject by its id: an event, a person, a group, a version, a key. Never by a person's name.
    #[must_use]
    pub fn subject(mut self, id: impl Into<String>) -> Self {
        self.subject = Some(id.into());
        self
    }

    /// Tells of how many events or people it is.
    #[must_use]
    pub fn amount(mut self, amount: usize) -> Self {
        self.amount = u64::try_from(amount).ok();
        self
    }
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its number: later entries have greater ones. A cursor for the entries before it.
    pub seq: i64,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// `change` or `look`.
    pub kind: String,
    /// What was done.
    pub action: String,
    /// The school, if it is about one.
    pub school: Option<String>,
    /// The id of the event, person, group, version or key, or the name of the user.
    pub subject: Option<String>,
    /// Of how many events or people.
    pub amount: Option<u64>,
    /// The public part of the API key.
    pub key: Option<String>,
    /// The name of the API key, or the system user.
    pub caller: Option<String>,
    /// Through which interface.
    pub via: String,
}

/// A filter for the audit log. The default takes the latest entries.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Entries about one of these schools only; `None` takes all, and those about no school.
    pub schools: Option<Vec<SchoolId>>,
    /// Entries of this caller only, by the key's public part or by name.
    pub by: Option<String>,
    /// From this time on.
    pub since: Option<DateTime<Utc>>,
    /// Entries before this number only.
    pub before: Option<i64>,
    /// The most entries to return.
    pub limit: u32,
}

/// Looks that are not written yet.
#[derive(Debug)]
pub struct AuditLog {
    store: Store,
    unwritten: Mutex<Vec<(i64, NewAuditEntry)>>,
}

impl AuditLog {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            unwritten: Mutex::default(),
        }
    }

    /// Records a look. It is written within a second, and at once if many wait.
    ///
    /// # Errors
    /// Returns an error if too many looks wait and the database does not take them. Then nothing may be shown.
    pub async fn look(&self, entry: NewAuditEntry) -> outbox::Result<()> {
        if self.unwritten().len() >= UNWRITTEN_MAX {
            self.write().await?;
        }
        self.unwritten().push((self.store.now_ms(), entry));
        Ok(())
    }

    /// Records a change that has just been made, before its answer.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn change(&self, entry: NewAuditEntry) -> outbox::Result<()> {
        self.store.record(&[entry]).await
    }

    /// Writes the looks that wait.
    ///
    /// # Errors
    /// Returns an error if the database query fails; the looks go on waiting.
    pub async fn write(&self) -> outbox::Result<()> {
        let entries = std::mem::take(&mut *self.unwritten());
        if entries.is_empty() {
            return Ok(());
        }
        // Also put back if this future is dropped halfway: an entry that was written and stays is better than none.
        let mut left = Unwritten {
            log: self,
            entries: Some(entries),
        };
        let entries = left.entries.as_deref().unwrap_or_default();
        self.store.record_at(entries).await?;
        left.entries = None;
        Ok(())
    }

    fn unwritten(&self) -> std::sync::MutexGuard<'_, Vec<(i64, NewAuditEntry)>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entries that go back to the log unless they were written.
struct Unwritten<'a> {
    log: &'a AuditLog,
    entries: Option<Vec<(i64, NewAuditEntry)>>,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if let Some(mut entries) = self.entries.take() {
            let mut unwritten = self.log.unwritten();
            entries.append(&mut unwritten);
            *unwritten = entries;
        }
    }
}
