//! Cases for any adapter, however its MIS is reached.
//!
//! The adapter's crate sets up a school of its MIS for each case, such as a folder, a database or a server. The cases
//! write, read back and check everything through [`MisAdapter`]; the adapter's own tests check the traffic between the
//! adapter and its MIS. Adapters over Wonde use [`run`](crate::run), which is exact on the wire.
//!
//! ```no_run
//! use mis_conformance::any::{self, School};
//! # use mis_core::{ConnectContext, Descriptor, Error, ErrorKind};
//! # static DESCRIPTOR: Descriptor = Descriptor::new("x", "X", |_| Box::pin(async { Err(Error::new(ErrorKind::Config, "")) }));
//!
//! fn main() -> std::process::ExitCode {
//!     any::run(&DESCRIPTOR, || {
//!         let mut context = ConnectContext::new("S1");
//!         context.link = serde_json::json!({"folder": "school"});
//!         Ok(School::new(context, ["S1", "S2"], ["L", "M"]))
//!     })
//! }
//! ```

use std::{
    any::Any, collections::BTreeSet, fmt::Debug, process::ExitCode, sync::Arc, time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, NaiveDate, Utc};
use futures::{TryStreamExt as _, future::BoxFuture};
use mis_core::{
    Ability, Capabilities, ConnectContext, Descriptor, ErrorKind, EventKind, HeldCode, HeldMark,
    Mark, MarkResult, Mis, MisAdapter, PeopleQuery, PersonKind, Property, Recovery, Register,
    RegisterQuery, RegisterRow, RequestHeldBack, Session, SessionWriteback, StudentId,
    WritebackOutcome,
};

use crate::report::{CaseReport, Kind, Report};

/// The maximum duration of a case.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the outcome of accepted marks is requested before they count as lost.
const OUTCOMES: usize = 100;
/// A comment that must appear in no error and no `Debug` text.
const COMMENT: &str = "overslept again";
const UNKNOWN_CODE: &str = "no such code";

/// A school of the MIS, set up for one case.
pub struct School {
    context: ConnectContext,
    students: [StudentId; 2],
    codes: [String; 2],
    date: NaiveDate,
    hidden: Vec<String>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl School {
    /// A school that is connected with this context, two of its students, and two codes that its register knows.
    /// Neither student has a mark on 23 November 2026. The cases set the context's clock and gate.
    pub fn new(context: ConnectContext, students: [&str; 2], codes: [&str; 2]) -> Self {
        Self {
            context,
            students: students.map(StudentId::from),
            codes: codes.map(str::to_owned),
            date: now().date_naive(),
            hidden: vec![COMMENT.to_owned()],
            kept: Vec::new(),
        }
    }

    /// Adds texts, such as names and tokens, that must appear in no error and no `Debug` text.
    #[must_use]
    pub fn hiding(mut self, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hidden.extend(texts.into_iter().map(Into::into));
        self
    }

    /// Keeps something alive as long as the school, such as a temporary folder or a server.
    #[must_use]
    pub fn keeping(mut self, value: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(value));
        self
    }
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(1_795_425_000)
}

type Run = for<'a> fn(&'a Desk) -> BoxFuture<'a, anyhow::Result<()>>;

struct Case {
    name: &'static str,
    kind: Kind,
    needs: Option<Ability>,
    run: Run,
}

macro_rules! cases {
    ($($kind:ident $needs:expr, $name:literal => $run:ident;)+) => {
        const CASES: &[Case] = &[$(Case {
            name: $name,
            kind: Kind::$kind,
            needs: $needs,
            run: |desk| Box::pin($run(desk)),
        }),+];
    };
}

