//! What deciding for a school needs, gathered once for a batch: the code book, the registers, our own record.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, NaiveDate, Utc};
use mis_core::{
    Capabilities, CodeBook, Error, ErrorKind, Quirks, Recovery, Register, wonde::StudentId,
};
use writeback::{Decision, Event, RegisterView, Standing, View, decide};

use super::{Pipeline, job::SendJob, view::view_of};
use crate::{
    settings::{Group, School},
    store::{LedgerKey, LedgerRow},
};

/// What deciding an event of this school needs, gathered once for the batch.
pub(super) struct Scene<'a> {
    pub(super) school: &'a School,
    pub(super) capabilities: Capabilities,
    pub(super) quirks: Quirks,
    pub(super) codes: Arc<CodeBook>,
    pub(super) registers: HashMap<NaiveDate, Result<Arc<Register>, String>>,
    /// Why a register could not be read, if one could not.
    pub(super) unread: Option<Error>,
    pub(super) ledger: HashMap<LedgerKey, LedgerRow>,
}

impl Pipeline {
    /// Gathers what deciding needs: the outer error is the store's, the inner one the school's. Our own record is read
    /// last, so that nothing we write meanwhile is missed.
    pub(super) async fn scene<'a>(
        &self,
        school: &'a School,
        keys: Vec<LedgerKey>,
        at_least: Option<DateTime<Utc>>,
    ) -> outbox::Result<mis_core::Result<Scene<'a>>> {
        let looked = self.look(school, &keys, at_least).await;
        Ok(match looked {
            Ok(mut scene) => {
                scene.ledger = self.store.ledger(&keys).await?;
                Ok(scene)
            }
            Err(error) => Err(error),
        })
    }

    async fn look<'a>(
        &self,
        school: &'a School,
        keys: &[LedgerKey],
        at_least: Option<DateTime<Utc>>,
    ) -> mis_core::Result<Scene<'a>> {
        let mis = self.schools.mis(school).await?;
        let capabilities = mis.capabilities();
        let (mut registers, mut unread) = (HashMap::new(), None);
        // Where nothing can be written nobody needs to look.
        let writes = capabilities.has(mis_core::Ability::Session);
        let codes = if writes {
            mis.code_book().await?
        } else {
            Arc::default()
        };
        let dates: HashSet<NaiveDate> =
            keys.iter().map(|key| key.date).filter(|_| writes).collect();
        for date in dates {
            let register = match self.schools.register(school, &mis, date, at_least).await {
                Ok(register) => Ok(register),
                // That concerns more than this register.
                Err(error) if asks_for_rest(&error) => return Err(error),
                Err(error) => {
                    let why = error.to_string();
                    unread.get_or_insert(error);
                    Err(why)
                }
            };
            registers.insert(date, register);
        }
        Ok(Scene {
            school,
            capabilities,
            quirks: mis.quirks(),
            codes,
            registers,
            unread,
            ledger: HashMap::new(),
        })
    }
}

/// Whether an error of one read stands against all requests, so that nothing is decided without the register meanwhile.
fn asks_for_rest(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unauthorized | ErrorKind::RateLimited
    ) || matches!(error.recovery(), Recovery::RetryAfter(_))
}

impl Scene<'_> {
    /// Which events have had their say in the session of one that is decided for the first time. Its own mark from an
    /// earlier round is not in its way.
    pub(super) fn standing_of(&self, key: Option<&LedgerKey>, event: &Event) -> Standing {
        let row = key.and_then(|key| self.ledger.get(key));
        row.map_or_else(Standing::default, |row| match (&row.mark, &row.before) {
            (Some(mark), before) if mark.event == event.id => before
                .as_ref()
                .and_then(|before| before.standing.clone())
                .unwrap_or_default(),
            _ => row.standing.clone(),
        })
    }

    /// The rules' word on one event; `planned` when it has a mark from before.
    pub(super) fn decide(
        &self,
        event: &Event,
        student: &StudentId,
        group: Option<&Group>,
        key: Option<&LedgerKey>,
        now: DateTime<Utc>,
        planned: Option<&SendJob>,
    ) -> Decision {
        let planned_at = planned.map(|send| send.planned_at);
        let row = key.and_then(|key| self.ledger.get(key));
        let register = match key.and_then(|key| Some((key, self.registers.get(&key.date)?))) {
            Some((key, register)) => view_of(key, &event.id, row, register, now, planned_at),
            None => RegisterView::CannotLook {
                why: "nobody looked".to_owned(),
            },
        };
        let view = View {
            capabilities: self.capabilities,
            quirks: self.quirks,
            codes: &self.codes,
            register,
            // Which arrival stands was judged when the mark was planned. One that came in since and is earlier has the
            // mark's place in the ledger, or says the same.
            arrival: row
                .filter(|_| planned.is_none())
                .and_then(|row| row.arrival.clone()),
            // So was which event stands.
            standing: planned
                .map_or_else(|| self.standing_of(key, event), |send| send.against.clone()),
            timezone: self.school.timezone,
        };
        decide(event, student, group.map(Group::as_rules), &view)
    }
}
