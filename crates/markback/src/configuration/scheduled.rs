//! Versions that are to rule from a day on.
//!
//! While one waits, nothing else of the school begins to rule: whoever scheduled it has seen what rules until then, and
//! whoever wants something else cancels it first.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ChangeError, Configuration, Conflict, Written, noted, write::Change};
use crate::{
    audit_log::AuditAction,
    day,
    operator::Actor,
    settings::{LoadError, Problem, School, Settings, school_from_text},
    store::{Scope, SettingsKey, Store, StoredSchedule},
};

/// Through what a version begins to rule when its day has begun.
const VIA: &str = "schedule";

/// A version of a school's settings that is to rule from a day on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "ScheduledSettings")]
pub struct Scheduled {
    /// The version's number.
    pub number: u32,
    /// The day, at the school. It begins to rule at its start.
    pub from: NaiveDate,
    /// When that day begins.
    pub starts_at: DateTime<Utc>,
    /// Who decided that, if known.
    pub by: Option<String>,
    /// Why, in their words.
    pub note: Option<String>,
    /// When they did.
    pub at: Option<DateTime<Utc>>,
    /// What keeps it from ruling, as things are now. It begins to rule on its day, or later as soon as there are none.
    pub problems: Vec<Problem>,
    /// Why it did not begin to rule although its day has begun.
    pub not_begun: Option<String>,
}

impl Scheduled {
    /// Whether something keeps it from ruling.
    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty() || self.not_begun.is_some()
    }

    /// It in a sentence, with the first problem if it has any: `version 5 is to rule from 2027-01-05 on`.
    pub fn in_a_sentence(&self) -> String {
        let Self { number, from, .. } = self;
        let problem = self.problems.first().map(ToString::to_string);
        match problem.or_else(|| self.not_begun.clone()) {
            None => format!("version {number} is to rule from {from} on"),
            Some(problem) => {
                format!("version {number} is to rule from {from} on and cannot: {problem}")
            }
        }
    }
}

impl Configuration {
    /// Schedules the newest version of a school for the start of a day at the school, in place of another that waits.
    /// `number` must be the newest, if given.
    ///
    /// # Errors
    /// Returns an error with all problems if it has any, or one if the day has begun already; then nothing changes. A
    /// template cannot wait for a day.
    pub async fn activate_from(
        &mut self,
        key: &SettingsKey,
        number: Option<u32>,
        from: NaiveDate,
        actor: &Actor,
    ) -> Result<Written, ChangeError> {
        self.not_in_file(key)?;
        if key.scope == Scope::Template {
            return Err(ChangeError::TemplateFromDay { key: key.clone() });
        }
        let newest = self.newest_if(key, number).await?;
        self.may_activate(&newest, actor)?;
        let mut tx = self.store.database().begin().await?;
        self.store.hold_settings_generation(&mut tx).await?;
        let (layers, _) = self.caught_up(&mut tx, false).await?;
        if let Some(theirs) = self.store.newest_settings(&mut tx, key).await?
            && theirs.number != newest.number
        {
            return Err(Conflict::new(None, newest.number, theirs).into());
        }
        if layers.rules(key) == Some(newest.number) {
            return Err(ChangeError::RulesAlready {
                key: key.clone(),
                number: newest.number,
            });
        }
        let name = format!("{key}, version {}", newest.number);
        let settings = layers.settings();
        let id = key.name.as_str().into();
        let (school, hints) = school_from_text(&settings, &id, &name, &newest.body)?;
        let starts = self.start_of(key, &school, from)?;
        self.store
            .schedule_settings(&mut tx, key, newest.number, (from, starts), actor)
            .await?;
        let entry = actor
            .entry(AuditAction::SettingsScheduled)
            .school(&id)
            .subject(format!("version {} from {from}", newest.number));
        self.store.record_in(&mut tx, &[entry]).await?;
        tx.commit().await?;
        self.layers = layers;
        Ok(Written {
            key: key.clone(),
            number: newest.number,
            active: false,
            from: Some(from),
            problems: Vec::new(),
            hints,
        })
    }

    /// When a later day begins at the school.
    fn start_of(
        &self,
        key: &SettingsKey,
        school: &School,
        from: NaiveDate,
    ) -> Result<DateTime<Utc>, ChangeError> {
        let now = self.store.now();
        let today = now.with_timezone(&school.timezone).date_naive();
        let (starts, _) = day::bounds(from, school.timezone);
        if from <= today {
            return Err(ChangeError::PastDay {
                key: key.clone(),
                from,
                today,
            });
        }
        Ok(starts)
    }