cases! {
    Positive None, "descriptor::is_complete" => is_complete;
    Negative None, "capabilities::are_never_wider_than_declared" => never_wider;
    Positive None, "code_book::has_the_codes" => code_book;
    Positive None, "register::is_read_with_the_rows_of_its_slots" => rows_agree;
    Positive Some(Ability::Roster), "roster::students_are_read" => students;
    Positive Some(Ability::Roster), "roster::only_requested_properties_are_read" => properties;
    Negative Some(Ability::Roster), "roster::is_rejected_if_the_operator_removes_it" => no_roster;
    Positive Some(Ability::Session), "session::a_mark_is_stored" => stored;
    Positive Some(Ability::Session), "session::a_later_mark_replaces_an_earlier_one" => replaced;
    Positive Some(Ability::Session), "session::marks_of_several_days_are_stored" => several_days;
    Positive Some(Ability::Session), "session::no_marks_return_no_results" => no_marks;
    Positive Some(Ability::Session), "session::a_mark_outlives_the_connection" => outlives;
    Positive Some(Ability::Session), "session::concurrent_writes_are_all_stored" => concurrent_writes;
    Negative Some(Ability::Session), "session::only_the_mark_with_an_unknown_code_is_rejected" => unknown_code;
    Negative None, "session::undeclared_abilities_are_rejected" => undeclared;
    Negative Some(Ability::Session), "session::the_operator_can_remove_marks" => no_session;
    Fault Some(Ability::Session), "session::a_write_held_back_by_the_host_is_not_sent" => held_back;
    Positive Some(Ability::Session), "register::only_changed_rows_are_read" => changed_rows;
    Negative None, "secrets::stay_out_of_errors_and_debug" => secrets;
}

/// Runs the cases as the whole of a test program, and returns its exit code. `setup` makes a fresh school for each
/// case.
pub fn run(
    descriptor: &'static Descriptor,
    setup: impl Fn() -> anyhow::Result<School> + Send + Sync + 'static,
) -> ExitCode {
    let setup = Arc::new(setup);
    let found = crate::Found::default();
    let trials = cases_for(descriptor)
        .enumerate()
        .map(|(place, case)| {
            let setup = setup.clone();
            crate::trial(case.name, case.kind, place, found.clone(), move || {
                run_case(case, descriptor, &*setup)
            })
        })
        .collect();
    crate::run_trials(descriptor, trials, &found)
}

/// Runs the cases without a test harness.
pub fn check(
    descriptor: &'static Descriptor,
    setup: impl Fn() -> anyhow::Result<School>,
) -> Report {
    let reports = cases_for(descriptor).map(|case| run_case(case, descriptor, &setup));
    Report::new(descriptor, reports.collect())
}

fn cases_for(descriptor: &Descriptor) -> impl Iterator<Item = &'static Case> {
    let can = descriptor.capabilities;
    CASES
        .iter()
        .filter(move |case| case.needs.is_none_or(|ability| can.has(ability)))
}

fn run_case(
    case: &Case,
    descriptor: &'static Descriptor,
    setup: &impl Fn() -> anyhow::Result<School>,
) -> CaseReport {
    crate::suite::timed(case.name, case.kind, case.needs, || {
        let school = setup().context("the school cannot be set up")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let outcome = runtime.block_on(async {
            let desk = Desk { descriptor, school };
            tokio::time::timeout(PATIENCE, (case.run)(&desk))
                .await
                .unwrap_or_else(|_| bail!("the adapter did not finish within {PATIENCE:?}"))
        });
        runtime.shutdown_background();
        outcome
    })
}

/// What a case works with.
struct Desk {
    descriptor: &'static Descriptor,
    school: School,
}

impl Desk {
    fn can(&self) -> Capabilities {
        self.descriptor.capabilities
    }

    fn context(&self) -> ConnectContext {
        let mut context = self.school.context.clone();
        context.now = Arc::new(now);
        context
    }

    async fn open(&self) -> anyhow::Result<Mis> {
        self.open_with(self.context()).await
    }

    async fn open_with(&self, context: ConnectContext) -> anyhow::Result<Mis> {
        let connected = self.descriptor.connect(context).await;
        connected.context("the adapter cannot be connected")
    }

    /// The adapter with the guard and without.
    async fn open_both(
        &self,
        context: ConnectContext,
    ) -> anyhow::Result<(Mis, Arc<dyn MisAdapter>)> {
        let raw = self.descriptor.connect_unguarded(context).await?;
        Ok((Mis::new(raw.clone()), raw))
    }

