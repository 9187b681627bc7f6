//! One adapter connected to fresh standard schools, and checks that many cases share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;
use mis_wonde::{
    Ability, Capabilities, ConnectContext, Connection, Descriptor, Error, ErrorKind, HeldCode,
    Mark, MarkResult, Mis, MisAdapter, Recovery, SessionWriteback, wonde::Client,
};
use secrecy::SecretString;

use crate::{
    fixtures::{Fixture, Fixtures},
    server::{Grants, Place, Server},
    standard,
};

/// The client's timeout in cases without a response.
const IMPATIENCE: Duration = Duration::from_millis(500);
/// The client's timeout in all other cases.
const PATIENCE: Duration = Duration::from_secs(10);

/// The environment of a case.
pub(crate) struct Bench {
    pub(crate) descriptor: &'static Descriptor,
    pub(crate) fixtures: Fixtures,
    pub(crate) server: Server,
    clients: Mutex<HashMap<(u8, bool), Client>>,
}

/// One adapter at one school, with and without its guard.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) raw: Arc<dyn MisAdapter>,
    pub(crate) mis: Mis,
}

/// The two ways to call an adapter: through its guard, as hosts do, and directly.
pub(crate) const WITH_AND_WITHOUT_GUARD: [&str; 2] = [GUARDED, "the adapter without its guard"];
const GUARDED: &str = "the guard";

impl Desk {
    /// Writes in one of the [two ways](WITH_AND_WITHOUT_GUARD).
    pub(crate) async fn write(
        &self,
        who: &str,
        marks: &[Mark],
    ) -> mis_wonde::Result<Vec<MarkResult>> {
        if who == GUARDED {
            self.mis.write(marks).await
        } else {
            self.raw.write(marks).await
        }
    }
}

/// How a school is opened, if it differs from the default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opening {
    pub(crate) impatient: bool,
    pub(crate) narrow_to: Option<Capabilities>,
    pub(crate) without: Vec<Ability>,
    /// When the morning and the afternoon begin.
    pub(crate) sessions: Option<[NaiveTime; 2]>,
}

impl Bench {
    pub(crate) async fn new(descriptor: &'static Descriptor, fixtures: Fixtures) -> Self {
        // If the file is missing, the cases about fixtures and outcomes report it; the others work with any response.
        let server = Server::start(fixtures.answers().unwrap_or_default()).await;
        Self {
            descriptor,
            fixtures,
            server,
            clients: Mutex::default(),
        }
    }

    pub(crate) fn declared(&self) -> Capabilities {
        self.descriptor.capabilities
    }

    pub(crate) fn has(&self, ability: Ability) -> bool {
        self.declared().has(ability)
    }

    /// Opens the adapter at school 1 and forgets the requests so far.
    pub(crate) async fn open(&self) -> anyhow::Result<Desk> {
        self.open_with(1, Opening::default()).await
    }

    /// Opens the adapter at school 1 with a client that has a short timeout.
    pub(crate) async fn open_impatient(&self) -> anyhow::Result<Desk> {
        self.open_with(
            1,
            Opening {
                impatient: true,
                ..Opening::default()
            },
        )
        .await
    }

    pub(crate) async fn open_with(&self, school: u8, opening: Opening) -> anyhow::Result<Desk> {
        self.server.forget();
        let client = self.client(school, opening.impatient)?;
        let world = self.server.clock();
        let mut context = ConnectContext::new(standard::school_id(school));
        if let Some([morning, afternoon]) = opening.sessions {
            context.morning_from = Some(morning);
            context.afternoon_from = afternoon;
        }
        context.mis = Some(self.descriptor.name.to_owned());
        context.narrow_to = opening.narrow_to;
        context.without = opening.without;
        context.now = Arc::new(move || world.now());
        let connection = Connection::open(&client, context)
            .await
            .context("the standard school cannot be opened")?;
        let raw = self
            .descriptor
            .connect_unguarded(connection.into_context())
            .await
            .context("the adapter cannot be connected")?;
        self.server.forget();
        Ok(Desk {
            mis: Mis::new(raw.clone()),
            raw,
        })
    }

