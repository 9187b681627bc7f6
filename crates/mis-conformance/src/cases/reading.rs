//! Reading of people, groups, codes, registers and lessons, the same for every MIS.

use anyhow::{Context as _, bail, ensure};
use chrono::{Days, TimeDelta};
use chrono_tz::Tz;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use mis_wonde::{
    Ability, Code, ErrorKind, HeldCode, Issues, PeopleQuery, Person, PersonKind, Property,
    RegisterQuery, RegisterRow, Session, SessionWriteback, StudentId,
};
use serde_json::json;

use super::{cases, everybody};
use crate::{
    answer::Answer,
    bench::{Bench, Desk},
    server::{
        On, Plan, Trouble,
        reading::{ADULTS, GONE},
        rows::{GROUPS, joined},
    },
    standard::{
        self, ADA, COMMENT, EVE, FAY, FORENAME, GUS, PUPILS, Repeated, SUMMER, SURNAME, Sort,
        WINTER,
    },
};

cases! {
    Positive Some(Ability::Roster), "roster::people_are_read_to_the_last_page", |can| can.roster => people_are_read;
    Positive Some(Ability::Roster), "roster::a_pupil_of_this_mis_is_read_in_full", |can| can.roster => own_student_is_read;
    Fault Some(Ability::Roster), "roster::an_unreadable_value_does_not_stop_the_read", |can| can.roster => an_unreadable_value;
    Positive Some(Ability::Roster), "roster::groups_are_read", |can| can.roster => groups_are_read;
    Positive Some(Ability::Roster), "roster::deletions_and_counts_are_read", |can| can.roster => deletions_and_counts;
    Negative Some(Ability::Roster), "roster::is_rejected_without_a_request", |can| !can.roster => roster_is_rejected;
    Fault Some(Ability::Roster), "roster::a_failed_page_is_an_error", |can| can.roster => a_failed_page;
    Positive None, "code_book::is_the_schools_own", everybody => code_book_is_read;
    Positive None, "code_book::each_id_of_a_repeated_code_is_known", everybody => repeated_codes_are_known;
    Fault None, "code_book::an_empty_list_is_an_error", everybody => no_codes;
    Positive None, "register::is_read", everybody => register_is_read;
    Fault None, "register::a_partial_read_is_an_error", everybody => register_in_part;
    Positive None, "register::rows_are_filtered_by_time_of_change", everybody => rows_by_change;
    Positive None, "register::is_built_from_stored_rows", everybody => register_of_rows;
    Fault None, "register::a_partial_read_of_rows_is_an_error", everybody => rows_in_part;
    Positive None, "lessons::are_read_in_the_schools_time_zone", everybody => lessons_are_read;
    Positive None, "calendar::entries_are_read_by_their_days", everybody => calendar_is_read;
    Fault None, "calendar::a_partial_read_is_an_error", everybody => calendar_in_part;
}

async fn people(desk: &Desk, kind: PersonKind) -> mis_wonde::Result<Vec<Person>> {
    desk.mis.people(PeopleQuery::new(kind)).try_collect().await
}

async fn people_are_read(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    for (kind, sort, many) in [
        (PersonKind::Student, Sort::Student, PUPILS),
        (PersonKind::Staff, Sort::Employee, ADULTS),
        (PersonKind::Parent, Sort::Contact, ADULTS),
    ] {
        let read = people(&desk, kind)
            .await
            .with_context(|| format!("{kind:?} cannot be read"))?;
        let ids: Vec<&str> = read.iter().map(|person| person.id.as_str()).collect();
        let expected: Vec<String> = (1..=many).map(|n| standard::id(1, sort, n)).collect();
        ensure!(
            ids == expected,
            "the school has {kind:?} {expected:?}, but {ids:?} were read"
        );
        let first = read.first().context("no person was read")?;
        ensure!(
            first.kind == kind,
            "a {kind:?} was read as a {:?}",
            first.kind
        );
        ensure!(
            first.surname.as_deref() == Some(SURNAME)
                && first
                    .forename
                    .as_ref()
                    .is_some_and(|name| name.starts_with(FORENAME)),
            "the names of {kind:?} were not read"
        );
        if kind == PersonKind::Student {
            ensure!(
                first.year.as_deref() == Some("Year 8")
                    && first.registration.as_deref() == Some("8Q"),
                "the year and registration group were read as {:?} and {:?}",
                first.year,
                first.registration
            );
            ensure!(
                first.joins == Some(joined()) && first.leaves.is_none(),
                "joined {:?}, leaves {:?}",
                first.joins,
                first.leaves
            );
        }
    }
    Ok(())
}

