//! The adapters, and what of an adapter is in force at a school: declared, granted and effective.

use chrono::{DateTime, Utc};
use mis_core::{Ability, Capabilities, Descriptor, Registry, Result};
use mis_wonde::Grants;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{schools::Schools, settings::School, store::Store};

/// An adapter and what it declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AdapterInfo {
    /// Its id.
    pub id: &'static str,
    /// The name people know the MIS by.
    pub name: &'static str,
    /// What the MIS can keep at a school that grants everything.
    pub capabilities: Capabilities,
    /// What a person should know before relying on it.
    pub notes: &'static str,
    /// Where the claims come from.
    pub source: &'static str,
    /// When that was looked up, as `YYYY-MM-DD`.
    pub source_date: &'static str,
}

impl From<&Descriptor> for AdapterInfo {
    fn from(adapter: &Descriptor) -> Self {
        Self {
            id: adapter.id,
            name: adapter.name,
            capabilities: adapter.capabilities,
            notes: adapter.notes,
            source: adapter.source.what,
            source_date: adapter.source.date,
        }
    }
}

/// The adapter of a school, and what of it is in force there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SchoolAdapter {
    /// The adapter with what it declares.
    pub adapter: AdapterInfo,
    /// Of that, what the school grants.
    pub granted: Capabilities,
    /// Of that, what is used: without what the settings switch off, and what the MIS has rejected lately.
    pub effective: Capabilities,
    /// The school's permissions at Wonde; absent if its MIS is not reached through Wonde.
    pub grants: Option<GrantsInfo>,
    /// The abilities that are not in force, each with the reason.
    pub missing: Vec<Missing>,
    /// When the MIS was asked.
    pub as_of: DateTime<Utc>,
}

/// A school's permissions as Wonde reports them. Only a clear "no" takes anything away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct GrantsInfo {
    /// Whether the school has approved the application; `null` if Wonde does not report it.
    pub approved: Option<bool>,
    /// Whether Wonde can write into the school's MIS; `null` if Wonde does not report it.
    pub allows_writeback: Option<bool>,
    /// Whether the school allows writing attendance; `null` if Wonde does not report it.
    pub attendance_write: Option<bool>,
    /// Whether Wonde reaches the MIS now; `null` if Wonde does not report it. Writes wait for it.
    pub online: Option<bool>,
}

impl From<Grants> for GrantsInfo {
    fn from(grants: Grants) -> Self {
        Self {
            approved: grants.approved,
            allows_writeback: grants.allows_writeback,
            attendance_write: grants.attendance_write,
            online: grants.online,
        }
    }
}

/// An ability that is not in force at a school.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Missing {
    /// The ability.
    pub ability: Ability,
    /// Why it is not in force.
    pub why: &'static str,
}

/// All adapters, sorted by id.
pub fn list(registry: &Registry) -> Vec<AdapterInfo> {
    registry.iter().map(AdapterInfo::from).collect()
}

impl Schools {
    /// The school's adapter, and what of it is in force. The MIS is asked unless that was done within the last hour.
    ///
    /// # Errors
    /// Returns an error if the MIS cannot be asked. The outer error is the database's.
    pub async fn adapter_of(
        &self,
        store: &Store,
        school: &School,
    ) -> outbox::Result<Result<SchoolAdapter>> {
        let opened = match self.opened(school).await {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        let adapter = opened.mis.descriptor();
        let declared = adapter.capabilities;
        let granted = opened
            .grants()
            .map_or(declared, |grants| grants.narrow(declared));
        let effective = store.limited_capabilities(&school.id, &opened.mis).await?;
        let not_in_force = Ability::ALL.into_iter().filter(|one| !effective.has(*one));
        let missing = not_in_force.map(|ability| Missing {
            ability,
            why: why_not(school, ability, declared, granted, opened.grants()),
        });
        Ok(Ok(SchoolAdapter {
            adapter: adapter.into(),
            granted,
            effective,
            grants: opened.grants().map(GrantsInfo::from),
            missing: missing.collect(),
            as_of: opened.since,
        }))
    }
}

fn why_not(
    school: &School,
    ability: Ability,
    declared: Capabilities,
    granted: Capabilities,
    grants: Option<Grants>,
) -> &'static str {
    if !declared.has(ability) {
        return "the MIS does not keep it, as far as is known";
    }
    if !granted.has(ability) {
        let grants = grants.unwrap_or_default();
        return if grants.approved == Some(false) {
            "the school has not approved the application at Wonde"
        } else if grants.allows_writeback == Some(false) {
            "Wonde cannot write into this school's MIS"
        } else {
            "the school has not granted writing attendance at Wonde"
        };
    }
    let switched_off =
        |off: &Ability| *off == ability || *off == Ability::Session && ability != Ability::Roster;
    if school.without.iter().any(switched_off) {
        return "the school's settings switch it off with `without`";
    }
    "the MIS rejected marks with it lately; it is tried again after a while"
}
