//! The roster in the database: people, groups, changes and syncs of each school.
//!
//! A sync reads a school's whole state and writes the differences in one transaction.

mod feed;
mod ids;
mod pauses;
mod people;
mod syncs;

use outbox::{MigrationStep, Migrations};

pub use feed::{Changes, GroupChange, GroupPage, GroupsRead, Horizon, MemberJson};
#[cfg(test)]
pub(super) use ids::OWNERS;
pub(super) use ids::OwnerRow;
pub(crate) use people::Kept;
#[cfg(test)]
pub(super) use people::VERSIONS;
pub(super) use people::VersionRow;
#[cfg(test)]
pub(super) use syncs::LAST_OF_SCHOOL;
pub(crate) use syncs::{NewSync, SyncEnd, SyncTimes};
pub use syncs::{SyncRecord, SyncState, SyncWhy};

const TABLES: &str = include_str!("../../../migrations/roster/0001_roster.sql");
const IDS_BY_KIND: &str = include_str!("../../../migrations/roster/0002_ids_by_kind.sql");
const LAST_SYNCS: &str = include_str!("../../../migrations/roster/0003_last_syncs.sql");

/// The roster's tables, in SQL that both databases accept.
pub(super) const MIGRATIONS: Migrations = Migrations {
    prefix: "markback_roster",
    steps: &[
        MigrationStep {
            version: 1,
            name: "people, groups, syncs",
            sqlite: TABLES,
            postgres: TABLES,
        },
        MigrationStep {
            version: 2,
            name: "ids by kind, pauses of syncs",
            sqlite: IDS_BY_KIND,
            postgres: IDS_BY_KIND,
        },
        MigrationStep {
            version: 3,
            name: "an index for the last syncs",
            sqlite: LAST_SYNCS,
            postgres: LAST_SYNCS,
        },
    ],
};

/// The name of a kind of people in tables and JSON.
fn kind_word(kind: roster::PersonKind) -> &'static str {
    match kind {
        roster::PersonKind::Student => "student",
        roster::PersonKind::Staff => "staff",
        roster::PersonKind::Parent => "parent",
    }
}

fn kind_of(word: &str) -> Option<roster::PersonKind> {
    use roster::PersonKind::{Parent, Staff, Student};
    [Student, Staff, Parent]
        .into_iter()
        .find(|kind| kind_word(*kind) == word)
}

/// A stored value that this program cannot have written.
pub(super) fn corrupt(what: &'static str) -> impl Fn(serde_json::Error) -> outbox::Error {
    move |_| {
        outbox::Error::invalid(format!(
            "{what} in the store cannot be read; was it written by another version?"
        ))
    }
}