    /// The client for a school's token, built once per case because building one is slow.
    fn client(&self, school: u8, impatient: bool) -> anyhow::Result<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(school, impatient)) {
            return Ok(client.clone());
        }
        let client = Client::builder(SecretString::from(standard::token(school)))
            .base_url(self.server.address())
            .timeout(if impatient { IMPATIENCE } else { PATIENCE })
            .read_retries(0)
            .build()?;
        clients.insert((school, impatient), client.clone());
        Ok(client)
    }

    /// Opens the adapter at school 1 with these grants.
    pub(crate) async fn open_granting(
        &self,
        grants: Grants,
        opening: Opening,
    ) -> anyhow::Result<Desk> {
        if let Some(school) = self.server.world().schools.get_mut(&1) {
            school.grants = grants;
        }
        self.open_with(1, opening).await
    }

    /// Moves school 1 to another time zone, and the clock to ten past nine on a day there.
    pub(crate) fn move_school(&self, zone: Tz, date: NaiveDate) {
        let mut world = self.server.world();
        world.set_school(1, zone);
        world.now = standard::ten_past_nine(date, zone);
    }

    /// Writes through the guard, and compares the results with the school's marks.
    pub(crate) async fn write(
        &self,
        desk: &Desk,
        marks: &[Mark],
    ) -> anyhow::Result<Vec<MarkResult>> {
        let results = desk
            .mis
            .write(marks)
            .await
            .map_err(|error| anyhow::anyhow!("writing failed as a whole: {error:?}"))?;
        self.is_true(marks, &results)?;
        Ok(results)
    }

    /// Writes marks and checks that all are accepted.
    pub(crate) async fn write_all(
        &self,
        desk: &Desk,
        marks: &[Mark],
    ) -> anyhow::Result<Vec<MarkResult>> {
        let results = self.write(desk, marks).await?;
        for (mark, result) in marks.iter().zip(&results) {
            ensure!(
                matches!(result, MarkResult::Accepted(_)),
                "{mark:?} should be accepted, but the result is {result:?}"
            );
        }
        Ok(results)
    }

    /// Writes one mark and returns its error.
    pub(crate) async fn write_failing(&self, desk: &Desk, mark: Mark) -> anyhow::Result<Error> {
        match self.write(desk, &[mark]).await?.pop() {
            Some(MarkResult::Failed(error)) => Ok(error),
            other => bail!("the mark should fail, but the result is {other:?}"),
        }
    }

    /// Checks that the results are true: accepted marks are stored exactly as given; rejected and unsent marks are not.
    /// If the recovery is `Unknown`, either is possible.
    pub(crate) fn is_true(&self, marks: &[Mark], results: &[MarkResult]) -> anyhow::Result<()> {
        ensure!(
            marks.len() == results.len(),
            "{} marks returned {} results; each mark needs its own",
            marks.len(),
            results.len()
        );
        for (mark, result) in marks.iter().zip(results) {
            match result {
                MarkResult::Accepted(accepted) => self.is_kept(mark, accepted)?,
                MarkResult::Written => {
                    bail!("{mark:?} is reported as written; Wonde only accepts marks")
                }
                MarkResult::Refused(error) | MarkResult::Failed(error) => {
                    let unknown = matches!(result, MarkResult::Failed(_))
                        && error.recovery() == Recovery::Unknown;
                    ensure!(
                        unknown || !self.is_written(mark),
                        "{mark:?} is reported as not written ({error:?}), but the school has it"
                    );
                }
            }
        }
        Ok(())
    }

    fn is_written(&self, mark: &Mark) -> bool {
        let id = standard::code_id(school_of(mark), mark.code.as_str());
        self.server
            .world()
            .written_of(&mark.student, mark.date, mark.session)
            .is_some_and(|kept| id.as_deref() == Some(kept.code.as_str()))
    }

    fn is_kept(&self, mark: &Mark, accepted: &mis_wonde::Accepted) -> anyhow::Result<()> {
        let world = self.server.world();
        let kept = world
            .written_of(&mark.student, mark.date, mark.session)
            .with_context(|| {
                format!("{mark:?} is reported as accepted, but the school does not have it")
            })?;
        let code = standard::code_id(school_of(mark), mark.code.as_str());
        ensure!(
            Some(&kept.code) == code.as_ref(),
            "{mark:?} was stored with the code id {} instead of {code:?}",
            kept.code
        );
        ensure!(
            kept.comment == mark.comment,
            "{mark:?} was not stored with its own comment"
        );
        ensure!(
            kept.minutes_late == mark.minutes_late,
            "{mark:?} was stored with {:?} minutes late",
            kept.minutes_late
        );
        ensure!(
            kept.writeback.as_deref() == Some(accepted.receipt.as_str()),
            "{mark:?} was written by the writeback {:?}, but the receipt names {}",
            kept.writeback,
            accepted.receipt
        );
        let lesson = accepted.lesson.as_ref().map(|lesson| lesson.as_str());
        match (&kept.place, self.declared().session) {
            (Place::Session, SessionWriteback::FirstLesson) => {
                bail!("{mark:?} was written as a session mark, not on a lesson")
            }
            (Place::Lesson(id), SessionWriteback::Session) => {
                bail!("{mark:?} was written on lesson {id}, not as a session mark")
            }
            (Place::Session, _) => ensure!(
                lesson.is_none(),
                "the receipt names lesson {lesson:?} for a session mark"
            ),
            (Place::Lesson(id), _) => ensure!(
                lesson == Some(id),
                "the mark is on lesson {id}, but the receipt names {lesson:?}"
            ),
        }
        Ok(())
    }

    /// Checks that the register shows these marks.
    pub(crate) async fn is_in_register(
        &self,
        desk: &Desk,
        date: NaiveDate,
        marks: &[Mark],
    ) -> anyhow::Result<()> {
        let register = desk
            .mis
            .register(date)
            .await
            .context("the register cannot be read back")?;
        for mark in marks {
            let held = register
                .held(&mark.student, mark.session)
                .with_context(|| {
                    format!("{mark:?} was accepted, but the register does not show it")
                })?;
            ensure!(
                held.code == HeldCode::Known(mark.code.clone())
                    && held.comment == mark.comment
                    && held.minutes_late == mark.minutes_late,
                "{mark:?} was accepted, but the register shows {held:?}"
            );
        }
        Ok(())
    }

    /// Checks that exactly one request was sent, and that it is the fixture's.
    pub(crate) fn sent_as(&self, fixture: Fixture) -> anyhow::Result<()> {
        let expected = self.fixtures.request(fixture)?;
        let writes = self.server.writes();
        let [write] = writes.as_slice() else {
            bail!("expected one request, but {} were sent", writes.len());
        };
        let request = format!("{} {}", write.method, write.path);
        ensure!(
            request == expected.request,
            "the request was {request}, but {} has {}",
            fixture.file(),
            expected.request
        );
        let body = write.json().context("the request's body is not JSON")?;
        ensure!(
            body == expected.body,
            "the request's body differs from {}\n sent:     {body}\n expected: {}",
            fixture.file(),
            expected.body
        );
        Ok(())
    }

    /// Checks that an undeclared ability is rejected before any request, with and without the guard.
    pub(crate) async fn is_unsupported(&self, desk: &Desk, marks: &[Mark]) -> anyhow::Result<()> {
        for who in WITH_AND_WITHOUT_GUARD {
            match desk.write(who, marks).await {
                Err(error) if matches!(error.kind(), ErrorKind::Unsupported(ability) if !desk.mis.capabilities().has(ability)) =>
                    {}
                Err(error) => bail!("{who} should return `Unsupported`, but returned {error:?}"),
                Ok(results) => {
                    bail!("{who} should reject an undeclared ability, but returned {results:?}")
                }
            }
            self.is_silent(who)?;
        }
        Ok(())
    }

    /// Checks that no request was sent.
    pub(crate) fn is_silent(&self, who: &str) -> anyhow::Result<()> {
        match self.server.seen().first() {
            None => Ok(()),
            Some(seen) => bail!(
                "{who} sent {} {} instead of rejecting the call without a request",
                seen.method,
                seen.path
            ),
        }
    }

    /// How often a list was read, counted by first pages.
    pub(crate) fn first_pages(&self, list: &str) -> usize {
        let seen = self.server.seen();
        seen.iter()
            .filter(|seen| !seen.is_write() && seen.path.ends_with(list) && seen.is_first_page())
            .count()
    }
}

/// The school that a mark's pupil belongs to: the number after the `A` of its id.
fn school_of(mark: &Mark) -> u8 {
    mark.student
        .as_str()
        .chars()
        .nth(1)
        .and_then(|digit| digit.to_digit(10))
        .and_then(|digit| u8::try_from(digit).ok())
        .unwrap_or_default()
}