    /// A bare mark of a student for the morning.
    fn mark(&self, student: usize, code: usize) -> Mark {
        Mark {
            student: self.school.students[student].clone(),
            date: self.school.date,
            session: Session::Am,
            code: self.school.codes[code].as_str().into(),
            cause: EventKind::SignIn,
            comment: None,
            minutes_late: None,
            employee: None,
        }
    }

    /// A mark with everything that the MIS stores.
    fn full_mark(&self, student: usize, code: usize) -> Mark {
        let mut mark = self.mark(student, code);
        let max = self.can().comment_max.map_or(usize::MAX, usize::from);
        if self.can().comment {
            mark.comment = Some(COMMENT.chars().take(max).collect());
        }
        mark.minutes_late = self.can().minutes_late.then_some(7);
        mark
    }

    /// Writes marks and checks that all of them reach the MIS.
    async fn write(&self, mis: &Mis, marks: &[Mark]) -> anyhow::Result<()> {
        let results = mis
            .write(marks)
            .await
            .context("the marks cannot be written")?;
        ensure!(
            results.len() == marks.len(),
            "{} marks returned {} results",
            marks.len(),
            results.len()
        );
        for (mark, result) in marks.iter().zip(results) {
            match result {
                MarkResult::Written => {}
                MarkResult::Accepted(accepted) => {
                    let mut outcome = mis.outcome(&accepted.receipt).await?;
                    for _ in 0..OUTCOMES {
                        if !matches!(outcome, WritebackOutcome::Open { .. }) {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        outcome = mis.outcome(&accepted.receipt).await?;
                    }
                    ensure!(
                        outcome == WritebackOutcome::Done,
                        "the accepted mark {mark:?} ended as {outcome:?}"
                    );
                }
                MarkResult::Refused(error) | MarkResult::Failed(error) => {
                    bail!("{mark:?} was not written: {error}")
                }
            }
        }
        Ok(())
    }

    async fn register(&self, mis: &Mis, date: NaiveDate) -> anyhow::Result<Register> {
        let register = mis.register(date).await;
        register.context("the register cannot be read")
    }

    /// Checks that the register has exactly this mark.
    async fn shows(&self, mis: &Mis, mark: &Mark) -> anyhow::Result<()> {
        let register = self.register(mis, mark.date).await?;
        let held = register
            .held(&mark.student, mark.session)
            .with_context(|| format!("the register does not show {mark:?}"))?;
        ensure!(
            held.code == HeldCode::Known(mark.code.clone()),
            "{mark:?} is stored with the code {:?}",
            held.code
        );
        ensure!(
            held.comment == mark.comment,
            "{mark:?} is not stored with its own comment"
        );
        ensure!(
            held.minutes_late == mark.minutes_late,
            "{mark:?} is stored with {:?} minutes late",
            held.minutes_late
        );
        Ok(())
    }

    async fn is_empty(&self, mis: &Mis) -> anyhow::Result<()> {
        let register = self.register(mis, self.school.date).await?;
        for student in &self.school.students {
            ensure!(
                register.held(student, Session::Am).is_none(),
                "the register has a mark for {student}, but none should have been written"
            );
        }
        Ok(())
    }

    fn hides(&self, what: &str, value: &impl Debug) -> anyhow::Result<()> {
        let shown = format!("{value:?}");
        let leak = self.school.hidden.iter().any(|text| shown.contains(text));
        ensure!(!leak, "{what} shows a name, a comment or a token");
        Ok(())
    }
}

async fn is_complete(desk: &Desk) -> anyhow::Result<()> {
    let descriptor = desk.descriptor;
    mis_core::Registry::from_descriptors([descriptor])?;
    ensure!(!descriptor.notes.is_empty(), "`notes` is empty");
    ensure!(!descriptor.source.what.is_empty(), "`source` is empty");
    ensure!(
        descriptor.source.date.parse::<NaiveDate>().is_ok(),
        "the date of `source` is not YYYY-MM-DD"
    );
    ensure!(
        mis_core::Registry::discover()?.get(descriptor.id).is_ok(),
        "the adapter is not registered; add `register_adapter!(DESCRIPTOR);`"
    );
    Ok(())
}

async fn never_wider(desk: &Desk) -> anyhow::Result<()> {
    let all = desk.open_both(desk.context()).await?.1.capabilities();
    ensure!(
        all.is_subset_of(&desk.can()),
        "the adapter reports more than its descriptor declares: {all:?}"
    );
    for ability in Ability::ALL {
        let mut context = desk.context();
        context.without = vec![ability];
        let left = desk.open_both(context).await?.1.capabilities();
        ensure!(
            !left.has(ability) && left.is_subset_of(&all),
            "the operator removed {ability}, but the adapter reports {left:?}"
        );
    }
    Ok(())
}

async fn code_book(desk: &Desk) -> anyhow::Result<()> {
    let book = desk.open().await?.code_book().await?;
    for code in &desk.school.codes {
        ensure!(book.find(code).is_some(), "the code book lacks `{code}`");
        if desk.can().has(Ability::Session) {
            book.to_write(code)
                .with_context(|| format!("the code `{code}` cannot be written"))?;
        }
    }
    Ok(())
}

/// The register built from stored rows, as by a host that mirrors registers.
async fn mirrored(mis: &Mis, date: NaiveDate) -> anyhow::Result<Register> {
    let slots = mis.register_slots(date).await?;
    let rows = mis.register_rows(RegisterQuery::default());
    let mut rows: Vec<RegisterRow> = rows.try_collect().await?;
    rows.retain(|row| slots.contains(&row.slot));
    Ok(mis
        .register_of(date, now(), RegisterRow::latest(rows))
        .await?)
}

async fn rows_agree(desk: &Desk) -> anyhow::Result<()> {
    let mis = desk.open().await?;
    if desk.can().has(Ability::Session) {
        desk.write(&mis, &[desk.full_mark(0, 0), desk.mark(1, 1)])
            .await?;
    }
    let date = desk.school.date;
    let sorted = |register: Register| {
        let mut marks: Vec<HeldMark> = register.iter().cloned().collect();
        marks.sort_by(|a, b| (&a.student, a.session).cmp(&(&b.student, b.session)));
        marks
    };
    let (read, mirrored) = (
        desk.register(&mis, date).await?,
        mirrored(&mis, date).await?,
    );
    let (read, mirrored) = (sorted(read), sorted(mirrored));
    ensure!(
        read == mirrored,
        "the register was read as {read:?}, but its rows build {mirrored:?}"
    );
    Ok(())
}

async fn students(desk: &Desk) -> anyhow::Result<()> {
    let mis = desk.open().await?;
    let people = mis.people(PeopleQuery::new(PersonKind::Student));
    let people: Vec<_> = people.try_collect().await?;
    let ids: BTreeSet<&str> = people.iter().map(|person| person.id.as_str()).collect();
    ensure!(ids.len() == people.len(), "a student is listed twice");
    for student in &desk.school.students {
        ensure!(
            ids.contains(student.as_str()),
            "student {student} is missing"
        );
    }
    if let Some(count) = mis.people_count(PersonKind::Student).await? {
        ensure!(
            usize::try_from(count).is_ok_and(|count| count == people.len()),
            "the count is {count} students, but {} are listed",
            people.len()
        );
    }
    let groups: Vec<_> = mis.groups().try_collect().await?;
    let ids: BTreeSet<&str> = groups.iter().map(|group| group.id.as_str()).collect();
    ensure!(ids.len() == groups.len(), "a group is listed twice");
    Ok(())
}

async fn properties(desk: &Desk) -> anyhow::Result<()> {
    let mis = desk.open().await?;
    let query = PeopleQuery::new(PersonKind::Student).with([Property::Year]);
    let people: Vec<_> = mis.people(query).try_collect().await?;
    for person in people {
        for property in Property::ALL {
            ensure!(
                property == Property::Year || !person.has(property),
                "{property} was read although it was not requested"
            );
        }
    }
    Ok(())
}

async fn no_roster(desk: &Desk) -> anyhow::Result<()> {
    let mut context = desk.context();
    context.without = vec![Ability::Roster];
    let (mis, raw) = desk.open_both(context).await?;
    let query = || PeopleQuery::new(PersonKind::Student);
    for people in [mis.people(query()), raw.people(query())] {
        let read: mis_core::Result<Vec<_>> = people.try_collect().await;
        is_unsupported(read.map(|_| ()), Ability::Roster)?;
    }
    Ok(())
}

fn is_unsupported(result: mis_core::Result<()>, ability: Ability) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::Unsupported(ability) => Ok(()),
        Err(error) => bail!(
            "the error is {:?} instead of unsupported {ability}",
            error.kind()
        ),
        Ok(()) => bail!("{ability} is not declared, but the call succeeds"),
    }
}

