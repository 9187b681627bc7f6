//! The mirror on an MIS of a few rows, on both databases, by a clock that only the tests move.

use std::{future::ready, path::Path};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use mis_core::{
    Capabilities, Code, CodeBook, Descriptor, Error, ErrorKind, HeldCode, HeldMark, MisAdapter,
    RegisterRow, Registry, Session, Slot,
};
use outbox::TestClock;

use super::{full::Why, *};
use crate::{
    rate::Rates,
    settings::{self, Settings},
};

const fn descriptor(id: &'static str) -> Descriptor {
    Descriptor::new(id, "Rows", |_| unreachable!("it is made by hand"))
        .with_capabilities(Capabilities::SESSION_MARKS)
}
static ROWS: Descriptor = descriptor("rows");
static OTHER: Descriptor = descriptor("other");

/// Rows of Wonde's copy, of which it tells those that changed then.
#[derive(Clone, Debug)]
struct Copy {
    descriptor: &'static Descriptor,
    inner: Arc<StdMutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    rows: Vec<RegisterRow>,
    asked: Vec<RegisterQuery>,
    /// The question that is not answered, by its place.
    fails_at: Option<usize>,
}

impl Copy {
    fn set(&self, rows: &[RegisterRow]) {
        self.inner.lock().unwrap().rows = rows.to_vec();
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<RegisterQuery> {
        std::mem::take(&mut self.inner.lock().unwrap().asked)
    }
}

#[async_trait]
impl MisAdapter for Copy {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }
    fn capabilities(&self) -> Capabilities {
        self.descriptor.capabilities
    }
    fn register_rows(
        &self,
        query: RegisterQuery,
    ) -> BoxStream<'static, mis_core::Result<RegisterRow>> {
        let mut inner = self.inner.lock().unwrap();
        inner.asked.push(query);
        if inner.fails_at == Some(inner.asked.len()) {
            let error = Error::new(ErrorKind::Unavailable, "the line was cut");
            return stream::once(ready(Err(error))).boxed();
        }
        let told = |row: &&RegisterRow| {
            row.changed_at.is_none_or(|at| {
                query.updated_after.is_none_or(|after| at > after)
                    && query.updated_before.is_none_or(|before| at < before)
            })
        };
        let rows: Vec<_> = inner.rows.iter().filter(told).cloned().map(Ok).collect();
        stream::iter(rows).boxed()
    }
    async fn register_of(
        &self,
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: Vec<RegisterRow>,
    ) -> mis_core::Result<Register> {
        let marks = rows.into_iter().filter_map(|row| {
            Some(HeldMark {
                student: row.student,
                session: Session::Am,
                code: HeldCode::Known(Code::new(row.code?.as_str())),
                comment: row.comment,
                minutes_late: row.minutes_late,
                changed_at: row.changed_at,
            })
        });
        Ok(Register::new(date, read_at, marks))
    }
    async fn register(&self, date: NaiveDate) -> mis_core::Result<Register> {
        let error = format!("the register of {date} is to come from the mirror");
        Err(Error::new(ErrorKind::NotFound, error))
    }
    async fn code_book(&self) -> mis_core::Result<Arc<CodeBook>> {
        unreachable!("codes are ids here")
    }
}

struct World {
    clock: Arc<TestClock>,
    copy: Copy,
    settings: Arc<Settings>,
    store: Store,
}

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

fn monday() -> NaiveDate {
    "2026-11-23".parse().unwrap()
}

fn row(student: &str, code: &str, changed: Option<&str>) -> RegisterRow {
    row_of(monday(), student, code, changed)
}

fn row_of(date: NaiveDate, student: &str, code: &str, changed: Option<&str>) -> RegisterRow {
    RegisterRow {
        id: None,
        student: student.into(),
        slot: Slot::Session(date, Session::Am),
        date: Some(date),
        code: Some(code.into()),
        comment: Some("Hospital".to_owned()),
        minutes_late: None,
        changed_at: changed.map(at),
    }
}

