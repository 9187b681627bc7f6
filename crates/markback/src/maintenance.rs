//! Maintenance while the service runs: prunes old data and handles notices that other nodes received.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::SchoolId;
use tokio_util::sync::CancellationToken;

use crate::{
    keys::KEPT_AFTER_END,
    metrics,
    service::Markback,
    store::{Notice, NoticeKind, Pruned},
};

/// The time between two checks for notices.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Checks between two prunings: half an hour.
const PRUNE_EVERY: u32 = 120;

/// The time of each notice that this node has handled.
type Heeded = HashMap<(String, NoticeKind, String), DateTime<Utc>>;

impl Markback {
    /// Runs maintenance until told to stop.
    pub(crate) async fn run_maintenance(&self, stop: CancellationToken) {
        let mut heeded = None;
        // Spreads the nodes at random.
        let mut until_prune = rand::random_range(1..=8);
        while !stop.is_cancelled() {
            self.heed_notices(&mut heeded).await;
            if let Err(error) = self.store().publish_ended_pauses().await {
                tracing::warn!(%error, "the feed could not be told of ended pauses; retrying");
            }
            if let Some(metrics) = self.metrics() {
                metrics.upkeep();
            }
            until_prune -= 1;
            if until_prune == 0 {
                until_prune = PRUNE_EVERY;
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = self.prune() => {}
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Removes data that is past its retention.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn prune(&self) -> outbox::Result<Pruned> {
        let settings = self.settings();
        let service = &settings.service;
        let mut pruned = self
            .store()
            .prune(service.retention, service.retention_undecided)
            .await;
        match self.mirror().prune().await {
            Ok(register) => {
                if let Ok(pruned) = &mut pruned {
                    pruned.register = register;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "marks of past days could not be removed; retrying");
            }
        }
        if let Err(error) = self.feed().prune(service.feed.keep).await {
            tracing::warn!(%error, "old entries of the feed could not be removed; retrying");
        }
        if let Err(error) = self.sync().forget_strangers().await {
            tracing::warn!(%error, "schools that are no longer in the settings could not be removed; retrying");
        }
        let sessions = self.store().prune_sessions(service.pages.limits()).await;
        match sessions {
            Ok(sessions) => {
                if let Ok(pruned) = &mut pruned {
                    pruned.other += sessions;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "ended sessions of users could not be removed; retrying");
            }
        }
        let keys_before = TimeDelta::from_std(KEPT_AFTER_END).map(|kept| self.store().now() - kept);
        if let Ok(before) = keys_before
            && let Err(error) = self.store().prune_keys(before).await
        {
            tracing::warn!(%error, "keys that ended long ago could not be removed; retrying");
        }
        match self.store().prune_audit_log(service.retention_audit).await {
            Ok(audit_log) => {
                if let Ok(pruned) = &mut pruned {
                    pruned.audit_log = audit_log;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "old entries of the audit log could not be removed; retrying");
            }
        }
        match &pruned {
            Ok(pruned) => {
                metrics::pruned(pruned);
                if *pruned != Pruned::default() {
                    tracing::info!(
                        events = pruned.events,
                        audit = pruned.audit,
                        audit_log = pruned.audit_log,
                        ledger = pruned.ledger,
                        jobs = pruned.jobs,
                        register = pruned.register,
                        "removed data past its retention"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(%error, "old data could not be removed; retrying")
            }
        }
        pruned
    }

    /// A webhook reaches only one node, but concerns the school's connection on all of them.
    async fn heed_notices(&self, heeded: &mut Option<Heeded>) {
        let notices = match self.store().notices().await {
            Ok(notices) => notices,
            Err(error) => {
                tracing::warn!(%error, "the notices could not be read; retrying");
                return;
            }
        };
        let told: Heeded = notices
            .iter()
            .map(|notice| (key(notice), notice.last_at))
            .collect();
        // Notices from before this node's start need no handling: it asks Wonde anyway.
        if let Some(before) = heeded {
            for notice in &notices {
                if before.get(&key(notice)) != Some(&notice.last_at) {
                    self.schools()
                        .forget(&SchoolId::from(notice.school.as_str()));
                }
            }
        }
        *heeded = Some(told);
    }
}

fn key(notice: &Notice) -> (String, NoticeKind, String) {
    (notice.school.clone(), notice.kind, notice.subject.clone())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wonde_sandbox::{Sandbox, SandboxOptions};

    use super::*;
    use crate::{service::Options, settings};

    #[tokio::test]
    async fn what_another_node_was_told_is_heeded_here() {
        let sandbox = Sandbox::start(SandboxOptions {
            schools: 1,
            ..SandboxOptions::default()
        })
        .await
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), sandbox.token()).unwrap();
        let school = sandbox.schools().remove(0).id;
        let toml = format!(
            "store = 'sqlite::memory:'\nwonde_url = '{}'\nrate_per_minute = 60000\n\
             [[school]]\nid = '{school}'\ntimezone = 'Europe/London'\ntoken_file = '{}'\n",
            sandbox.base_url(),
            folder.path().join("token").display(),
        );
        let settings = settings::from_text(Path::new("markback.toml"), &toml)
            .unwrap()
            .settings;
        let markback = Markback::open(settings, Options::default()).await.unwrap();
        let settings = markback.settings();
        let known = &settings.schools[0];
        let adapter = async || {
            let mis = markback.schools().mis(known).await.unwrap();
            mis.descriptor().id
        };
        let mut heeded = None;
        markback.heed_notices(&mut heeded).await;
        assert_eq!(adapter().await, "sims");
        sandbox.migrate(&school, "Bromcom").unwrap();
        // A connection is trusted for an hour.
        markback.heed_notices(&mut heeded).await;
        assert_eq!(adapter().await, "sims");
        markback
            .store()
            .note(
                &known.id,
                NoticeKind::Migration,
                "SIMS to Bromcom",
                "",
                true,
            )
            .await
            .unwrap();
        markback.heed_notices(&mut heeded).await;
        assert_eq!(adapter().await, "bromcom");
    }
}
