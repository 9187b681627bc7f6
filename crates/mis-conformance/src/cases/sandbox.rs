//! A whole day against the sandbox: marks are written, confirmed, read back, and compared with the MIS.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt as _;
use mis_wonde::{
    Ability, ConnectContext, Connection, ErrorKind, EventKind, HeldCode, Mark, MarkResult, Mis,
    PeopleQuery, PersonKind, Receipt, Session, StudentId, WritebackOutcome, wonde::Client,
};
use secrecy::SecretString;
use wonde_sandbox::{Handle, Sandbox, SandboxOptions};

use super::{cases, readers_only, writers};
use crate::{
    bench::Bench,
    standard::{COMMENT, WINTER},
};

cases! {
    Positive Some(Ability::Session), "sandbox::a_whole_day_is_written_confirmed_and_read_back", writers => a_written_day;
    Negative Some(Ability::Session), "sandbox::a_whole_day_is_read_and_nothing_is_written", readers_only => a_read_day;
}

/// One school of each MIS.
const SCHOOLS: u32 = 12;
const PUPILS: u32 = 40;
const WRITE_DELAY: Duration = Duration::from_secs(60);
const EXTRACTION: Duration = Duration::from_secs(30 * 60);

/// A running sandbox, and the adapter at one of its schools.
struct Day {
    sandbox: Sandbox,
    handle: Handle,
    school: String,
    mis: Mis,
}

type Key = (StudentId, Session);

impl Day {
    async fn begin(bench: &Bench) -> anyhow::Result<Self> {
        let begin: DateTime<Utc> = "2026-11-23T09:10:00Z".parse()?;
        let sandbox = Sandbox::start(SandboxOptions {
            schools: SCHOOLS,
            pupils_per_school: PUPILS,
            clock: Arc::new(move || begin),
            write_delay: WRITE_DELAY,
            extraction_every: EXTRACTION,
            ..SandboxOptions::default()
        })
        .await
        .context("the sandbox does not start")?;
        let handle = sandbox.handle();
        let place = match bench.declared().session {
            mis_wonde::SessionWriteback::FirstLesson => "first_lesson",
            _ => "session",
        };
        let schools = handle.schools();
        // If the sandbox has no school with this MIS, take the first that stores marks in the same place.
        let school = schools
            .iter()
            .find(|school| bench.descriptor.answers_to(&school.mis))
            .or_else(|| {
                let writes = bench.has(Ability::Session);
                schools
                    .iter()
                    .find(|school| school.register == place && school.writes == writes)
            })
            .context("the sandbox has no school that stores marks as this adapter declares")?;
        let client = Client::builder(SecretString::from(school.token.clone()))
            .base_url(handle.base_url())
            .build()?;
        let clock = handle.clone();
        let mut context = ConnectContext::new(school.id.as_str());
        context.mis = Some(bench.descriptor.name.to_owned());
        context.now = Arc::new(move || clock.now());
        let connection = Connection::open(&client, context).await?;
        let mis = bench.descriptor.connect(connection.into_context()).await?;
        Ok(Self {
            sandbox,
            handle,
            school: school.id.clone(),
            mis,
        })
    }

    /// Returns the pupils on roll, and checks that the adapter reads the same ones.
    async fn pupils(&self) -> anyhow::Result<Vec<StudentId>> {
        let students = self.handle.students(&self.school)?;
        let own: Vec<String> = students
            .into_iter()
            .filter(|s| s.on_roll)
            .map(|s| s.id)
            .collect();
        ensure!(!own.is_empty(), "the sandbox has no pupils");
        if self.mis.capabilities().has(Ability::Roster) {
            let query = PeopleQuery::new(PersonKind::Student);
            let read: Vec<_> = self.mis.people(query).try_collect().await?;
            let read: HashSet<String> = read.into_iter().map(|person| person.id).collect();
            ensure!(
                read == own.iter().cloned().collect(),
                "the school has {} pupils on roll, but the adapter read a different set of {}",
                own.len(),
                read.len()
            );
        }
        Ok(own.into_iter().map(StudentId::from).collect())
    }

    /// Writes marks, waits until the MIS has them, and adds them to the marks that it must now hold.
    async fn write(&self, marks: &[Mark], held: &mut BTreeMap<Key, Mark>) -> anyhow::Result<()> {
        let results = self.mis.write(marks).await?;
        ensure!(
            results.len() == marks.len(),
            "{} marks returned {} results",
            marks.len(),
            results.len()
        );
        let mut writebacks: HashSet<Receipt> = HashSet::new();
        let mut accepted = 0;
        for (mark, result) in marks.iter().zip(results) {
            match result {
                MarkResult::Accepted(receipt) => {
                    accepted += 1;
                    writebacks.insert(receipt.receipt);
                    held.insert((mark.student.clone(), mark.session), mark.clone());
                }
                // A pupil may have no lesson in a session.
                MarkResult::Refused(error) if error.kind() == ErrorKind::NoLesson => {}
                other => bail!("{mark:?} should be accepted, but the result is {other:?}"),
            }
        }
        ensure!(
            2 * accepted > marks.len(),
            "only {accepted} of {} marks were accepted",
            marks.len()
        );
        for writeback in &writebacks {
            let outcome = self.mis.outcome(writeback).await?;
            ensure!(
                matches!(outcome, WritebackOutcome::Open { .. }),
                "a writeback that was just accepted should be open, but is {outcome:?}"
            );
        }
        self.handle.advance(WRITE_DELAY + Duration::from_secs(5));
        for writeback in &writebacks {
            let outcome = self.mis.outcome(writeback).await?;
            ensure!(
                matches!(outcome, WritebackOutcome::Done),
                "the MIS has the marks, but the outcome is {outcome:?}"
            );
        }
        Ok(())
    }