impl World {
    /// On SQLite, and on PostgreSQL where there is one. It is ten to nine on the Monday.
    async fn each() -> Vec<Self> {
        let mut urls = vec!["sqlite::memory:".to_owned()];
        if let Some(server) = throwaway_postgres::shared().unwrap() {
            urls.push(server.create_database().unwrap());
        }
        let mut worlds = Vec::new();
        for url in urls {
            let clock = Arc::new(TestClock::at(at("2026-11-23T08:50:00Z")));
            let store = Store::open(&url, outbox::Settings::default(), clock.clone());
            let toml = "[[school]]\nid = 'A1'\ntimezone = 'Europe/London'\ntoken_env = 'UNUSED'\n";
            let loaded = settings::from_text(Path::new("markback.toml"), toml).unwrap();
            worlds.push(Self {
                clock,
                copy: Copy {
                    descriptor: &ROWS,
                    inner: Arc::default(),
                },
                settings: Arc::new(loaded.settings),
                store: store.await.unwrap(),
            });
        }
        worlds
    }

    /// The mirror of a node that has just started.
    fn node(&self) -> Mirror {
        let schools = Schools::new(
            LiveSettings::new((*self.settings).clone()),
            Registry::discover().unwrap(),
            self.clock.clone(),
            Rates::new(self.settings.service.rate_per_minute, &self.store),
        );
        Mirror::new(
            LiveSettings::new((*self.settings).clone()),
            self.store.clone(),
            Arc::new(schools),
            WorkerConfig::default(),
        )
    }

    fn school(&self) -> &School {
        &self.settings.schools[0]
    }

    fn mis(&self) -> Mis {
        Mis::new(Arc::new(self.copy.clone()))
    }

    async fn read_all(&self, node: &Mirror) -> Result<(), Unread> {
        node.read_all_through(self.school(), &self.mis()).await
    }

    async fn register(&self, node: &Mirror) -> Result<Arc<Register>, Unread> {
        node.register(self.school(), &self.mis(), monday(), MaxAge::Window)
            .await
    }

