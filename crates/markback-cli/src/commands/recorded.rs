//! What the commands record in the audit log.

use anyhow::Context as _;
use markback::{
    audit_log::{AuditAction, Caller, NewAuditEntry},
    operator::Actor,
    settings::Settings,
    store::Store,
};

use super::{
    events,
    open_store::{Access, open_store},
};

/// The interface in the audit log and in histories.
const VIA: &str = "command line";

/// This system user.
pub(super) fn caller() -> Caller {
    Caller::user(events::user())
}

/// This system user as the author of a change, by the name that they give, and with their reason.
pub(super) fn actor(by: Option<&String>, note: Option<&String>) -> Actor {
    Actor {
        by: by.cloned().or_else(events::user),
        via: VIA,
        note: note.cloned(),
        caller: caller(),
    }
}

/// An entry about what this system user does.
pub(super) fn entry(action: AuditAction) -> NewAuditEntry {
    NewAuditEntry::new(action, &caller(), VIA)
}

/// Opens the database for a command that shows people's data, and so records that it does.
pub(super) async fn open_to_look(settings: &Settings) -> anyhow::Result<Store> {
    let opened = open_store(settings, Access::Write).await;
    opened.context(
        "this command records in the audit log whose data it shows, so it must be allowed to write to the database",
    )
}