async fn own_student_is_read(bench: &Bench) -> anyhow::Result<()> {
    let fixture = bench.fixtures.student()?;
    if let Some(school) = bench.server.world().schools.get_mut(&1) {
        school.own_student = Some(fixture.row);
    }
    let desk = bench.open().await?;
    let all = people(&desk, PersonKind::Student)
        .await
        .context("students cannot be read")?;
    let read = all
        .into_iter()
        .find(|person| person.id == fixture.person.id)
        .context("the pupil of read_student.json was not read")?;
    ensure!(
        read == fixture.person,
        "the pupil of read_student.json differs from the file\n read:     {}\n expected: {}",
        serde_json::to_string(&read)?,
        serde_json::to_string(&fixture.person)?
    );
    Ok(())
}

/// An unreadable value is an error, unless the query notes issues: then it is noted and everybody is read.
async fn an_unreadable_value(bench: &Bench) -> anyhow::Result<()> {
    let mut fixture = bench.fixtures.student()?;
    if let Some(value) = fixture.row.get_mut("date_of_birth") {
        *value = json!("in the spring");
    } else if let Some(row) = fixture.row.as_object_mut() {
        row.insert("date_of_birth".to_owned(), json!("in the spring"));
    }
    if let Some(school) = bench.server.world().schools.get_mut(&1) {
        school.own_student = Some(fixture.row);
    }
    let desk = bench.open().await?;
    let query = PeopleQuery::new(PersonKind::Student).with([Property::DateOfBirth]);
    ensure!(
        desk.mis
            .people(query.clone())
            .try_collect::<Vec<_>>()
            .await
            .is_err(),
        "an unreadable birth date was skipped although the query does not note issues"
    );
    let issues = Issues::default();
    let read: Vec<_> = desk
        .mis
        .people(query.noting(&issues))
        .try_collect()
        .await
        .context("an unreadable birth date stopped the whole read")?;
    ensure!(
        read.iter().any(|person| person.id == fixture.person.id) && read.len() > PUPILS,
        "only {} students were read, because one has an unreadable birth date",
        read.len()
    );
    let noted = issues.take();
    ensure!(
        noted
            .iter()
            .any(|issue| issue.id.as_ref() == Some(&fixture.person.id)
                && issue.field == "date_of_birth"),
        "the unreadable birth date is not among the noted issues: {noted:?}"
    );
    Ok(())
}

async fn groups_are_read(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let groups: Vec<_> = desk
        .mis
        .groups()
        .try_collect()
        .await
        .context("groups cannot be read")?;
    let read: Vec<_> = groups
        .iter()
        .filter_map(|group| Some((group.kind.as_deref()?, group.name.as_deref()?)))
        .collect();
    ensure!(
        read == GROUPS,
        "the school's groups are {GROUPS:?}, but {read:?} were read"
    );
    Ok(())
}

async fn deletions_and_counts(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let gone: Vec<_> = desk
        .mis
        .deletions(None)
        .try_collect()
        .await
        .context("deletions cannot be read")?;
    let gone: Vec<_> = gone
        .iter()
        .filter(|row| row.gone)
        .map(|row| (row.kind, row.id.clone()))
        .collect();
    ensure!(
        gone == [(PersonKind::Student, standard::id(1, Sort::Student, GONE))],
        "one pupil was deleted, but {gone:?} was read"
    );
    let students = desk
        .mis
        .people_count(PersonKind::Student)
        .await
        .context("the count cannot be read")?;
    ensure!(
        students == Some(PUPILS as u64),
        "the school has {PUPILS} pupils, but the count was read as {students:?}"
    );
    let parents = desk
        .mis
        .people_count(PersonKind::Parent)
        .await
        .context("the count cannot be read")?;
    ensure!(
        parents.is_none(),
        "the school does not count contacts, but the count was read as {parents:?}"
    );
    Ok(())
}

