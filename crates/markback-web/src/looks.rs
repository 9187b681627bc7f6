//! Looks at people, recorded in the audit log before anything is shown.
//!
//! A page freshens itself while somebody has it open. So that the log stays readable, the same look by the same person is
//! recorded once a minute.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use lru::LruCache;
use markback::{audit_log::AuditAction, service::Markback};
use mis_core::SchoolId;

use crate::{
    error::{ErrorKind, PageError},
    visitor::Visitor,
};

/// The time for which a look covers further ones.
const COVERS: TimeDelta = TimeDelta::seconds(60);
/// How many looks are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);

/// The looks of the last minute. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Looks(Arc<Mutex<LruCache<Look, DateTime<Utc>>>>);

/// Who looked at what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Look {
    user: String,
    action: AuditAction,
    school: SchoolId,
    subject: Option<String>,
}

impl Default for Looks {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(REMEMBERED))))
    }
}

impl Looks {
    /// Records a look at so many events or people of a school, or at what is kept about one person.
    ///
    /// # Errors
    /// Returns an error page if it cannot be recorded: then nothing may be shown.
    pub(crate) async fn record(
        &self,
        markback: &Markback,
        visitor: &Visitor,
        school: &SchoolId,
        (action, subject, amount): (AuditAction, Option<&str>, usize),
    ) -> Result<(), PageError> {
        let look = Look {
            user: visitor.user.clone(),
            action,
            school: school.clone(),
            subject: subject.map(str::to_owned),
        };
        let now = markback.clock().now();
        if self.covers(&look, now) {
            return Ok(());
        }
        let mut entry = visitor.entry(action).school(school).amount(amount);
        if let Some(subject) = subject {
            entry = entry.subject(subject);
        }
        markback.audit_log().look(entry).await.map_err(|error| {
            tracing::error!(%error, "looks cannot be written into the audit log, so nothing is shown");
            PageError::new(ErrorKind::Unavailable)
        })?;
        let looks = self.0.lock();
        looks.unwrap_or_else(PoisonError::into_inner).put(look, now);
        Ok(())
    }

    fn covers(&self, look: &Look, now: DateTime<Utc>) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(look).is_some_and(|at| now - *at < COVERS)
    }
}
