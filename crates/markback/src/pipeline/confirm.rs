//! Confirming: what became of a register that Wonde took.

mod outcomes;

use std::{collections::BTreeSet, time::Duration};

use mis_core::{Error, ErrorKind, Mis, RefusedMark, WritebackOutcome};
use outbox::{Claimed, When};
use serde_json::json;

use self::outcomes::Outcomes;
use super::{
    Pipeline,
    again::{Again, refused_and_goes_again},
    job::{ConfirmJob, SendJob, writeback_of_key},
    panics::{Panicked, caught},
    records::audit_of,
    trial,
    trouble::{GoOn, doubled, is_longer, later},
    view::is_ours,
};
use crate::{
    ledger::Change,
    metrics,
    settings::School,
    store::{EventState, EventUpdate, NewAudit},
};

/// How often a mark is refused after Wonde had taken it until that is believed.
const REFUSALS_BELIEVED: u32 = 3;
/// By what a mark is known to be in the MIS.
const WORD: &str = "Wonde's answer";
const READ_BACK: &str = "the register read back";
/// What a mark waits for whose writeback is done and has errors that may be about it.
const IN_DOUBT: &str = "Wonde calls the writeback done and tells of errors in it, which may be about this mark: the register must show it";
/// What ends a mark that was written over before anybody saw it.
const REPLACED: &str =
    "a newer mark for the same pupil, date and session has taken its place in the MIS";
/// A refusal after Wonde had taken the mark.
struct Refusal<'a> {
    /// The adapter's id of the MIS.
    mis: &'a str,
    /// Wonde's words.
    said: Option<&'a str>,
    /// Whether they are about this mark, and not about some mark of its register.
    of_this_mark: bool,
}

/// Writebacks asked about at the same time.
const AT_ONCE: usize = 8;

impl Pipeline {
    /// Asks about one school's claimed writebacks and notes what became of their marks.
    pub(super) async fn confirm(&self, jobs: Vec<Claimed>) -> outbox::Result<()> {
        use futures::stream::{self, StreamExt as _};
        let mut asked = stream::iter(jobs)
            .map(|job| self.confirm_or_catch(job))
            .buffer_unordered(AT_ONCE);
        let mut all = Outcomes::default();
        while let Some(outcomes) = asked.next().await {
            all.add(outcomes?);
        }
        self.until_kept(|| self.note_confirmations(&all)).await
    }

    /// The outer error is the store's.
    async fn confirm_or_catch(&self, job: Claimed) -> outbox::Result<Outcomes> {
        let done = match job.parse::<ConfirmJob>() {
            Ok(confirm) => caught(self.confirm_one(job.clone(), confirm)).await,
            Err(_) => {
                let why = "the stored writeback cannot be read; was it written by another version?";
                return self.give_up(&job, why).await;
            }
        };
        match done {
            Ok(outcomes) => Ok(outcomes),
            Err(Panicked) => match self.after_panic(&job) {
                GoOn::GiveUp { why } => self.give_up(&job, &why).await,
                go_on => {
                    let mut outcomes = Outcomes::default();
                    outcomes.held_up(&job, self.carried(&job).await?, go_on);
                    Ok(outcomes)
                }
            },
        }
    }

    /// Gives up a job that cannot be worked on. Its events end all the same: nobody can tell what became of their marks.
    async fn give_up(&self, job: &Claimed, why: &str) -> outbox::Result<Outcomes> {
        let mut outcomes = Outcomes::default();
        let writeback = writeback_of_key(&job.lane, &job.key);
        for event in self.carried(job).await? {
            outcomes.audit.push(NewAudit {
                school: job.lane.clone(),
                event: event.clone(),
                what: EventState::Unconfirmed.word(),
                record: json!({"writeback_id": writeback, "why": why}),
            });
            outcomes.updates.push(
                EventUpdate::of(&job.lane, &event)
                    .state(EventState::Unconfirmed)
                    .outcome(unconfirmed(why)),
            );
        }
        let why = why.to_owned();
        outcomes.held_up(job, Vec::new(), GoOn::GiveUp { why });
        Ok(outcomes)
    }