async fn roster_is_rejected(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    for kind in [PersonKind::Student, PersonKind::Staff, PersonKind::Parent] {
        let query = || PeopleQuery::new(kind);
        is_no_roster(bench, "the guard", desk.mis.people(query())).await?;
        is_no_roster(bench, UNGUARDED, desk.raw.people(query())).await?;
        is_no_roster(bench, "the guard", counted(desk.mis.people_count(kind))).await?;
        is_no_roster(bench, UNGUARDED, counted(desk.raw.people_count(kind))).await?;
    }
    is_no_roster(bench, "the guard", desk.mis.groups()).await?;
    is_no_roster(bench, UNGUARDED, desk.raw.groups()).await?;
    is_no_roster(bench, "the guard", desk.mis.deletions(None)).await?;
    is_no_roster(bench, UNGUARDED, desk.raw.deletions(None)).await
}

const UNGUARDED: &str = "the adapter without its guard";

fn counted<'a>(
    count: impl Future<Output = mis_wonde::Result<Option<u64>>> + Send + 'a,
) -> BoxStream<'a, mis_wonde::Result<Option<u64>>> {
    stream::once(count).boxed()
}

async fn is_no_roster<T>(
    bench: &Bench,
    who: &str,
    rows: BoxStream<'_, mis_wonde::Result<T>>,
) -> anyhow::Result<()> {
    let outcome: mis_wonde::Result<Vec<T>> = rows.try_collect().await;
    let unsupported =
        |error: mis_wonde::Error| error.kind() == ErrorKind::Unsupported(Ability::Roster);
    ensure!(
        outcome.is_err_and(unsupported),
        "{who} should return `Unsupported` for people and groups, because the roster is not declared"
    );
    bench.is_silent(who)
}

/// Fails the request for the second page of a list, so that the read is incomplete.
fn second_page_fails(list: &'static str) -> Plan {
    let gone = Answer::json(500, serde_json::json!({"error": "server_error"}));
    Plan::once_after(
        1,
        On::Path(list),
        Trouble::Answer {
            answer: gone,
            applied: false,
        },
    )
}

async fn a_failed_page(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    for (kind, list) in [
        (PersonKind::Student, "/students"),
        (PersonKind::Staff, "/employees"),
        (PersonKind::Parent, "/contacts"),
    ] {
        bench.server.plan(second_page_fails(list));
        match people(&desk, kind).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => {
                bail!("a failed page of {list} should return `Unavailable`, but returned {error:?}")
            }
            Ok(read) => bail!(
                "the second page of {list} failed, but the first {} people were returned as all",
                read.len()
            ),
        }
        bench.server.forget();
    }
    bench.server.plan(second_page_fails("/groups"));
    let groups: mis_wonde::Result<Vec<_>> = desk.mis.groups().try_collect().await;
    ensure!(
        groups.is_err(),
        "the second page of groups failed, but the first was returned as all"
    );
    Ok(())
}

async fn code_book_is_read(bench: &Bench) -> anyhow::Result<()> {
    for school in [1, 2] {
        let desk = bench
            .open_with(school, crate::bench::Opening::default())
            .await?;
        let book = desk
            .mis
            .code_book()
            .await
            .context("the code book cannot be read")?;
        ensure!(
            book.len() == standard::CODES.len(),
            "the school has {} codes, but {} were read",
            standard::CODES.len(),
            book.len()
        );
        for letters in standard::CODES {
            let line = book
                .find(letters)
                .with_context(|| format!("the code `{letters}` was not read"))?;
            let id = line.id.as_ref().map(ToString::to_string);
            let own = standard::code_id(school, letters);
            ensure!(
                id == own,
                "the code `{letters}` has the id {own:?} at school {school}, but {id:?} was read"
            );
        }
    }
    Ok(())
}

async fn repeated_codes_are_known(bench: &Bench) -> anyhow::Result<()> {
    if let Some(school) = bench.server.world().schools.get_mut(&1) {
        school.repeated = vec![Repeated {
            letters: "I",
            active: [Some(false), Some(true)],
        }];
    }
    let desk = bench.open().await?;
    let book = desk.mis.code_book().await?;
    for id in [standard::code_id(1, "I"), standard::second_id(1, "I")] {
        let id = id.context("the standard school does not have the code")?;
        let line = book.by_id(&id.as_str().into());
        ensure!(
            line.is_some_and(|line| line.code.as_str() == "I"),
            "`I` is listed twice, but the code book does not find the one with the id {id}"
        );
    }
    Ok(())
}