    /// What the register shows of a pupil this morning.
    async fn held(&self, node: &Mirror, student: &str) -> Option<String> {
        let register = self.register(node).await.unwrap();
        let held = register.held(&student.into(), Session::Am)?;
        match &held.code {
            HeldCode::Known(code) => Some(code.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn wait(&self, time: TimeDelta) {
        self.clock.shift_ms(time.num_milliseconds());
    }

    async fn why(&self, node: &Mirror) -> Option<Why> {
        let school = self.school();
        let reading = self.store.register_reading(&school.id).await.unwrap();
        node.why(school, reading.as_ref())
    }
}

fn since(time: &str) -> RegisterQuery {
    RegisterQuery {
        updated_after: Some(at(time)),
        updated_before: None,
    }
}

#[tokio::test]
async fn what_was_entered_two_months_ahead_is_seen_and_after_a_restart_only_changes_are_read() {
    for world in World::each().await {
        let planned = row("S1", "I", Some("2026-09-24T10:00:00Z"));
        let past = row_of(
            "2026-09-24".parse().unwrap(),
            "S1",
            "N",
            Some("2026-09-24T10:00:00Z"),
        );
        world.copy.set(&[planned.clone(), past]);
        let node = world.node();
        let unread = world.register(&node).await.unwrap_err();
        assert_eq!(unread.to_string(), FIRST);
        // Nothing is read while somebody waits for a decision, and the reading was asked for.
        assert!(world.copy.asked().is_empty());
        let stats = world.store.outbox().stats().await.unwrap();
        assert_eq!(stats[crate::queues::REGISTER].ready, 1);

        world.read_all(&node).await.unwrap();
        let slices = world.copy.asked();
        assert_eq!(slices.len(), 18);
        assert!(slices.is_sorted_by_key(|slice| slice.updated_after));
        assert_eq!(slices[0].updated_after, Some(at("2026-07-26T08:49:00Z")));
        assert!(
            slices[..17]
                .iter()
                .all(|slice| slice.updated_before.is_some())
        );
        assert_eq!(slices[17].updated_before, None);
        let register = world.register(&node).await.unwrap();
        let held = register.held(&"S1".into(), Session::Am).unwrap();
        assert_eq!(held.comment.as_deref(), Some("Hospital"));
        assert_eq!(held.changed_at, planned.changed_at);
        assert_eq!(register.iter().count(), 1);
        assert!(world.copy.asked().is_empty());

        // A mark whose time is from before the last reading, as it shows in a copy that was renewed since.
        world.wait(TimeDelta::minutes(10));
        let late = row("S2", "L", Some("2026-11-23T07:30:00Z"));
        world.copy.set(&[planned, late]);
        let restarted = world.node();
        assert_eq!(world.held(&restarted, "S2").await.unwrap(), "L");
        assert_eq!(world.held(&restarted, "S1").await.unwrap(), "I");
        assert_eq!(world.copy.asked(), [since("2026-11-23T05:50:00Z")]);
        let register = world.register(&restarted).await.unwrap();
        assert_eq!(register.read_at(), at("2026-11-23T09:00:00Z"));
        // The other node need not ask for what this one has read.
        world.wait(TimeDelta::minutes(1));
        assert_eq!(world.held(&node, "S2").await.unwrap(), "L");
        assert!(world.copy.asked().is_empty());
        // Unless it must know more.
        let now = outbox::Clock::now(&*world.clock);
        let mis = world.mis();
        let register = node.register(world.school(), &mis, monday(), MaxAge::Since(now));
        assert_eq!(register.await.unwrap().read_at(), now);
        assert_eq!(world.copy.asked(), [since("2026-11-23T06:00:00Z")]);
        assert_eq!(world.why(&node).await, None);
    }
}

#[tokio::test]
async fn a_first_reading_that_is_cut_off_goes_on_where_it_was() {
    for world in World::each().await {
        world
            .copy
            .set(&[row("S1", "I", Some("2026-08-01T10:00:00Z"))]);
        world.copy.inner.lock().unwrap().fails_at = Some(6);
        assert!(world.read_all(&world.node()).await.is_err());
        let before = world.copy.asked();
        assert_eq!(before.len(), 6);
        let node = world.node();
        assert!(world.register(&node).await.is_err());

        // What changes meanwhile is seen all the same.
        world.copy.inner.lock().unwrap().fails_at = None;
        world.wait(TimeDelta::hours(20));
        world
            .copy
            .inner
            .lock()
            .unwrap()
            .rows
            .push(row("S2", "L", Some("2026-11-23T09:00:00Z")));
        world.read_all(&node).await.unwrap();
        let after = world.copy.asked();
        assert_eq!(after[0], before[5]);
        assert_eq!(before.len() - 1 + after.len(), 18);
        assert_eq!(world.held(&node, "S1").await.unwrap(), "I");
        assert_eq!(world.held(&node, "S2").await.unwrap(), "L");
    }
}

#[tokio::test]
async fn a_mark_that_was_removed_is_gone_after_the_night_and_not_before() {
    for world in World::each().await {
        let days = ["2026-11-24", "2026-11-25"].map(|day| day.parse::<NaiveDate>().unwrap());
        let stays = row_of(days[0], "S1", "I", Some("2026-11-01T10:00:00Z"));
        let goes = row_of(days[0], "S2", "I", Some("2026-11-01T10:00:00Z"));
        let untimed = row_of(days[0], "S3", "I", None);
        let older = row_of(days[0], "S4", "I", Some("2026-07-26T12:00:00Z"));
        world.copy.set(&[stays.clone(), goes, untimed, older]);
        let node = world.node();
        world.read_all(&node).await.unwrap();
        let shown = async |date| {
            let mis = world.mis();
            let register = node.register(world.school(), &mis, date, MaxAge::Window);
            let mut shown: Vec<_> = register
                .await
                .unwrap()
                .iter()
                .map(|held| held.student.to_string())
                .collect();
            shown.sort();
            shown
        };
        // Without times of change nobody can say what a question leaves out.
        world.copy.asked();
        world.wait(TimeDelta::minutes(10));
        assert_eq!(shown(days[0]).await, ["S1", "S2", "S3", "S4"]);
        assert_eq!(world.copy.asked(), [since("2026-11-16T09:00:00Z")]);

        world.copy.set(std::slice::from_ref(&stays));
        world.wait(TimeDelta::hours(8));
        assert_eq!(world.why(&node).await, None);
        world.read_all(&node).await.unwrap();
        assert_eq!(shown(days[0]).await, ["S1", "S2", "S3", "S4"]);

        world.wait(TimeDelta::hours(11));
        assert_eq!(world.why(&node).await, Some(Why::Nightly));
        world.read_all(&node).await.unwrap();
        assert_eq!(world.why(&node).await, None);
        // Of a row without a time nobody can say whether it was removed, nor of one from before what the night reads.
        assert_eq!(shown(days[0]).await, ["S1", "S3", "S4"]);

        // A list that is empty as a whole is no list of removed marks.
        world.copy.set(&[]);
        world.wait(TimeDelta::hours(24));
        assert_eq!(world.why(&node).await, Some(Why::Nightly));
        world.read_all(&node).await.unwrap();
        assert_eq!(shown(days[0]).await, ["S1", "S3", "S4"]);
        assert_eq!(shown(days[1]).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_night_that_is_not_long_enough_leaves_the_morning_its_requests_and_goes_on_in_the_next() {
    for world in World::each().await {
        world
            .copy
            .set(&[row("S1", "I", Some("2026-11-01T10:00:00Z"))]);
        let node = world.node();
        world.read_all(&node).await.unwrap();
        world.wait(TimeDelta::hours(19));
        world.copy.asked();
        world.copy.inner.lock().unwrap().fails_at = Some(3);
        assert!(world.read_all(&node).await.is_err());
        world.copy.inner.lock().unwrap().fails_at = None;
        let before = world.copy.asked();
        // Eight o'clock.
        world.wait(TimeDelta::hours(4));
        assert_eq!(world.why(&node).await, None);
        world.read_all(&node).await.unwrap();
        assert!(world.copy.asked().is_empty());
        world.register(&node).await.unwrap();
        world.copy.asked();
        world.wait(TimeDelta::hours(20));
        world.read_all(&node).await.unwrap();
        assert_eq!(world.copy.asked()[0], before[2]);
    }
}

#[tokio::test]
async fn of_two_nodes_that_read_at_once_the_later_change_stays() {
    for world in World::each().await {
        let school = &world.school().id;
        let older = row("S1", "N", Some("2026-11-23T08:00:00Z"));
        let newer = row("S1", "I", Some("2026-11-23T08:30:00Z"));
        world.copy.set(std::slice::from_ref(&older));
        let node = world.node();
        world.read_all(&node).await.unwrap();
        let progress = |time| Progress {
            read_at: Some(at(time)),
            ..Progress::default()
        };
        for (row, read_at) in [
            (&newer, "2026-11-23T08:50:00Z"),
            (&older, "2026-11-23T08:49:00Z"),
        ] {
            let rows = std::slice::from_ref(row);
            let kept = world
                .store
                .keep_register(school, "rows", rows, progress(read_at));
            assert!(kept.await.unwrap());
        }
        assert_eq!(world.held(&node, "S1").await.unwrap(), "I");
        // The view is as old as the older reading.
        let register = world.register(&node).await.unwrap();
        assert_eq!(register.read_at(), at("2026-11-23T08:49:00Z"));
        // The same row twice in one answer.
        let rows = [
            newer.clone(),
            older,
            row("S2", "L", None),
            row("S2", "M", None),
        ];
        let kept = world
            .store
            .keep_register(school, "rows", &rows, Progress::default());
        assert!(kept.await.unwrap());
        let node = world.node();
        assert_eq!(world.held(&node, "S1").await.unwrap(), "I");
        assert_eq!(world.held(&node, "S2").await.unwrap(), "M");
    }
}

#[tokio::test]
async fn a_school_whose_mis_has_changed_starts_over_and_nothing_of_the_old_one_stays() {
    for mut world in World::each().await {
        let node = world.node();
        world
            .copy
            .set(&[row("S1", "I", Some("2026-11-01T10:00:00Z"))]);
        world.read_all(&node).await.unwrap();
        assert_eq!(world.held(&node, "S1").await.unwrap(), "I");
        world.copy.descriptor = &OTHER;
        world
            .copy
            .set(&[row("T1", "L", Some("2026-11-01T10:00:00Z"))]);
        assert!(matches!(world.register(&node).await, Err(Unread::First(_))));
        world.read_all(&node).await.unwrap();
        assert_eq!(world.held(&node, "T1").await.unwrap(), "L");
        assert_eq!(world.held(&node, "S1").await, None);
        // Who still reads the old one comes too late.
        let school = &world.school().id;
        let old = [row("S1", "I", Some("2026-11-23T08:30:00Z"))];
        let kept = world
            .store
            .keep_register(school, "rows", &old, Progress::default());
        assert!(!kept.await.unwrap());
        assert!(
            world
                .store
                .register_rows(school, &[old[0].slot.clone()])
                .await
                .unwrap()
                .iter()
                .all(|row| row.student != old[0].student)
        );
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_starts_anew_and_one_that_differs_a_little_does_not() {
    for world in World::each().await {
        world
            .copy
            .set(&[row("S1", "I", Some("2026-11-01T10:00:00Z"))]);
        let node = world.node();
        world.read_all(&node).await.unwrap();
        world.copy.asked();
        world.wait(TimeDelta::minutes(-20));
        assert_eq!(world.held(&node, "S1").await.unwrap(), "I");
        assert_eq!(world.copy.asked(), [since("2026-11-23T05:30:00Z")]);
        world.wait(TimeDelta::hours(-3));
        assert!(matches!(world.register(&node).await, Err(Unread::First(_))));
        assert_eq!(world.why(&node).await, Some(Why::First));
        world.read_all(&node).await.unwrap();
        assert_eq!(world.held(&node, "S1").await.unwrap(), "I");
    }
}

#[tokio::test]
async fn a_note_takes_no_marks_place_and_a_mark_that_lost_its_code_is_gone() {
    for world in World::each().await {
        let with_id = |id: &str, code: Option<&str>, changed| RegisterRow {
            id: Some(id.into()),
            code: code.map(Into::into),
            ..row("S1", "I", Some(changed))
        };
        let mark = with_id("R1", Some("I"), "2026-11-20T10:00:00Z");
        let note = with_id("R2", None, "2026-11-23T08:00:00Z");
        world.copy.set(&[mark, note]);
        let node = world.node();
        world.read_all(&node).await.unwrap();
        assert_eq!(world.held(&node, "S1").await.as_deref(), Some("I"));

        world.wait(TimeDelta::minutes(10));
        world
            .copy
            .set(&[with_id("R1", None, "2026-11-23T08:55:00Z")]);
        assert_eq!(world.held(&node, "S1").await, None);
    }
}

#[tokio::test]
async fn past_days_go_when_no_event_can_ask_for_them_and_days_to_come_stay() {
    for world in World::each().await {
        let ahead: NaiveDate = "2027-01-11".parse().unwrap();
        world.copy.set(&[
            row("S1", "I", Some("2026-11-01T10:00:00Z")),
            row_of(ahead, "S1", "I", Some("2026-11-01T10:00:00Z")),
        ]);
        let node = world.node();
        world.read_all(&node).await.unwrap();
        let kept = async || {
            let slots = [monday(), ahead].map(|date| Slot::Session(date, Session::Am));
            let rows = world.store.register_rows(&world.school().id, &slots);
            rows.await.unwrap().len()
        };
        world.wait(TimeDelta::days(8));
        assert_eq!(node.prune().await.unwrap(), 0);
        assert_eq!(kept().await, 2);
        world.wait(TimeDelta::days(3));
        assert_eq!(node.prune().await.unwrap(), 1);
        assert_eq!(kept().await, 1);

        // A school that is not in the settings any more is forgotten as long after as its people.
        let stranger = SchoolId::from("A2");
        let begun = world.store.begin_register(
            &stranger,
            "rows",
            at("2026-11-01T00:00:00Z"),
            crate::store::Before::Known,
        );
        begun.await.unwrap();
        world.wait(TimeDelta::days(29));
        node.prune().await.unwrap();
        assert!(
            world
                .store
                .register_reading(&stranger)
                .await
                .unwrap()
                .is_some()
        );
        world.wait(TimeDelta::days(2));
        node.prune().await.unwrap();
        assert!(
            world
                .store
                .register_reading(&stranger)
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(kept().await, 1);
    }
}