    /// The events whose marks are open in the job's writeback, also where the job itself cannot be read.
    async fn carried(&self, job: &Claimed) -> outbox::Result<Vec<String>> {
        let writeback = writeback_of_key(&job.lane, &job.key);
        self.store
            .accepted_with(&job.lane, writeback.unwrap_or_default())
            .await
    }

    async fn confirm_one(&self, job: Claimed, confirm: ConfirmJob) -> Outcomes {
        let mut outcomes = Outcomes::default();
        let Some(school) = self.schools.settings_of(&job.lane) else {
            outcomes.end_all(
                &job,
                &confirm,
                EventState::Unconfirmed,
                "the school is no longer in the settings",
            );
            return outcomes;
        };
        let mis = match self.schools.mis(school).await {
            Ok(mis) => mis,
            Err(error) => {
                self.cannot_ask(&mut outcomes, school, &job, &confirm, &error)
                    .await;
                return outcomes;
            }
        };
        if confirm.in_doubt {
            self.look_in_register(&mut outcomes, school, Some(&mis), &job, &confirm, IN_DOUBT)
                .await;
            return outcomes;
        }
        match mis.outcome(&confirm.writeback).await {
            Ok(WritebackOutcome::Done) => {
                outcomes.done.push(job.held);
                outcomes.confirm(&job.lane, &confirm, confirm.open(), WORD, self.now());
            }
            Ok(WritebackOutcome::DoneInPart {
                refused,
                others_done,
            }) => {
                let mis = mis.descriptor().id;
                self.done_in_part(
                    &mut outcomes,
                    school,
                    mis,
                    &job,
                    &confirm,
                    &refused,
                    others_done,
                );
            }
            Ok(WritebackOutcome::Refused {
                server_message: said,
            }) => {
                outcomes.done.push(job.held);
                for (_, send) in confirm.open() {
                    let refusal = Refusal {
                        mis: mis.descriptor().id,
                        said: said.as_deref(),
                        of_this_mark: confirm.marks.len() == 1,
                    };
                    self.refused(&mut outcomes, school, &confirm, send, refusal);
                }
            }
            Ok(WritebackOutcome::Open { status: word }) => {
                let why = match word {
                    Some(word) => format!("Wonde has it; its word for the writeback is \"{word}\""),
                    None => "Wonde has it and says nothing of the writeback yet".to_owned(),
                };
                self.still_open(&mut outcomes, school, Some(&mis), &job, &confirm, &why)
                    .await;
            }
            Err(error) => {
                self.cannot_ask(&mut outcomes, school, &job, &confirm, &error)
                    .await
            }
        }
        outcomes
    }

    /// A register that is done but for some of its marks. What is named as refused is refused; the others are in the MIS
    /// if those were all. If that is not certain, the register has to show each of the others.
    #[allow(clippy::too_many_arguments, reason = "an answer and what it is about")]
    fn done_in_part(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        mis: &str,
        job: &Claimed,
        confirm: &ConfirmJob,
        refused: &[RefusedMark],
        others_done: bool,
    ) {
        let mut met = vec![false; refused.len()];
        let mut left = confirm.clone();
        for (place, send) in confirm.marks.iter().enumerate() {
            let mut named = false;
            let mut said = None;
            for (refusal, met) in refused.iter().zip(&mut met) {
                if refusal.is(&send.mark.student, place) {
                    (named, *met) = (true, true);
                    said = said.or(refusal.server_message.as_deref());
                }
            }
            if named && left.settled.insert(place) {
                let refusal = Refusal {
                    mis,
                    said,
                    of_this_mark: true,
                };
                self.refused(outcomes, school, confirm, send, refusal);
            }
        }
        outcomes.done.push(job.held);
        if others_done && met.iter().all(|met| *met) {
            outcomes.confirm(school.id.as_str(), confirm, left.open(), WORD, self.now());
        } else {
            left.in_doubt = true;
            let first = later(self.now(), self.pace.confirm_after);
            outcomes.leave(school, &left, first, IN_DOUBT);
        }
    }