async fn no_codes(bench: &Bench) -> anyhow::Result<()> {
    if let Some(school) = bench.server.world().schools.get_mut(&1) {
        school.code_book = false;
    }
    let desk = bench.open().await?;
    ensure!(
        desk.mis.code_book().await.is_err(),
        "an empty list of codes should be an error"
    );
    Ok(())
}

async fn register_is_read(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let register = desk
        .mis
        .register(WINTER)
        .await
        .context("the register cannot be read")?;
    ensure!(
        register.date() == WINTER,
        "the register of {WINTER} has the date {}",
        register.date()
    );
    let student = |pupil| StudentId::new(standard::id(1, Sort::Student, pupil));
    let eve = register
        .held(&student(EVE), Session::Am)
        .context("the mark of Eve was not read")?;
    ensure!(
        eve.code == HeldCode::Known(Code::new("I"))
            && eve.comment.as_deref() == Some(COMMENT)
            && eve.minutes_late.is_none(),
        "Eve has the code I with a comment, but {eve:?} was read"
    );
    let fay = register
        .held(&student(FAY), Session::Am)
        .context("Fay's mark was not read; a mark with an unknown code is still a mark")?;
    ensure!(
        matches!(fay.code, HeldCode::Unreadable(_)),
        "the code of Fay's mark is not in the code book, but it was read as {:?}",
        fay.code
    );
    ensure!(
        register.held(&student(GUS), Session::Am).is_none(),
        "a note without a code was read as a mark"
    );
    let many = register.iter().count();
    ensure!(
        many == 2,
        "the register of {WINTER} has two marks, but {many} were read"
    );
    ensure!(
        register.held(&student(ADA), Session::Pm).is_none(),
        "a mark on a later lesson was read as the session's mark"
    );
    Ok(())
}

async fn rows(desk: &Desk, query: RegisterQuery) -> mis_wonde::Result<Vec<RegisterRow>> {
    desk.mis.register_rows(query).try_collect().await
}

async fn rows_by_change(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let changed = standard::ten_past_nine(WINTER - Days::new(1), Tz::UTC);
    let hour = TimeDelta::hours(1);
    let illness = standard::code_id(1, "I");
    let student = |pupil| StudentId::new(standard::id(1, Sort::Student, pupil));
    for (after, before, changed_then) in [
        (None, None, true),
        (Some(changed - hour), None, true),
        (Some(changed - hour), Some(changed + hour), true),
        (Some(changed + hour), None, false),
        (None, Some(changed - hour), false),
    ] {
        let query = RegisterQuery {
            updated_after: after,
            updated_before: before,
        };
        let read = rows(&desk, query)
            .await
            .context("the rows of registers cannot be read")?;
        // The marks of the summer day changed at another time.
        let read: Vec<_> = read
            .into_iter()
            .filter(|row| row.changed_at == Some(changed))
            .collect();
        let eve = read.iter().find(|row| {
            row.student == student(EVE)
                && row.code.as_ref().map(|id| id.as_str()) == illness.as_deref()
        });
        ensure!(
            eve.is_some() == changed_then,
            "Eve's row {} between {after:?} and {before:?}, but {read:?} was read",
            if changed_then {
                "changed"
            } else {
                "did not change"
            }
        );
        if let Some(eve) = eve {
            ensure!(
                eve.comment.as_deref() == Some(COMMENT) && eve.minutes_late.is_none(),
                "Eve's row was read as {eve:?}, which differs from the school's"
            );
        }
        let fay = read.iter().find(|row| row.student == student(FAY));
        ensure!(
            fay.is_some_and(|row| row.code.is_some()) == changed_then,
            "a row with an unknown code should keep the code's id, but {fay:?} was read"
        );
    }
    Ok(())
}

