//! The timetable: lessons, periods, rooms and subjects.

use serde_json::{Map, Value, json};

use super::{View, data};
use crate::ids::Kind;
use crate::query::Includes;
use crate::world::timetable::Lesson;

const DAYS: [&str; 5] = ["monday", "tuesday", "wednesday", "thursday", "friday"];

impl View<'_> {
    /// A lesson on its date. Its times are in UTC; its period's are in the school's local time.
    pub(crate) fn lesson(&self, lesson: &Lesson, includes: &Includes) -> Value {
        let school = self.school;
        let class = school.world.classes.get(lesson.class);
        let room = class.map_or(0, |c| c.room);
        let teacher = class.and_then(|c| c.teacher);
        let mut map = Map::new();
        map.insert(
            "id".into(),
            json!(school.lesson_id(lesson.date, lesson.place)),
        );
        map.insert(
            "period_instance_id".into(),
            json!(self.period_instance(lesson)),
        );
        map.insert("class".into(), json!(school.id(Kind::Class, lesson.class)));
        map.insert("room".into(), json!(school.id(Kind::Room, room)));
        map.insert(
            "period".into(),
            json!(school.id(Kind::Period, lesson.period)),
        );
        map.insert(
            "employee".into(),
            json!(teacher.map(|e| school.id(Kind::Employee, e))),
        );
        let times = school.lesson_times(lesson);
        map.insert("start_at".into(), self.maybe_time(times.map(|t| t.0)));
        map.insert("end_at".into(), self.maybe_time(times.map(|t| t.1)));
        map.insert("alternative".into(), json!(false));
        let settled = self.time(school.plan().settled());
        map.insert("created_at".into(), settled.clone());
        map.insert("updated_at".into(), settled);
        for (name, below) in includes.iter() {
            let value = match name {
                "class" => data(self.class(lesson.class, below)),
                "room" => data(self.room(room)),
                "period" => data(self.period(lesson.period)),
                "employee" => {
                    teacher.map_or_else(|| self.nowhere(), |e| data(self.employee(e, below)))
                }
                _ => continue,
            };
            map.insert(name.to_owned(), value);
        }
        self.veil("lessons", &mut map);
        Value::Object(map)
    }

    fn period_instance(&self, lesson: &Lesson) -> Value {
        let day = (lesson.date - self.school.ground.today).num_days() + 1_000;
        match usize::try_from(day).map(|day| day * 25 + lesson.period) {
            Err(_) => Value::Null,
            Ok(n) if self.school.shape.numbered_instances => json!(n),
            Ok(n) => json!(self.school.id(Kind::PeriodInstance, n)),
        }
    }

    /// The lessons of a class in the current week.
    pub(crate) fn lessons_of(&self, class: usize, includes: &Includes) -> Value {
        let today = self.school.day(self.now);
        let monday = today
            .week(chrono::Weekday::Mon)
            .checked_first_day()
            .unwrap_or(today);
        let days = monday.iter_days().take(5);
        days.flat_map(|day| self.school.world.lessons(day))
            .filter(|l| l.class == class && !self.school.cancelled.contains(&(l.date, l.place)))
            .map(|l| self.lesson(&l, includes))
            .collect()
    }

    /// A period of one weekday.
    pub(crate) fn period(&self, n: usize) -> Value {
        let Some(period) = self.school.world.periods.get(n) else {
            return Value::Null;
        };
        json!({
            "id": self.school.id(Kind::Period, n),
            "mis_id": (n + 1).to_string(),
            "name": period.name,
            "day": DAYS.get(usize::from(period.weekday)),
            "start_time": period.start.format("%H:%M:%S").to_string(),
            "end_time": period.end.format("%H:%M:%S").to_string(),
            "created_at": self.time(self.school.plan().settled()),
            "updated_at": self.time(self.school.plan().settled()),
        })
    }

    /// A room.
    pub(crate) fn room(&self, n: usize) -> Value {
        json!({
            "id": self.school.id(Kind::Room, n),
            "mis_id": (n + 1).to_string(),
            "name": self.school.world.rooms.get(n),
            "code": self.school.world.rooms.get(n),
            "created_at": self.time(self.school.plan().settled()),
            "updated_at": self.time(self.school.plan().settled()),
        })
    }

    /// A subject.
    pub(crate) fn subject(&self, n: usize) -> Value {
        let subject = self.school.world.subjects.get(n);
        json!({
            "id": self.school.id(Kind::Subject, n),
            "mis_id": (n + 1).to_string(),
            "name": subject.map(|s| s.0),
            "code": subject.map(|s| s.1),
            "active": true,
            "created_at": self.time(self.school.plan().settled()),
            "updated_at": self.time(self.school.plan().settled()),
        })
    }
}