    /// Looks in the register for the marks that Wonde's word leaves open, and later again for those that it does not show.
    /// Each is settled by itself: one that never shows keeps no other waiting.
    async fn look_in_register(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        mis: Option<&Mis>,
        job: &Claimed,
        confirm: &ConfirmJob,
        why: &str,
    ) {
        let (id, over) = (school.id.as_str(), self.is_over(confirm));
        let there = match mis {
            Some(mis) => self.there(school, mis, confirm).await,
            None => BTreeSet::new(),
        };
        let replaced = self.replaced(id, confirm, &there).await;
        if there.is_empty() && replaced.is_empty() && !over {
            let go_on = GoOn::Again {
                when: When::After(self.next_look(job)),
                why: why.to_owned(),
            };
            outcomes.trouble(id, job, confirm, go_on);
            return;
        }
        outcomes.done.push(job.held);
        let mut left = confirm.clone();
        left.settled.extend(there.iter().chain(&replaced));
        let shown = confirm.open().filter(|(place, _)| there.contains(place));
        outcomes.confirm(id, confirm, shown, READ_BACK, self.now());
        let gone = confirm.open().filter(|(place, _)| replaced.contains(place));
        outcomes.end(id, confirm, gone, EventState::Superseded, REPLACED);
        if over {
            outcomes.end(
                id,
                confirm,
                left.open(),
                EventState::Unconfirmed,
                &unconfirmed(why),
            );
        } else {
            let next = later(self.now(), self.next_look(job));
            outcomes.leave(school, &left, next, why);
        }
    }

    /// The open marks that the register shows. Only a copy that was read after the register was taken can show them.
    async fn there(&self, school: &School, mis: &Mis, confirm: &ConfirmJob) -> BTreeSet<usize> {
        let mut there = BTreeSet::new();
        for (place, send) in confirm.open() {
            let register = self
                .mirror
                .register(school, mis, send.mark.date, Some(confirm.accepted_at))
                .await;
            // One that cannot be read is not asked for by every mark.
            let Ok(register) = register else { break };
            let held = register.held(&send.mark.student, send.mark.session);
            if held.is_some_and(|held| is_ours(held, &send.mark, send.planned_at)) {
                there.insert(place);
            }
        }
        there
    }

    /// The other open marks in whose place a later one of ours is known to stand in the MIS: they will never show.
    async fn replaced(
        &self,
        school: &str,
        confirm: &ConfirmJob,
        there: &BTreeSet<usize>,
    ) -> BTreeSet<usize> {
        let missing: Vec<_> = confirm
            .open()
            .filter(|(place, _)| !there.contains(place))
            .map(|(place, send)| (place, send.ledger_key(school), &send.event.id))
            .collect();
        let keys: Vec<_> = missing.iter().map(|(_, key, _)| key.clone()).collect();
        // If the store cannot be read now, the next look tells.
        let ledger = self.store.ledger(&keys).await.unwrap_or_default();
        let stands_there = |key, event: &str| {
            let row = ledger.get(key);
            row.is_some_and(|row| row.is_replaced(event))
        };
        missing
            .iter()
            .filter(|(_, key, event)| stands_there(key, event))
            .map(|(place, _, _)| *place)
            .collect()
    }

    /// A refused register of several marks does not say which was at fault: each goes again, alone. So does a mark that
    /// was named, for its own answer is surer than a list's form. A mark alone is tried a few times more, for the MIS may
    /// have been away.
    fn refused(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        confirm: &ConfirmJob,
        send: &SendJob,
        refusal: Refusal<'_>,
    ) {
        let Refusal {
            mis,
            said,
            of_this_mark,
        } = refusal;
        let id = school.id.as_str();
        let told = said.map_or_else(
            || "gave no reason".to_owned(),
            |said| format!("said: {said}"),
        );
        let why = format!("Wonde {told}");
        let more = json!({"writeback_id": confirm.writeback});
        let refusals = if confirm.marks.len() == 1 {
            send.refusals.saturating_add(1)
        } else {
            send.refusals.max(1)
        };
        let again = SendJob {
            refusals,
            ..send.clone()
        };
        let from = later(self.now(), self.pace.backoff.saturating_mul(2 * refusals));
        // Words about this mark are believed at once. Without them the MIS may have been away: only when a mark alone was
        // refused again is it tried without what goes with its code.
        let words_only = refusals + 1 < REFUSALS_BELIEVED;
        let next = of_this_mark
            .then(|| trial::without(&again, mis, said, false, words_only))
            .flatten();
        if let Some(next) = next {
            outcomes
                .audit
                .push(refused_and_goes_again(id, send, &next, &why, more));
            outcomes
                .again
                .push(Again::without(school, next, Some(from)));
            return;
        }
        let mut more = more;
        more["why"] = why.into();
        outcomes.audit.push(audit_of("refused", id, send, more));
        if refusals >= REFUSALS_BELIEVED {
            let outcome = format!("the MIS would not have it: Wonde {told}");
            outcomes.tell(id, send, EventState::Rejected, &outcome);
            let forget = Change::Forget(send.event.id.clone());
            outcomes.ledger.push((send.ledger_key(id), forget));
            return;
        }
        let why = format!("its writeback was refused ({told}); it goes again, alone");
        outcomes
            .again
            .push(Again::as_it_is(school, again, from, why));
    }