async fn stored(desk: &Desk) -> anyhow::Result<()> {
    let mis = desk.open().await?;
    desk.is_empty(&mis).await?;
    let mut marks = vec![desk.full_mark(0, 0), desk.mark(1, 1)];
    if desk.can().early_leaver {
        let mut leaver = desk.mark(1, 0);
        leaver.session = Session::Pm;
        leaver.cause = EventKind::SignOut;
        marks.push(leaver);
    }
    desk.write(&mis, &marks).await?;
    for mark in &marks {
        desk.shows(&mis, mark).await?;
    }
    Ok(())
}

async fn replaced(desk: &Desk) -> anyhow::Result<()> {
    let mis = desk.open().await?;
    let other = desk.mark(1, 0);
    desk.write(&mis, &[desk.full_mark(0, 0), other.clone()])
        .await?;
    let later = desk.mark(0, 1);
    desk.write(&mis, std::slice::from_ref(&later)).await?;
    desk.shows(&mis, &later).await?;
    desk.shows(&mis, &other).await
}

async fn several_days(desk: &Desk) -> anyhow::Result<()> {
    let mis = desk.open().await?;
    let today = desk.mark(0, 0);
    let yesterday = Mark {
        date: today.date.pred_opt().context("there is a day before")?,
        ..desk.mark(0, 1)
    };
    let marks = [today, yesterday];
    desk.write(&mis, &marks).await?;
    for mark in &marks {
        desk.shows(&mis, mark).await?;
    }
    Ok(())
}

