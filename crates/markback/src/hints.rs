//! What Wonde's webhooks tell of writebacks: a hint when to ask, never an outcome.

use std::time::Duration;

use mis_wonde::wonde::WritebackStatus;

use crate::{
    pipeline::{Told, jobs},
    queues,
    service::Markback,
};

/// What follows from a webhook about a writeback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// No writeback with this id is known.
    Unknown,
    /// Everything about it is settled, or Wonde is asked about it no later anyway.
    NothingWaits,
    /// Wonde is asked about it now.
    AskedNow,
    /// It is said to be done: Wonde is asked about it together with others.
    AskedSoon,
}

impl Hint {
    /// The answer to the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "this writeback is not known here",
            Self::NothingWaits => "nothing waits for this writeback for longer than planned",
            Self::AskedNow => "Wonde is asked about it now",
            Self::AskedSoon => "Wonde is asked about it soon, together with others",
        }
    }
}

impl Markback {
    /// Asks Wonde about a writeback earlier than planned, because a webhook tells of it with this status. The school helps
    /// to find a writeback that was not recorded.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn hear_of_writeback(
        &self,
        id: &str,
        school: Option<String>,
        status: Option<&str>,
    ) -> outbox::Result<Hint> {
        let keys = self.store().jobs_of_writeback(id, school).await?;
        let is_done = status
            .is_some_and(|word| matches!(WritebackStatus::from_word(word), WritebackStatus::Done));
        if keys.is_empty() {
            if is_done {
                self.workers.told_early(id);
            }
            return Ok(Hint::Unknown);
        }
        let mut tx = self.store().database().begin().await?;
        let mut hint = Hint::NothingWaits;
        for key in &keys {
            let school = key.split_once('/').map_or("", |(school, _)| school);
            // A school that is not in the settings has nothing to be remembered for.
            let told = match self.settings().school(&school.into()) {
                Some(_) => self.workers.told(school, id, is_done),
                None => Told::default(),
            };
            let others: Vec<_> = told.others.iter().map(|id| jobs::key(school, id)).collect();
            let mut asked: Vec<&str> = others.iter().map(String::as_str).collect();
            asked.push(key);
            let hastened = self
                .outbox()
                .run_within(&mut tx, queues::CONFIRM, &asked, told.wait)
                .await?;
            if !hastened.is_empty() {
                hint = match told.wait {
                    Duration::ZERO => Hint::AskedNow,
                    _ => Hint::AskedSoon,
                };
            }
        }
        tx.commit().await?;
        Ok(hint)
    }
}
