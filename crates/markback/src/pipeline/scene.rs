//! What deciding for a school needs, gathered once for a batch: the code book, the registers, our own record.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, NaiveDate, Utc};
use mis_core::{
    Capabilities, CodeBook, Error, ErrorKind, EventKind, HeldCode, Quirks, Recovery, Register,
    StudentId,
};
use writeback::{Decision, Event, Previous, RegisterView, Standing, View, decide};

use super::{
    Pipeline,
    job::SendJob,
    view::{Sources, view_of},
};
use crate::{
    ledger::{LedgerRow, SeenMark},
    mirror::Unread,
    settings::{Group, School},
    store::LedgerKey,
};

/// What deciding an event of this school needs, gathered once for the batch.
pub(super) struct Scene<'a> {
    pub(super) school: &'a School,
    pub(super) capabilities: Capabilities,
    /// The adapter's id of the school's MIS.
    pub(super) mis: &'static str,
    pub(super) quirks: Quirks,
    pub(super) codes: Arc<CodeBook>,
    pub(super) registers: HashMap<NaiveDate, Result<Arc<Register>, String>>,
    /// Why a register could not be read, if one could not.
    pub(super) unread: Option<Error>,
    pub(super) ledger: HashMap<LedgerKey, LedgerRow>,
    /// How long Wonde's word on a mark is waited for.
    patience: Duration,
}

/// How often an event has been decided.
pub(super) enum Look<'a> {
    /// Not yet.
    First {
        /// What the same person did shortly before.
        previous: Option<Previous>,
    },
    /// It has a mark from before, which is about to be sent. That it is no double tap was decided then.
    Again(&'a SendJob),
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
        let looked = self.look(school, &keys, at_least).await?;
        Ok(match looked {
            Ok(mut scene) => {
                scene.ledger = self.store.ledger(&keys).await?;
                let limits = self.store.limits(school.id.as_str(), scene.mis).await?;
                let kept = scene.capabilities;
                scene.capabilities = limits
                    .into_iter()
                    .fold(kept, |kept, limit| limit.narrow(kept));
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
    ) -> outbox::Result<mis_core::Result<Scene<'a>>> {
        let mis = match self.schools.mis(school).await {
            Ok(mis) => mis,
            Err(error) => return Ok(Err(error)),
        };
        let capabilities = mis.capabilities();
        let (mut registers, mut unread) = (HashMap::new(), None);
        // Where nothing can be written nobody needs to look.
        let writes = capabilities.has(mis_core::Ability::Session);
        let dates: HashSet<NaiveDate> =
            keys.iter().map(|key| key.date).filter(|_| writes).collect();
        for date in dates {
            let register = match self.mirror.register(school, &mis, date, at_least).await {
                Ok(register) => Ok(register),
                Err(Unread::Store(error)) => return Err(error),
                // That concerns more than this register.
                Err(Unread::Mis(error)) if asks_for_rest(&error) => return Ok(Err(error)),
                Err(Unread::Mis(error)) => {
                    let why = error.to_string();
                    unread.get_or_insert(error);
                    Err(why)
                }
                Err(Unread::First(why)) => Err(why),
            };
            registers.insert(date, register);
        }
        // After the registers: a code that one of them holds may have had it read again.
        let codes = if writes {
            match mis.code_book().await {
                Ok(codes) => codes,
                Err(error) => return Ok(Err(error)),
            }
        } else {
            Arc::default()
        };
        Ok(Ok(Scene {
            school,
            capabilities,
            mis: mis.descriptor().id,
            quirks: mis.quirks(),
            codes,
            registers,
            unread,
            ledger: HashMap::new(),
            patience: self.settings.service.confirm_within,
        }))
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
        row.map_or_else(Standing::default, |row| row.standing_but(&event.id))
    }

    /// What Wonde's copy shows of a session.
    pub(super) fn seen(&self, key: &LedgerKey) -> Option<SeenMark> {
        let register = self.registers.get(&key.date)?.as_ref().ok()?;
        SeenMark::of(register.held(&key.student, key.session)?)
    }

    /// The rules' word on one event.
    pub(super) fn decide(
        &self,
        event: &Event,
        student: &StudentId,
        group: Option<&Group>,
        key: Option<&LedgerKey>,
        now: DateTime<Utc>,
        look: Look<'_>,
    ) -> Decision {
        let (planned, previous) = match look {
            Look::First { previous } => (None, previous),
            Look::Again(send) => (Some(send), None),
        };
        let planned_at = planned.map(|send| send.planned_at);
        let row = key.and_then(|key| self.ledger.get(key));
        let register = match key.and_then(|key| Some((key, self.registers.get(&key.date)?))) {
            Some((key, register)) => {
                let rules = group.and_then(|group| group.rules.as_ref());
                let sources = Sources {
                    ledger: row,
                    register,
                    planned_at,
                    patience: self.patience,
                    now,
                    protects_any: rules.is_some_and(|rules| rules.protects_any(event.kind)),
                };
                let protects = |held: &HeldCode| {
                    rules.is_some_and(|rules| rules.protects(held, event.kind, &self.codes))
                };
                view_of(key, &event.id, &sources, protects)
            }
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
            // mark's place in the ledger, or says the same. A sign-out is no arrival: what it is held against may stand.
            arrival: row
                .filter(|_| planned.is_none() || event.kind == EventKind::SignOut)
                .and_then(|row| row.arrival.clone()),
            refused_with: planned.map_or(&[], |send| &send.left_out),
            previous,
            planned_before: planned.is_some(),
            // So was which event stands.
            standing: planned
                .map_or_else(|| self.standing_of(key, event), |send| send.against.clone()),
            timezone: self.school.timezone,
        };
        decide(event, student, group.map(Group::as_rules), &view)
    }
}