    /// Checks that the adapter reads, and the MIS holds, the marks that were written last.
    async fn is_read_back(
        &self,
        date: NaiveDate,
        held: &BTreeMap<Key, Mark>,
    ) -> anyhow::Result<()> {
        self.handle.advance(EXTRACTION);
        let register = self.mis.register(date).await?;
        for ((student, session), mark) in held {
            let read = register.held(student, *session).with_context(|| {
                format!("{mark:?} was confirmed, but the register does not show it")
            })?;
            ensure!(
                read.code == HeldCode::Known(mark.code.clone())
                    && read.comment == mark.comment
                    && read.minutes_late == mark.minutes_late,
                "{mark:?} was confirmed, but the register shows {read:?}"
            );
        }
        let of_today = |mark: &&wonde_sandbox::MisMark| mark.date == date && mark.writes > 0;
        let marks = self.handle.mis_marks(&self.school)?;
        let written: Vec<_> = marks.iter().filter(of_today).collect();
        ensure!(
            written.len() == held.len(),
            "{} marks were confirmed, but the MIS holds {} that were written through Wonde",
            held.len(),
            written.len()
        );
        for mark in written {
            let session: Option<Session> = mark.session.and_then(|word| word.parse().ok());
            let key = session.map(|session| (StudentId::from(mark.student_id.clone()), session));
            let own = key.and_then(|key| held.get(&key));
            ensure!(
                own.is_some_and(|own| own.code.as_str() == mark.code),
                "the MIS holds `{}` for {} in {:?}, which was not written there",
                mark.code,
                mark.student_id,
                mark.session
            );
        }
        Ok(())
    }

    async fn end(self) {
        self.sandbox.stop().await;
    }
}

/// Marks of one session: every fifth pupil is late, with everything the MIS stores; the others are present.
fn arrivals(bench: &Bench, pupils: &[StudentId], session: Session) -> Vec<Mark> {
    let present = if session == Session::Am { "/" } else { "\\" };
    let mark = |(place, student): (usize, &StudentId)| {
        let late = place % 5 == 0;
        Mark {
            student: student.clone(),
            date: WINTER,
            session,
            code: if late { "L" } else { present }.into(),
            cause: EventKind::SignIn,
            comment: (late && bench.has(Ability::Comment)).then(|| COMMENT.to_owned()),
            minutes_late: (late && bench.has(Ability::MinutesLate)).then_some(7),
            employee: None,
        }
    };
    pupils.iter().enumerate().map(mark).collect()
}

async fn a_written_day(bench: &Bench) -> anyhow::Result<()> {
    let day = Day::begin(bench).await?;
    let pupils = day.pupils().await?;
    let mut held = BTreeMap::new();
    day.write(&arrivals(bench, &pupils, Session::Am), &mut held)
        .await
        .context("in the morning")?;
    day.handle.advance(Duration::from_secs(4 * 60 * 60));
    day.write(&arrivals(bench, &pupils, Session::Pm), &mut held)
        .await
        .context("after lunch")?;
    day.is_read_back(WINTER, &held)
        .await
        .context("in the afternoon")?;
    if bench.has(Ability::EarlyLeaver) {
        let leavers: Vec<Mark> = arrivals(bench, &pupils, Session::Pm)
            .into_iter()
            .step_by(4)
            .map(|mark| Mark {
                code: "M".into(),
                cause: EventKind::SignOut,
                minutes_late: None,
                ..mark
            })
            .collect();
        day.write(&leavers, &mut held)
            .await
            .context("for early leavers")?;
        day.is_read_back(WINTER, &held)
            .await
            .context("in the evening")?;
    }
    day.end().await;
    Ok(())
}

async fn a_read_day(bench: &Bench) -> anyhow::Result<()> {
    let day = Day::begin(bench).await?;
    let pupils = day.pupils().await?;
    if bench.has(Ability::Roster) {
        let groups: Vec<_> = day.mis.groups().try_collect().await?;
        ensure!(!groups.is_empty(), "no groups were read");
    }
    ensure!(
        day.mis.code_book().await?.find("L").is_some(),
        "the code book has no L"
    );
    let friday = WINTER - chrono::Days::new(3);
    let register = day.mis.register(friday).await?;
    ensure!(
        register.iter().count() > pupils.len(),
        "the register of the previous school day was not read"
    );
    let written = day.mis.write(&arrivals(bench, &pupils, Session::Am)).await;
    ensure!(
        written
            .as_ref()
            .is_err_and(|error| matches!(error.kind(), ErrorKind::Unsupported(_))),
        "writing should return `Unsupported`, but returned {written:?}"
    );
    day.handle.advance(WRITE_DELAY + EXTRACTION);
    let marks = day.handle.mis_marks(&day.school)?;
    ensure!(
        marks.iter().all(|mark| mark.writes == 0),
        "a mark was written through Wonde"
    );
    day.end().await;
    Ok(())
}
