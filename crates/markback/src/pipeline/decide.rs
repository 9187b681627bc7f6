//! Deciding: what each event means for the register, by the rules of its person's group.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use mis_core::StudentId;
use outbox::{ClaimedJob, JobId, LeaseToken, RetryAt};
use roster::PersonMatch;
use serde_json::json;
use tokio::task::JoinSet;
use writeback::{DecisionOutcome, Event, Previous};

use super::{
    Pipeline,
    job::{DecideJob, SendJob, event_of_key, event_of_send},
    panics::{Panicked, caught, split},
    pulse::Progress,
    records::{audit_of, found, news_of, plan},
    scene::{Look, Scene},
    trouble::{Away, GoOn, Troubled, doubled, later},
};
use crate::{
    directory::{person_of, several},
    ledger::{Change, Stage},
    metrics,
    schools::token_key,
    settings::Group,
    store::{EventState, EventUpdate, LedgerKey, NewAudit},
};

/// How long the schools of a batch that are decided wait for the others.
const COMPANY: Duration = Duration::from_millis(20);
/// How long marks are gathered at least, however old they are.
const GATHER_AT_LEAST: Duration = Duration::from_millis(500);
/// The longest that an event waits before the register is looked at again.
const LOOK_AGAIN_AT_LEAST_EVERY: Duration = Duration::from_secs(60);
/// How long at most an event waits before it is seen again whether the school's people have been read.
const PEOPLE_SOON: Duration = Duration::from_secs(5);

/// What one batch comes to, written down in one transaction.
#[derive(Default)]
struct Outcomes {
    done: Vec<LeaseToken>,
    updates: Vec<EventUpdate>,
    ledger: Vec<(LedgerKey, Change)>,
    sends: Vec<outbox::NewJob>,
    /// The sessions that these jobs are for.
    sent_for: Vec<LedgerKey>,
    audit: Vec<NewAudit>,
    troubled: Vec<Troubled>,
    away: Vec<Away>,
}

/// An event with the person it belongs to.
struct Case<'a> {
    job: ClaimedJob,
    event: Event,
    round: u32,
    student: StudentId,
    group: Option<&'a Group>,
    key: Option<LedgerKey>,
}

impl Pipeline {
    /// Decides claimed events and notes all of it in one transaction.
    pub(super) async fn decide(
        &self,
        jobs: Vec<ClaimedJob>,
        progress: &Progress<'_>,
    ) -> outbox::Result<()> {
        let mut by_school: BTreeMap<String, Vec<ClaimedJob>> = BTreeMap::new();
        for job in jobs {
            by_school
                .entry(job.partition.clone())
                .or_default()
                .push(job);
        }
        // Each a task of its own: one that is not polled while another's outcome is written down would keep its
        // connection, or a lock, from all the others.
        let mut deciding = JoinSet::new();
        let mut waiting = BTreeSet::new();
        let mut panicked = Vec::new();
        let known_slow = self.schools.slow();
        for (school, jobs) in by_school {
            // One batch waits for a school that does not answer, and no other. Such schools are not claimed for; this one
            // has become slow since.
            if known_slow.contains(&school) {
                self.hand_back(&jobs).await;
                continue;
            }
            waiting.insert(school.clone());
            let pipeline = self.clone();
            deciding.spawn(async move {
                let decided = caught(pipeline.decide_school(&school, jobs.clone())).await;
                (school, decided.map_err(|Panicked| jobs))
            });
        }
        // Those that are as quick go into the same transaction; a school that does not answer keeps nobody waiting.
        let (mut company, mut slow) = (COMPANY, None);
        while !deciding.is_empty() {
            let mut all: Option<Outcomes> = None;
            let enough = tokio::time::sleep(company);
            tokio::pin!(enough);
            loop {
                tokio::select! {
                    next = deciding.join_next() => match next {
                        Some(Ok((school, decided))) => {
                            waiting.remove(&school);
                            match decided {
                                Ok(outcomes) => all.get_or_insert_default().add(outcomes?),
                                Err(jobs) => panicked.push((school, jobs)),
                            }
                        }
                        // The task was ended with the service.
                        Some(Err(_)) => {}
                        None => break,
                    },
                    () = &mut enough => break,
                }
            }
            if let Some(all) = all {
                self.until_kept(|| self.note_decisions(&all)).await?;
                progress.made();
            }
            drop(slow.take());
            slow = Some(self.schools.waited_for(waiting.iter().cloned().collect()));
            company = COMPANY * 10;
        }
        drop(slow);
        for (school, jobs) in panicked {
            self.decide_in_halves(&school, jobs, progress).await?;
        }
        Ok(())
    }

