//! Entries, and what a reader asks for.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::Cursor;
use crate::store::{EventState, NoticeKind, SyncState};

/// What an entry tells of.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum FeedKind {
    /// An event reached a state that hosts follow.
    Event,
    /// A sync changed a group.
    Group,
    /// A sync ended.
    Sync,
    /// Something that an operator should know.
    Notice,
}

impl FeedKind {
    /// All kinds.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An entry. It holds ids, codes and times, but no name and no comment. Exactly one of the last four parts is there: the one
/// that `kind` names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FeedEntry {
    /// Its place. Ask for the entries after it next.
    pub cursor: Cursor,
    /// The school's id; left out if the entry concerns no school or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub school: Option<String>,
    /// What it tells of.
    pub kind: FeedKind,
    /// When that was, in UTC.
    pub at: DateTime<Utc>,
    /// What became of an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventNews>,
    /// How a group changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupNews>,
    /// How a sync ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncNews>,
    /// A notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<NoticeNews>,
}

/// An event in a state that hosts follow. The event itself, with texts and steps, is read by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct EventNews {
    /// The event's id.
    pub id: String,
    /// The person as the event names them.
    pub person: String,
    /// The pupil's id at Wonde, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student: Option<String>,
    /// The state: `held`, `accepted`, `confirmed`, `rejected`, `unconfirmed`, `skipped`, `superseded`, `failed`,
    /// `discarded` or `withdrawn`.
    pub state: EventState,
    /// The mark's attendance code, if the last decision was to write one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The school day as `YYYY-MM-DD`, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// `AM` or `PM`, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Why nothing is written, for `skipped`: a word such as `later_event_stands`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A group that a sync has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct GroupNews {
    /// The group's name.
    pub name: String,
    /// How many people joined.
    pub joined: u64,
    /// How many have other properties than before.
    pub changed: u64,
    /// How many left.
    pub left: u64,
    /// The cursor of the group's changes after this sync; see `GET …/groups/{group}/changes`.
    pub cursor: String,
}

/// A sync that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SyncNews {
    /// The sync's id.
    pub id: String,
    /// `done`, `held` or `failed`.
    pub state: SyncState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct NoticeNews {
    /// What happened.
    pub what: NoticeWhat,
    /// The same as a sentence, with what to do.
    pub text: String,
}

/// What a notice tells of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum NoticeWhat {
    /// A school approved the application.
    Approved,
    /// A school revoked its approval.
    Revoked,
    /// A school declined.
    Declined,
    /// A school changes its MIS.
    Migration,
    /// A school or a token rests after an error.
    Paused,
    /// It rests no longer.
    Resumed,
    /// A version of settings rules from now on.
    SettingsActivated,
    /// A version of settings was to rule from a day on, and has problems.
    SettingsNotActivated,
    /// An endpoint for webhooks gets nothing any more.
    EndpointDead,
}

impl From<NoticeKind> for NoticeWhat {
    fn from(kind: NoticeKind) -> Self {
        match kind {
            NoticeKind::Approved => Self::Approved,
            NoticeKind::Revoked => Self::Revoked,
            NoticeKind::Declined => Self::Declined,
            NoticeKind::Migration => Self::Migration,
        }
    }
}

/// Which entries a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedFilter {
    /// Entries of these schools only; `None` takes all, also those that concern no single school.
    pub schools: Option<Vec<String>>,
    /// Entries of these kinds only; empty takes all.
    pub kinds: Vec<FeedKind>,
}

impl FeedFilter {
    pub(crate) fn takes_all(&self) -> bool {
        self.schools.is_none() && self.kinds.is_empty()
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = FeedKind> {
        let all = match self.kinds.as_slice() {
            [] => FeedKind::ALL,
            kinds => kinds,
        };
        all.iter().copied()
    }

    /// Whether the reader wants this entry.
    pub fn takes(&self, entry: &FeedEntry) -> bool {
        let takes_school = match (&self.schools, &entry.school) {
            (None, _) => true,
            (Some(schools), Some(school)) => schools.contains(school),
            (Some(_), None) => false,
        };
        takes_school && (self.kinds.is_empty() || self.kinds.contains(&entry.kind))
    }
}

/// What a reader asks for.
#[derive(Clone, Debug, Default)]
pub struct FeedQuery {
    /// Entries after this place; `None` begins with the oldest that is kept.
    pub after: Option<Cursor>,
    /// No entries, but the place at the feed's present end; `after` does not count then.
    pub latest: bool,
    /// Which entries.
    pub filter: FeedFilter,
    /// The most entries, from 1 to [`PAGE_MAX`](super::PAGE_MAX).
    pub limit: u32,
}

/// Entries in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct FeedPage {
    /// The entries.
    pub entries: Vec<FeedEntry>,
    /// The place to ask from next, also if there are no entries.
    pub cursor: Cursor,
    /// Whether there may be more at once.
    pub more: bool,
}

/// The requested entries, or that some of them are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedRead {
    /// The entries.
    Page(FeedPage),
    /// Entries after this cursor are not kept any more, or the database is an older one than the cursor's. Read what is
    /// needed as a whole, and follow the feed from its end.
    Resync,
}

impl FeedEntry {
    /// What it tells of as one word, the `type` of a webhook: `event.confirmed`, `group.changed`, `sync.done`,
    /// `notice.paused` and so on.
    pub fn topic(&self) -> String {
        let word = if let Some(event) = &self.event {
            event.state.as_str()
        } else if let Some(sync) = &self.sync {
            sync.state.as_str()
        } else if let Some(notice) = &self.notice {
            notice.what.into()
        } else {
            "changed"
        };
        format!("{}.{word}", self.kind.as_str())
    }

    /// An entry from its row.
    pub(crate) fn read(
        cursor: Cursor,
        school: String,
        kind: FeedKind,
        at_ms: i64,
        body: &str,
    ) -> serde_json::Result<Self> {
        let mut entry = Self {
            cursor,
            school: Some(school).filter(|school| !school.is_empty()),
            kind,
            at: DateTime::from_timestamp_millis(at_ms).unwrap_or_default(),
            event: None,
            group: None,
            sync: None,
            notice: None,
        };
        match kind {
            FeedKind::Event => entry.event = Some(serde_json::from_str(body)?),
            FeedKind::Group => entry.group = Some(serde_json::from_str(body)?),
            FeedKind::Sync => entry.sync = Some(serde_json::from_str(body)?),
            FeedKind::Notice => entry.notice = Some(serde_json::from_str(body)?),
        }
        Ok(entry)
    }
}
