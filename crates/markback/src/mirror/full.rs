//! Full readings of a school's registers, slice by slice: the first, and one every night.

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{Ability, Mis, RegisterQuery};

use super::{Mirror, OVERLAP, SLICE, Unread};
use crate::{
    settings::School,
    store::{Before, FullReading, Progress, RegisterReading},
    sync::Rhythm,
};

/// How far two slices overlap, because it is not known whether the bounds of a query are inclusive.
const EDGE: TimeDelta = TimeDelta::minutes(1);
/// How long a nightly reading may run before it waits for the next night, to leave the requests to the morning.
const NIGHT: TimeDelta = TimeDelta::hours(4);

/// Why a full reading is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Something is not known yet.
    First,
    /// The nightly check for removed marks.
    Nightly,
}

impl Mirror {
    /// Whether a full reading is due now, as far as can be told without asking for the school's MIS.
    pub(super) fn why(&self, school: &School, reading: Option<&RegisterReading>) -> Option<Why> {
        let Some(reading) = reading.filter(|reading| self.is_known(reading, &reading.source))
        else {
            return Some(Why::First);
        };
        let (now, night) = (self.store.now(), self.night(school));
        let due = reading.full_at.is_none_or(|full| full < night) && now < night + NIGHT;
        due.then_some(Why::Nightly)
    }

    /// When the last nightly reading was due.
    pub(super) fn night(&self, school: &School) -> DateTime<Utc> {
        Rhythm::of(&self.settings.current().service.sync, school).last_night(self.store.now())
    }

    /// Reads all of a school's registers if due, continuing where an earlier reading was interrupted.
    pub(super) async fn read_all(&self, school: &School) -> Result<(), Unread> {
        let mis = self.schools.mis(school).await?;
        if mis.capabilities().has(Ability::Session) {
            self.read_all_through(school, &mis).await?;
        }
        Ok(())
    }

    pub(super) async fn read_all_through(&self, school: &School, mis: &Mis) -> Result<(), Unread> {
        while let Some(full) = self.begun(school, mis.descriptor().id).await? {
            if self.read_slice(school, mis, full).await? {
                tracing::info!(school = %school.id, "all registers have been read");
                break;
            }
        }
        Ok(())
    }

    /// The full reading to continue, or a new one; `None` if none is due.
    async fn begun(&self, school: &School, source: &str) -> outbox::Result<Option<FullReading>> {
        let reading = self.store.register_reading(&school.id).await?;
        let foreign = reading
            .as_ref()
            .is_some_and(|reading| reading.source != source);
        let why = if foreign {
            Some(Why::First)
        } else {
            self.why(school, reading.as_ref())
        };
        let Some(why) = why else { return Ok(None) };
        let now = self.store.now();
        let goes_on = |full: &FullReading| {
            !foreign && (TimeDelta::zero()..self.lookback()).contains(&(now - full.began_at))
        };
        if let Some(full) = reading
            .and_then(|reading| reading.under_way)
            .filter(goes_on)
        {
            return Ok(Some(full));
        }
        let before = match why {
            _ if foreign => Before::Foreign,
            Why::First => Before::Doubtful,
            Why::Nightly => Before::Known,
        };
        let from = now - self.lookback();
        let full = self.store.begin_register(&school.id, source, from, before);
        Ok(Some(full.await?))
    }

    /// Reads the next slice. Returns whether it was the last.
    async fn read_slice(
        &self,
        school: &School,
        mis: &Mis,
        full: FullReading,
    ) -> Result<bool, Unread> {
        let now = self.store.now();
        // The last slice has no end, so it includes what changed while the others were read.
        let until = Some(full.upto + SLICE).filter(|until| *until < full.began_at - OVERLAP);
        let query = RegisterQuery {
            updated_after: Some(full.upto - EDGE),
            updated_before: until,
        };
        let progress = Progress {
            generation: Some(full.generation),
            upto: until,
            read_at: until.is_none().then_some(now),
            ended: until.is_none(),
            ..Progress::default()
        };
        Ok(self.read(school, mis, query, progress).await? && until.is_none())
    }
}