    /// Cancels the activation from a day on. The version stays as a draft. `number` must be it, if given.
    ///
    /// # Errors
    /// Returns an error if no version waits for a day, or another one than `number`.
    pub async fn cancel_scheduled(
        &mut self,
        key: &SettingsKey,
        number: Option<u32>,
        actor: &Actor,
    ) -> Result<Written, ChangeError> {
        self.not_in_file(key)?;
        let mut tx = self.store.database().begin().await?;
        self.store.hold_settings_generation(&mut tx).await?;
        let waiting = self.store.settings_schedules_in(&mut tx).await?;
        let waits = waiting
            .into_iter()
            .find(|one| one.key == *key && number.is_none_or(|number| number == one.number));
        let Some(waits) = waits else {
            return Err(ChangeError::NotScheduled { key: key.clone() });
        };
        self.store.end_settings_schedule(&mut tx, key).await?;
        let entry = actor
            .entry(AuditAction::SettingsScheduleCancelled)
            .school(&key.name.as_str().into())
            .subject(format!("version {} from {}", waits.number, waits.day));
        self.store.record_in(&mut tx, &[entry]).await?;
        tx.commit().await?;
        Ok(Written {
            key: key.clone(),
            number: waits.number,
            active: false,
            from: None,
            problems: Vec::new(),
            hints: Vec::new(),
        })
    }

    /// The version of a school that is to rule from a day on, with what keeps it from ruling as things are now.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
    pub async fn scheduled(&self, key: &SettingsKey) -> outbox::Result<Option<Scheduled>> {
        scheduled(&self.store, &self.settings(), key).await
    }

    /// All of them, each with its school, by the day.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
    pub async fn all_scheduled(&self) -> outbox::Result<Vec<(SettingsKey, Scheduled)>> {
        let settings = self.settings();
        let mut all = Vec::new();
        for waits in self.store.settings_schedules().await? {
            let key = waits.key.clone();
            all.push((key, as_things_are(&self.store, &settings, waits).await?));
        }
        Ok(all)
    }

    /// Activates versions whose day has begun. One that has problems is not activated but reported, and is tried again after the
    /// next change of settings. `generation` was read before `due`: whatever has changed since may be the cure.
    pub(crate) async fn begin_due(
        &mut self,
        due: Vec<StoredSchedule>,
        generation: i64,
    ) -> outbox::Result<()> {
        for waits in due {
            match self.begin(&waits).await {
                Ok(written) => tracing::info!(
                    settings = %written.key,
                    version = written.number,
                    from = %waits.day,
                    "the day of a version has begun, and it rules"
                ),
                // Another node was faster, or it was cancelled.
                Err(ChangeError::NotScheduled { .. }) => {}
                Err(ChangeError::Store(error)) => return Err(error),
                Err(error) => {
                    let problem = error.to_string();
                    let store = &self.store;
                    if store
                        .settings_not_begun(&waits, &problem, generation)
                        .await?
                    {
                        tracing::error!(
                            settings = %waits.key,
                            version = waits.number,
                            from = %waits.day,
                            %problem,
                            "a version was to rule from a day on and cannot; earlier settings rule"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    async fn begin(&mut self, waits: &StoredSchedule) -> Result<Written, ChangeError> {
        let version = self.version(&waits.key, Some(waits.number)).await?;
        let change = Change {
            is_due: true,
            ..Change::rule(&waits.key, waits.number, version.body)
        };
        let actor = Actor {
            by: waits.by.clone(),
            via: VIA,
            note: waits.note.clone(),
            ..Actor::default()
        };
        let actor = noted(&actor, &format!("from {}", waits.day));
        self.write_one(change, &actor).await
    }
}

/// The version of a school that is to rule from a day on, with what keeps it from ruling by these settings.
pub(crate) async fn scheduled(
    store: &Store,
    settings: &Settings,
    key: &SettingsKey,
) -> outbox::Result<Option<Scheduled>> {
    match store.settings_schedule(key).await? {
        Some(waits) => as_things_are(store, settings, waits).await.map(Some),
        None => Ok(None),
    }
}

async fn as_things_are(
    store: &Store,
    settings: &Settings,
    waits: StoredSchedule,
) -> outbox::Result<Scheduled> {
    let version = store.settings_version(&waits.key, waits.number).await?;
    let name = format!("{}, version {}", waits.key, waits.number);
    let text = version.map(|version| version.body).unwrap_or_default();
    let id = waits.key.name.as_str().into();
    let problems = match school_from_text(settings, &id, &name, &text) {
        Err(LoadError::Problems { problems, .. }) => problems,
        Ok(_) | Err(LoadError::Read { .. }) => Vec::new(),
    };
    Ok(Scheduled {
        number: waits.number,
        from: waits.day,
        starts_at: waits.from,
        by: waits.by,
        note: waits.note,
        at: waits.at,
        problems,
        not_begun: waits.problem,
    })
}