    /// Settles by the register what Wonde's word leaves open, and asks again later.
    async fn still_open(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        mis: Option<&Mis>,
        job: &Claimed,
        confirm: &ConfirmJob,
        why: &str,
    ) {
        let waited = self.now() - confirm.accepted_at;
        let mis = mis.filter(|_| is_longer(waited, self.pace.read_back_after));
        self.look_in_register(outcomes, school, mis, job, confirm, why)
            .await;
    }

    /// Whether the outcome has been waited for long enough.
    fn is_over(&self, confirm: &ConfirmJob) -> bool {
        let waited = self.now() - confirm.accepted_at;
        is_longer(waited, self.settings.service.confirm_within)
    }

    async fn cannot_ask(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        job: &Claimed,
        confirm: &ConfirmJob,
        error: &Error,
    ) {
        let backoff = self.backoff([job]);
        match self.go_on(error, school, backoff) {
            // Wonde knows the school and not the writeback: the register may still tell.
            _ if error.kind() == ErrorKind::NotFound => {
                let mis = self.schools.mis(school).await.ok();
                let why = error.to_string();
                self.still_open(outcomes, school, mis.as_ref(), job, confirm, &why)
                    .await;
            }
            GoOn::Again { why, .. } | GoOn::GiveUp { why } => {
                self.still_open(outcomes, school, None, job, confirm, &why)
                    .await;
            }
            GoOn::Rest { why, .. } if self.is_over(confirm) => {
                outcomes.end_all(job, confirm, EventState::Unconfirmed, &unconfirmed(&why));
            }
            rest => outcomes.trouble(school.id.as_str(), job, confirm, rest),
        }
    }

    fn next_look(&self, job: &Claimed) -> Duration {
        let pace = &self.pace;
        doubled(
            pace.confirm_after,
            job.attempts(),
            pace.confirm_at_least_every,
        )
    }

    async fn note_confirmations(&self, outcomes: &Outcomes) -> outbox::Result<()> {
        let mut tx = self.store.database().begin().await?;
        let outbox = self.store.outbox();
        outbox.complete(&mut tx, &outcomes.done).await?.all()?;
        self.store.update_events(&mut tx, &outcomes.updates).await?;
        self.store.audit(&mut tx, &outcomes.audit).await?;
        // All transactions touch marks, then pauses, then the queue's lines, so that none waits for another that waits for it.
        let (mut changes, again) = (outcomes.ledger.clone(), &outcomes.again);
        changes.extend(again.iter().map(Again::change));
        let mut took_hold = self.store.change_ledger(&mut tx, &changes).await?;
        let in_place = took_hold.split_off(outcomes.ledger.len());
        let troubled = self.settle_trouble(&mut tx, &outcomes.troubled).await?;
        self.store.learn(&mut tx, &outcomes.learned).await?;
        let (followed, left): (Vec<_>, Vec<_>) = outcomes.left.iter().cloned().unzip();
        self.store.follow_writebacks(&mut tx, &followed).await?;
        let again = self.send_again(&mut tx, again, &in_place, &left).await?;
        tx.commit().await?;
        metrics::news(outcomes.updates.iter().chain(&troubled).chain(&again));
        metrics::confirmed(outcomes.took.iter().copied());
        Ok(())
    }
}

fn unconfirmed(why: &str) -> String {
    format!("nobody could tell in time whether the MIS has it: {why}")
}