    /// Decides a batch over which a worker panicked in smaller and smaller parts, so that only the event that caused it
    /// is held up. Each part is kept before the next is begun.
    async fn decide_in_halves(
        &self,
        school: &str,
        jobs: Vec<ClaimedJob>,
        progress: &Progress<'_>,
    ) -> outbox::Result<()> {
        let mut parts = Vec::new();
        let mut panicked = Some(jobs);
        loop {
            let outcomes = if let Some(jobs) = panicked.take() {
                let Some(alone) = split(jobs, &mut parts) else {
                    continue;
                };
                let mut outcomes = Outcomes::default();
                outcomes.trouble(school, &alone, self.after_panic(&alone));
                outcomes
            } else if let Some(part) = parts.pop() {
                match caught(self.decide_school(school, part.clone())).await {
                    Ok(outcomes) => outcomes?,
                    Err(Panicked) => {
                        panicked = Some(part);
                        continue;
                    }
                }
            } else {
                return Ok(());
            };
            self.until_kept(|| self.note_decisions(&outcomes)).await?;
            progress.made();
        }
    }

    async fn decide_school(&self, school: &str, jobs: Vec<ClaimedJob>) -> outbox::Result<Outcomes> {
        let mut outcomes = Outcomes::default();
        let Some(settings) = self.schools.settings_of(school) else {
            let why = format!(
                "school {school} is no longer in the settings; add it, then retry the event"
            );
            outcomes.give_up_all(school, jobs, &why);
            return Ok(outcomes);
        };
        let Some(directory) = self.directories.of(&settings.id).await? else {
            let why = match self.store.sync_error(&settings.id).await? {
                Some(error) => format!("the school's people have not been read yet: {error}"),
                None => "the school's people have not been read yet".to_owned(),
            };
            for job in jobs {
                let when = RetryAt::After(PEOPLE_SOON.min(self.pace.backoff_max));
                self.trouble(
                    &mut outcomes,
                    school,
                    job,
                    GoOn::Again {
                        when,
                        why: why.clone(),
                    },
                );
            }
            return Ok(outcomes);
        };
        let mut cases = Vec::with_capacity(jobs.len());
        for job in jobs {
            let Ok(DecideJob { event, round }) = job.parse::<DecideJob>() else {
                outcomes.give_up_all(
                    school,
                    vec![job],
                    "the stored event cannot be read; was it written by another version?",
                );
                continue;
            };
            let entry = match person_of(settings, &directory, &event) {
                PersonMatch::One(entry) => entry,
                PersonMatch::Nobody => {
                    let why = "the school has nobody with this person's id; sync the groups, then retry the event";
                    outcomes.give_up_all(school, vec![job], why);
                    continue;
                }
                PersonMatch::Several(people) => {
                    let (what, cure) = several(&people);
                    outcomes.give_up_all(school, vec![job], &format!("{what}; {cure}"));
                    continue;
                }
            };
            let group = entry.group.as_deref().and_then(|name| settings.group(name));
            let student = StudentId::from(entry.id.as_str());
            let session = group
                .and_then(|group| group.rules.as_ref())
                .and_then(|rules| rules.session_of(event.at, settings.timezone));
            let key = session.map(|(date, session)| LedgerKey {
                school: school.to_owned(),
                student: student.clone(),
                date,
                session,
            });
            cases.push(Case {
                job,
                event,
                round,
                student,
                group,
                key,
            });
        }
        let keys: Vec<_> = cases.iter().filter_map(|case| case.key.clone()).collect();
        // Somebody who has put something right and tries an event again need not wait until what was known before has grown old.
        let retried = cases.iter().filter(|case| case.round > 0);
        if let Some(at) = retried.map(|case| case.job.enqueued_at).max() {
            self.schools.forget_before(&settings.id, at).await;
            self.mirror.forget_before(&settings.id, at).await;
        }
        let scene = match self.scene(settings, keys, None).await? {
            Ok(scene) => scene,
            Err(error) => {
                let backoff = self.backoff(cases.iter().map(|case| &case.job));
                let go_on = self.go_on(&error, settings, backoff);
                outcomes.away.extend(Away::of(&error, settings, backoff));
                for case in cases {
                    self.trouble(&mut outcomes, school, case.job, go_on.clone());
                }
                return Ok(outcomes);
            }
        };
        if let Some(error) = &scene.unread {
            let backoff = self.backoff(cases.iter().map(|case| &case.job));
            outcomes.away.extend(Away::of(error, settings, backoff));
        }
        let mut before = self.events_before(school, &cases).await?;
        let mut seen = HashSet::new();
        for case in cases {
            // Two events of one pupil can meet here only when the directory has learned in between that two ids are one
            // person. The later one waits for what becomes of the first.
            if case.key.clone().is_some_and(|key| !seen.insert(key)) {
                let go_on = GoOn::Again {
                    when: RetryAt::After(Duration::from_millis(100)),
                    why: "an earlier event of the same pupil is being decided".to_owned(),
                };
                self.trouble(&mut outcomes, school, case.job, go_on);
            } else if let Some(wait) = self.may_still_land(&scene, &case).await? {
                let go_on = GoOn::Again {
                    when: RetryAt::After(wait),
                    why: "an earlier mark of the same session was sent and not answered; it may be on its way still".to_owned(),
                };
                self.trouble(&mut outcomes, school, case.job, go_on);
            } else {
                let previous = before.remove(&case.event.id);
                self.decide_one(&mut outcomes, &scene, case, previous);
            }
        }
        Ok(outcomes)
    }