async fn no_marks(desk: &Desk) -> anyhow::Result<()> {
    let (mis, raw) = desk.open_both(desk.context()).await?;
    for results in [mis.write(&[]).await?, raw.write(&[]).await?] {
        ensure!(results.is_empty(), "no marks should return no results");
    }
    desk.is_empty(&mis).await
}

async fn outlives(desk: &Desk) -> anyhow::Result<()> {
    let mark = desk.full_mark(0, 0);
    let mis = desk.open().await?;
    desk.write(&mis, std::slice::from_ref(&mark)).await?;
    drop(mis);
    desk.shows(&desk.open().await?, &mark).await
}

async fn concurrent_writes(desk: &Desk) -> anyhow::Result<()> {
    let (one, other) = (desk.open().await?, desk.open().await?);
    let marks = [desk.full_mark(0, 0), desk.mark(1, 1)];
    let (first, second) = futures::join!(
        desk.write(&one, std::slice::from_ref(&marks[0])),
        desk.write(&other, std::slice::from_ref(&marks[1])),
    );
    first.and(second)?;
    for mark in &marks {
        desk.shows(&one, mark).await?;
    }
    Ok(())
}

async fn unknown_code(desk: &Desk) -> anyhow::Result<()> {
    let mis = desk.open().await?;
    let good = desk.mark(0, 0);
    let bad = Mark {
        code: UNKNOWN_CODE.into(),
        ..desk.mark(1, 0)
    };
    let results = mis.write(&[bad.clone(), good.clone()]).await?;
    let [
        MarkResult::Refused(error),
        MarkResult::Accepted(_) | MarkResult::Written,
    ] = results.as_slice()
    else {
        bail!(
            "only the mark with the unknown code should be rejected, but the results are {results:?}"
        );
    };
    ensure!(
        error.kind() == ErrorKind::UnknownCode,
        "the unknown code should return `UnknownCode`, but returned {:?}",
        error.kind()
    );
    let register = desk.register(&mis, bad.date).await?;
    ensure!(
        register.held(&bad.student, bad.session).is_none(),
        "a mark was written with another code"
    );
    Ok(())
}