async fn register_of_rows(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let simple = desk.mis.register(WINTER).await?;
    let slots = desk
        .mis
        .register_slots(WINTER)
        .await
        .context("the slots of a day's marks cannot be read")?;
    let all = rows(&desk, RegisterQuery::default()).await?;
    let of_the_day: Vec<_> = all
        .iter()
        .filter(|row| slots.contains(&row.slot))
        .cloned()
        .collect();
    let read_at = simple.read_at() - TimeDelta::hours(1);
    for rows in [of_the_day, all] {
        let built = desk
            .mis
            .register_of(WINTER, read_at, rows)
            .await
            .context("the register cannot be built from rows")?;
        ensure!(
            built.date() == WINTER && built.read_at() == read_at,
            "a register of {WINTER} with rows read at {read_at} has the date {} and the time {}",
            built.date(),
            built.read_at()
        );
        ensure!(
            built.iter().count() == simple.iter().count()
                && built
                    .iter()
                    .all(|held| simple.held(&held.student, held.session) == Some(held)),
            "the register built from rows is {built:?}, but a simple read returns {simple:?}"
        );
    }
    Ok(())
}

async fn rows_in_part(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    // The first read finds out which includes work.
    rows(&desk, RegisterQuery::default()).await?;
    bench.server.forget();
    bench.server.world().page = 1;
    bench.server.plan(second_page_fails(register_list(bench)));
    ensure!(
        rows(&desk, RegisterQuery::default()).await.is_err(),
        "the second page of rows failed, but the first was returned as all"
    );
    Ok(())
}

/// The list that registers are read from.
fn register_list(bench: &Bench) -> &'static str {
    match bench.declared().session {
        SessionWriteback::FirstLesson => "/attendance/lesson",
        SessionWriteback::Session | SessionWriteback::No => "/attendance/session",
    }
}

async fn register_in_part(bench: &Bench) -> anyhow::Result<()> {
    let list = register_list(bench);
    let desk = bench.open().await?;
    // The first read finds out which includes work.
    rows(&desk, RegisterQuery::default()).await?;
    bench.server.forget();
    bench.server.world().page = 1;
    bench.server.plan(second_page_fails(list));
    ensure!(
        desk.mis.register(WINTER).await.is_err(),
        "the register's second page failed, but the first was returned as all"
    );
    Ok(())
}

/// London in winter and in summer, and Sydney, where the morning is the previous evening in UTC.
/// An adapter that has no calendar says so, and then no closure comes from it.
async fn calendar_is_read(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let day = standard::calendar_day;
    for (from, until, days) in [(day(0), day(3), 0..4), (day(1), day(2), 1..3)] {
        let read = desk.mis.calendar(from, until).await;
        let Some(read) = read.context("the calendar cannot be read")? else {
            return Ok(());
        };
        let whole: Vec<_> = read
            .iter()
            .filter(|entry| entry.all_day)
            .map(|entry| (entry.first, entry.last, entry.name.clone()))
            .collect();
        let own: Vec<_> = days
            .map(|n| (day(n), day(n), standard::calendar_name(n)))
            .collect();
        ensure!(
            whole == own,
            "the whole days of the calendar from {from} to {until} differ\n read:     {whole:?}\n expected: {own:?}"
        );
        let timed = read.iter().filter(|entry| !entry.all_day).count();
        ensure!(
            timed == usize::from(from == day(0)),
            "an event with hours is not one of whole days, and {timed} were read as such"
        );
    }
    Ok(())
}

async fn calendar_in_part(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    bench.server.plan(second_page_fails("/events"));
    let day = standard::calendar_day;
    let read = desk.mis.calendar(day(0), day(3)).await;
    ensure!(
        !matches!(read, Ok(Some(_))),
        "the second page of the calendar failed, but the first was returned as all"
    );
    Ok(())
}

async fn lessons_are_read(bench: &Bench) -> anyhow::Result<()> {
    for (zone, date) in [
        (Tz::Europe__London, WINTER),
        (Tz::Europe__London, SUMMER),
        (Tz::Australia__Sydney, WINTER),
    ] {
        bench.move_school(zone, date);
        let desk = bench.open().await?;
        let lessons = desk
            .mis
            .lessons(date)
            .await
            .context("the lessons cannot be read")?;
        let read: Vec<_> = lessons
            .iter()
            .map(|lesson| (lesson.id.to_string(), lesson.starts, lesson.session))
            .collect();
        let mut own: Vec<_> = standard::lessons(1, zone)
            .into_iter()
            .filter(|lesson| lesson.date == date)
            .map(|lesson| (lesson.id, lesson.starts, Some(lesson.session)))
            .collect();
        own.sort_by_key(|lesson| lesson.1);
        ensure!(
            read == own,
            "the lessons of {date} in {zone} differ\n read:     {read:?}\n expected: {own:?}"
        );
    }
    Ok(())
}