    /// How long an earlier mark of the session may still be on its way, whose request was never answered: a newer one that
    /// went at once could land before it, and the older would stand.
    async fn may_still_land(
        &self,
        scene: &Scene<'_>,
        case: &Case<'_>,
    ) -> outbox::Result<Option<Duration>> {
        let row = case.key.as_ref().and_then(|key| scene.ledger.get(key));
        let newest = row.and_then(|row| row.newest());
        let Some(mark) =
            newest.filter(|mark| mark.stage() == Stage::Planned && mark.event != case.event.id)
        else {
            return Ok(None);
        };
        let earlier = self.store.event(&scene.school.id, &mark.event).await?;
        let sent_at = earlier
            .filter(|earlier| earlier.state == EventState::Sent)
            .and_then(|earlier| earlier.sent_at);
        Ok(sent_at
            .and_then(|at| (later(at, self.pace.look_after) - self.now()).to_std().ok())
            .filter(|wait| !wait.is_zero()))
    }

    /// What the persons of these events did shortly before, where that makes a double tap.
    async fn events_before(
        &self,
        school: &str,
        cases: &[Case<'_>],
    ) -> outbox::Result<HashMap<String, Previous>> {
        let asked: Vec<_> = cases
            .iter()
            .filter_map(|case| {
                let rules = case.group?.rules.as_ref()?;
                Some((&case.event, rules.shortest_stay()?))
            })
            .collect();
        self.store.events_before(school, &asked).await
    }

    fn decide_one(
        &self,
        outcomes: &mut Outcomes,
        scene: &Scene<'_>,
        case: Case<'_>,
        previous: Option<Previous>,
    ) {
        let school = scene.school.id.as_str();
        let (event, key) = (&case.event, case.key.as_ref());
        let decision = scene.decide(
            event,
            &case.student,
            case.group,
            key,
            self.now(),
            Look::First { previous },
        );
        if let DecisionOutcome::Wait { why } = &decision.outcome {
            let go_on = GoOn::Again {
                when: RetryAt::After(self.look_again_after(case.job.attempts())),
                why: why.clone(),
            };
            self.trouble(outcomes, school, case.job, go_on);
            return;
        }
        let mut update = news_of(school, &case.event, &case.student, &decision);
        if let (true, Some(key)) = (decision.arrival, &case.key) {
            let arrival = writeback::Arrival {
                event: case.event.id.clone(),
                at: case.event.at,
            };
            outcomes.ledger.push((key.clone(), Change::Arrive(arrival)));
        }
        if let DecisionOutcome::Fail { why } = &decision.outcome {
            outcomes.updates.push(update);
            self.trouble(
                outcomes,
                school,
                case.job,
                GoOn::GiveUp { why: why.clone() },
            );
            return;
        }
        let against = scene.standing_of(case.key.as_ref(), &case.event);
        let standing = decision.standing.clone();
        let found = found(decision.found.as_ref());
        if let (None, Some(key), Some(standing)) = (decision.planned(), &case.key, &standing) {
            let change = Change::Stand(standing.clone());
            outcomes.ledger.push((key.clone(), change));
        }
        if let (Some(planned), Some(key)) = (decision.planned(), case.key) {
            let send = SendJob {
                event: case.event.clone(),
                mark: planned.mark.clone(),
                group: case
                    .group
                    .map(|group| group.name.clone())
                    .unwrap_or_default(),
                rule: planned.rule,
                dropped: decision.dropped.clone(),
                found,
                planned_at: self.now(),
                refusals: 0,
                left_out: Vec::new(),
                trial: None,
                round: case.round,
                received_at: Some(case.job.enqueued_at),
                standing: Some(standing.unwrap_or_else(|| against.clone())),
                against,
                over: scene.seen(&key),
            };
            outcomes.sends.push(
                send.new_job(school, &token_key(scene.school))
                    .waited(self.gathered_already(case.job.enqueued_at)),
            );
            outcomes
                .audit
                .push(audit_of("planned", school, &send, json!({})));
            outcomes.sent_for.push(key.clone());
            outcomes.ledger.push((key, plan(&send)));
            update = update.state(EventState::Planned);
        } else {
            update = update.state(EventState::Skipped);
        }
        outcomes.updates.push(update);
        outcomes.done.push(case.job.lease);
    }

    /// How much of its gathering a mark has behind it: marks of a backlog need not wait for company once more, but for a
    /// moment in which the others of the backlog are decided.
    fn gathered_already(&self, since: chrono::DateTime<chrono::Utc>) -> Duration {
        let most = self
            .settings
            .service
            .gather
            .window
            .saturating_sub(GATHER_AT_LEAST);
        let waited = (self.now() - since).to_std().unwrap_or_default();
        waited.min(most)
    }

    fn look_again_after(&self, attempts: u32) -> Duration {
        let steps = attempts.saturating_sub(1).min(10);
        doubled(self.pace.backoff, steps, LOOK_AGAIN_AT_LEAST_EVERY)
    }

    fn trouble(&self, outcomes: &mut Outcomes, school: &str, job: ClaimedJob, go_on: GoOn) {
        let go_on = self.or_give_up(&job, go_on);
        outcomes.trouble(school, &job, go_on);
    }

    async fn note_decisions(&self, outcomes: &Outcomes) -> outbox::Result<()> {
        let mut tx = self.store.database().begin().await?;
        let outbox = self.store.outbox();
        outbox.complete(&mut tx, &outcomes.done).await?.all()?;
        self.store.update_events(&mut tx, &outcomes.updates).await?;
        self.store.change_ledger(&mut tx, &outcomes.ledger).await?;
        self.store.audit(&mut tx, &outcomes.audit).await?;
        for away in &outcomes.away {
            self.rest(&mut tx, Some(away)).await?;
        }
        let troubled = self.settle_trouble(&mut tx, &outcomes.troubled).await?;
        // Last, for on PostgreSQL it keeps others from adding to the queue until the end of the transaction.
        let receipt = outbox.enqueue(&mut tx, &outcomes.sends).await?;
        let superseded = superseded(&receipt.superseded);
        self.store.update_events(&mut tx, &superseded).await?;
        // These rows are locked already: a mark is superseded by one that was planned above it.
        let forgotten = forgotten(&outcomes.sent_for, &receipt);
        self.store.change_ledger(&mut tx, &forgotten).await?;
        tx.commit().await?;
        metrics::news(outcomes.updates.iter().chain(&troubled).chain(&superseded));
        Ok(())
    }
}

impl Outcomes {
    fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.updates.extend(other.updates);
        self.ledger.extend(other.ledger);
        self.sends.extend(other.sends);
        self.sent_for.extend(other.sent_for);
        self.audit.extend(other.audit);
        self.troubled.extend(other.troubled);
        self.away.extend(other.away);
    }