async fn undeclared(desk: &Desk) -> anyhow::Result<()> {
    let (mis, raw) = desk.open_both(desk.context()).await?;
    type Ask = (Ability, fn(&mut Mark));
    let asks: [Ask; 4] = [
        (Ability::Session, |_| {}),
        (Ability::Comment, |mark| {
            mark.comment = Some(COMMENT.to_owned())
        }),
        (Ability::MinutesLate, |mark| mark.minutes_late = Some(7)),
        (Ability::EarlyLeaver, |mark| mark.cause = EventKind::SignOut),
    ];
    for (ability, ask) in asks {
        if desk.can().has(ability) {
            continue;
        }
        let mut mark = desk.mark(0, 0);
        ask(&mut mark);
        // If marks are not declared, every mark is rejected for that reason.
        let refused = match desk.can().session {
            SessionWriteback::No => Ability::Session,
            _ => ability,
        };
        is_unsupported(mis.write(&[mark.clone()]).await.map(|_| ()), refused)?;
        is_unsupported(raw.write(&[mark]).await.map(|_| ()), refused)?;
    }
    desk.is_empty(&mis).await
}

async fn no_session(desk: &Desk) -> anyhow::Result<()> {
    let mut context = desk.context();
    context.without = vec![Ability::Session];
    let (mis, raw) = desk.open_both(context).await?;
    let marks = [desk.mark(0, 0)];
    is_unsupported(mis.write(&marks).await.map(|_| ()), Ability::Session)?;
    is_unsupported(raw.write(&marks).await.map(|_| ()), Ability::Session)?;
    desk.is_empty(&mis).await
}

async fn held_back(desk: &Desk) -> anyhow::Result<()> {
    let mut context = desk.context();
    context.gate = Arc::new(|| Box::pin(std::future::ready(Err(RequestHeldBack))));
    if let Ok(mis) = desk.descriptor.connect(context).await {
        let error = match mis.write(&[desk.mark(0, 0)]).await {
            Err(error) => error,
            Ok(results) => match results.as_slice() {
                [MarkResult::Failed(error)] => error.clone(),
                other => bail!("the host held the write back, but the result is {other:?}"),
            },
        };
        ensure!(
            error.recovery() != Recovery::Unknown,
            "nothing was sent, but the error says that the result is unknown"
        );
    }
    desk.is_empty(&desk.open().await?).await
}

async fn changed_rows(desk: &Desk) -> anyhow::Result<()> {
    let mis = desk.open().await?;
    let mark = desk.mark(0, 0);
    desk.write(&mis, std::slice::from_ref(&mark)).await?;
    let day = chrono::TimeDelta::days(1);
    let since = |updated_after| RegisterQuery {
        updated_after: Some(updated_after),
        updated_before: None,
    };
    let changed: Vec<_> = mis.register_rows(since(now() - day)).try_collect().await?;
    ensure!(
        changed.iter().any(|row| row.student == mark.student),
        "the mark that was just written is not among the changed rows"
    );
    let later = Utc::now().max(now()) + day;
    let none: Vec<_> = mis.register_rows(since(later)).try_collect().await?;
    ensure!(
        none.iter().all(|row| row.changed_at.is_none()),
        "rows were read that did not change in that time"
    );
    Ok(())
}

async fn secrets(desk: &Desk) -> anyhow::Result<()> {
    let (mis, raw) = desk.open_both(desk.context()).await?;
    let mut mark = desk.full_mark(0, 0);
    if desk.can().has(Ability::Session) {
        desk.write(&mis, std::slice::from_ref(&mark)).await?;
    }
    mark.code = UNKNOWN_CODE.into();
    desk.hides("the result of a rejected mark", &mis.write(&[mark]).await)?;
    let register = desk.register(&mis, desk.school.date).await?;
    desk.hides("a register", &register)?;
    if desk.can().has(Ability::Roster) {
        let people = mis.people(PeopleQuery::new(PersonKind::Student));
        let people: Vec<_> = people.try_collect().await?;
        desk.hides("a list of people", &people)?;
    }
    desk.hides("the adapter", &raw)
}
