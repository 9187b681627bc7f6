//! One adapter before fresh standard schools, and the questions that many cases ask of what it did.

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

/// How long a client waits in cases where no answer comes.
const IMPATIENCE: Duration = Duration::from_millis(500);
/// How long it waits in all others.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a case works with.
pub(crate) struct Bench {
    pub(crate) descriptor: &'static Descriptor,
    pub(crate) fixtures: Fixtures,
    pub(crate) server: Server,
    clients: Mutex<HashMap<(u8, bool), Client>>,
}

/// One adapter at one school, with its guard and without.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) raw: Arc<dyn MisAdapter>,
    pub(crate) mis: Mis,
}

/// How an adapter may be called: as hosts do, and past its guard.
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

/// How a school is opened where it is not as usual.
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
        // Where the file is missing, the cases about fixtures and outcomes say so; the others need any answer.
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

    /// The adapter at school 1. What the opening asked is forgotten.
    pub(crate) async fn open(&self) -> anyhow::Result<Desk> {
        self.open_with(1, Opening::default()).await
    }

    /// The adapter at school 1 with a client that soon gives up waiting.
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

    /// The client for a school's token. Making one is slow, so that it is made once in a case.
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

    /// The adapter at school 1 as far as it grants.
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

    /// Moves school 1 to another zone, and the time to ten past nine of a day there.
    pub(crate) fn move_school(&self, zone: Tz, date: NaiveDate) {
        let mut world = self.server.world();
        world.set_school(1, zone);
        world.now = standard::ten_past_nine(date, zone);
    }

    /// Writes through the guard, and holds what the adapter says against what the school has.
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

    /// Writes, and wants every mark accepted.
    pub(crate) async fn write_all(
        &self,
        desk: &Desk,
        marks: &[Mark],
    ) -> anyhow::Result<Vec<MarkResult>> {
        let results = self.write(desk, marks).await?;
        for (mark, result) in marks.iter().zip(&results) {
            ensure!(
                matches!(result, MarkResult::Accepted(_)),
                "{mark:?} should have been accepted, not {result:?}"
            );
        }
        Ok(results)
    }

    /// Writes one mark, and gives the error with which it failed.
    pub(crate) async fn write_failing(&self, desk: &Desk, mark: Mark) -> anyhow::Result<Error> {
        match self.write(desk, &[mark]).await?.pop() {
            Some(MarkResult::Failed(error)) => Ok(error),
            other => bail!("the mark should have failed, not {other:?}"),
        }
    }

    /// What is said of marks must be so: accepted ones are kept just as they were given, refused and unsent ones are
    /// not. Only of those whose error says "unknown" nothing is known.
    pub(crate) fn is_true(&self, marks: &[Mark], results: &[MarkResult]) -> anyhow::Result<()> {
        ensure!(
            marks.len() == results.len(),
            "{} marks were given and {} results came back; each mark needs its own",
            marks.len(),
            results.len()
        );
        for (mark, result) in marks.iter().zip(results) {
            match result {
                MarkResult::Accepted(accepted) => self.is_kept(mark, accepted)?,
                MarkResult::Written => {
                    bail!("{mark:?} is said to be written at once; Wonde only accepts marks")
                }
                MarkResult::Refused(error) | MarkResult::Failed(error) => {
                    let unknown = matches!(result, MarkResult::Failed(_))
                        && error.recovery() == Recovery::Unknown;
                    ensure!(
                        unknown || !self.is_written(mark),
                        "{mark:?} is said not to be written ({error:?}), and the school has it"
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
                format!("{mark:?} is said to be accepted, and the school has nothing of it")
            })?;
        let code = standard::code_id(school_of(mark), mark.code.as_str());
        ensure!(
            Some(&kept.code) == code.as_ref(),
            "{mark:?} was kept with the code id {} instead of {code:?}",
            kept.code
        );
        ensure!(
            kept.comment == mark.comment,
            "{mark:?} was not kept with its own comment"
        );
        ensure!(
            kept.minutes_late == mark.minutes_late,
            "{mark:?} was kept with {:?} minutes late",
            kept.minutes_late
        );
        ensure!(
            kept.writeback.as_deref() == Some(accepted.receipt.as_str()),
            "{mark:?} was written by writeback {:?}, and the receipt says {}",
            kept.writeback,
            accepted.receipt
        );
        let lesson = accepted.lesson.as_ref().map(|lesson| lesson.as_str());
        match (&kept.place, self.declared().session) {
            (Place::Session, SessionWriteback::FirstLesson) => {
                bail!("{mark:?} was written into the session's mark, not onto a lesson")
            }
            (Place::Lesson(id), SessionWriteback::Session) => {
                bail!("{mark:?} was written onto lesson {id}, not into the session's mark")
            }
            (Place::Session, _) => ensure!(
                lesson.is_none(),
                "the receipt names lesson {lesson:?} for a session mark"
            ),
            (Place::Lesson(id), _) => ensure!(
                lesson == Some(id),
                "the mark is on lesson {id}, and the receipt says {lesson:?}"
            ),
        }
        Ok(())
    }

    /// The register must now show these marks.
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
                    format!("{mark:?} was accepted, and the register does not show it")
                })?;
            ensure!(
                held.code == HeldCode::Known(mark.code.clone())
                    && held.comment == mark.comment
                    && held.minutes_late == mark.minutes_late,
                "{mark:?} was accepted, and the register shows {held:?}"
            );
        }
        Ok(())
    }

    /// The one request that was to be sent must be the fixture's.
    pub(crate) fn sent_as(&self, fixture: Fixture) -> anyhow::Result<()> {
        let expected = self.fixtures.request(fixture)?;
        let writes = self.server.writes();
        let [write] = writes.as_slice() else {
            bail!("one request should have been sent, not {}", writes.len());
        };
        let request = format!("{} {}", write.method, write.path);
        ensure!(
            request == expected.request,
            "the request was {request}, and {} has {}",
            fixture.file(),
            expected.request
        );
        let body = write.json().context("the body that was sent is no JSON")?;
        ensure!(
            body == expected.body,
            "the body that was sent is not that of {}\n sent:     {body}\n expected: {}",
            fixture.file(),
            expected.body
        );
        Ok(())
    }

    /// What is not declared must be refused before any request, with the guard and without.
    pub(crate) async fn is_unsupported(&self, desk: &Desk, marks: &[Mark]) -> anyhow::Result<()> {
        for who in WITH_AND_WITHOUT_GUARD {
            match desk.write(who, marks).await {
                Err(error) if matches!(error.kind(), ErrorKind::Unsupported(ability) if !desk.mis.capabilities().has(ability)) =>
                    {}
                Err(error) => bail!("{who} refused with {error:?} instead of what is unsupported"),
                Ok(results) => bail!("{who} took what is not declared: {results:?}"),
            }
            self.is_silent(who)?;
        }
        Ok(())
    }

    /// No request may have been sent.
    pub(crate) fn is_silent(&self, who: &str) -> anyhow::Result<()> {
        match self.server.seen().first() {
            None => Ok(()),
            Some(seen) => bail!(
                "{who} sent {} {} for what it should refuse by itself",
                seen.method,
                seen.path
            ),
        }
    }

    /// How often a list was read, from its first page on.
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