    fn give_up_all(&mut self, school: &str, jobs: Vec<ClaimedJob>, why: &str) {
        for job in jobs {
            let why = why.to_owned();
            self.trouble(school, &job, GoOn::GiveUp { why });
        }
    }

    fn trouble(&mut self, school: &str, job: &ClaimedJob, go_on: GoOn) {
        let event = event_of_key(school, &job.key).map(|id| (school.to_owned(), id.to_owned()));
        self.troubled.push(Troubled {
            held: job.lease,
            events: event.into_iter().collect(),
            go_on,
        });
    }
}

/// The superseded marks, for the ledger: none of them was sent, or it has been waited for that.
fn forgotten(sent_for: &[LedgerKey], receipt: &outbox::EnqueueReceipt) -> Vec<(LedgerKey, Change)> {
    let of = |by: JobId| {
        let place = receipt.jobs.iter().position(|job| job.id() == by)?;
        sent_for.get(place).cloned()
    };
    receipt
        .superseded
        .iter()
        .filter_map(|job| {
            let (_, event) = job.key.split_once('/')?;
            Some((of(job.by)?, Change::Forget(event_of_send(event).to_owned())))
        })
        .collect()
}

fn superseded(jobs: &[outbox::SupersededJob]) -> Vec<EventUpdate> {
    jobs.iter()
        .filter_map(|job| {
            let (school, event) = job.key.split_once('/')?;
            let event = event_of_send(event);
            Some(
                EventUpdate::of(school, event)
                    .state(EventState::Superseded)
                    .outcome("a newer mark for the same pupil, date and session took its place before it was sent"),
            )
        })
        .collect()
}
