//! Faults in reading.

use std::sync::Arc;

use chrono::NaiveDate;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mis_wonde::{
    Code, CodeBook, HeldCode, HeldMark, Lesson, PeopleQuery, Person, Register, RegisterQuery,
    Session, wonde::AttendanceQuery,
};

use crate::{
    Wrong,
    bent::{Bend, READ_ONLY, SESSION, STRAIGHT, wrong},
};

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        does: "reads the first people only",
        descriptor: &FIRST_PAGE,
        fixtures: "read_only",
        caught_by: &[
            "roster::people_are_read_to_the_last_page",
            "sandbox::a_whole_day_is_read_and_nothing_is_written",
        ],
    },
    Wrong {
        does: "omits registration groups",
        descriptor: &UNREGISTERED,
        fixtures: "read_only",
        caught_by: &[
            "roster::a_pupil_of_this_mis_is_read_in_full",
            "roster::people_are_read_to_the_last_page",
        ],
    },
    Wrong {
        does: "reads no groups and no deletions",
        descriptor: &FORGETFUL,
        fixtures: "read_only",
        caught_by: &[
            "roster::groups_are_read",
            "roster::deletions_and_counts_are_read",
            "sandbox::a_whole_day_is_read_and_nothing_is_written",
        ],
    },
    Wrong {
        does: "returns a partial read as complete",
        descriptor: &CONTENT,
        fixtures: "read_only",
        caught_by: &[
            "roster::a_failed_page_is_an_error",
            "register::a_partial_read_is_an_error",
            "read_fault::each_status_has_its_error",
        ],
    },
    Wrong {
        does: "lets one unreadable value stop the whole read",
        descriptor: &STRICT,
        fixtures: "read_only",
        caught_by: &["roster::an_unreadable_value_does_not_stop_the_read"],
    },
    Wrong {
        does: "returns a made-up code book",
        descriptor: &OWN_BOOK,
        fixtures: "session",
        caught_by: &[
            "code_book::is_the_schools_own",
            "code_book::an_empty_list_is_an_error",
        ],
    },
    Wrong {
        does: "omits marks with unknown codes",
        descriptor: &BLIND,
        fixtures: "session",
        caught_by: &["register::is_read"],
    },
    Wrong {
        does: "reads a note as a mark",
        descriptor: &NOTED,
        fixtures: "session",
        caught_by: &["register::is_read"],
    },
    Wrong {
        does: "knows one of two codes with the same letters",
        descriptor: &ONE_EACH,
        fixtures: "session",
        caught_by: &["code_book::each_id_of_a_repeated_code_is_known"],
    },
    Wrong {
        does: "returns all rows of registers, whenever they changed",
        descriptor: &FROM_THE_BEGINNING,
        fixtures: "session",
        caught_by: &["register::rows_are_filtered_by_time_of_change"],
    },
    Wrong {
        does: "returns a partial read of rows as complete",
        descriptor: &CONTENT_WITH_ROWS,
        fixtures: "session",
        caught_by: &["register::a_partial_read_of_rows_is_an_error"],
    },
    Wrong {
        does: "returns a register built from stored rows as fresh",
        descriptor: &ALWAYS_FRESH,
        fixtures: "session",
        caught_by: &["register::is_built_from_stored_rows"],
    },
    Wrong {
        does: "omits comments",
        descriptor: &UNCOMMENTED,
        fixtures: "session",
        caught_by: &["register::is_read", "comment::is_stored"],
    },
    Wrong {
        does: "uses UTC instead of the school's time zone",
        descriptor: &BY_UTC,
        fixtures: "session",
        caught_by: &["lessons::are_read_in_the_schools_time_zone"],
    },
    Wrong {
        does: "takes all of the calendar for whole days, whatever days are asked for",
        descriptor: &ALL_DAY,
        fixtures: "session",
        caught_by: &["calendar::entries_are_read_by_their_days"],
    },
    Wrong {
        does: "takes a calendar that cannot be read for an empty one",
        descriptor: &CONTENT_WITH_DAYS,
        fixtures: "session",
        caught_by: &["calendar::a_partial_read_is_an_error"],
    },
];

wrong!(FIRST_PAGE: READ_ONLY, Bend {
    people: Some(|bent, query| bent.right.people(query).take(3).boxed()),
    ..STRAIGHT
});
wrong!(UNREGISTERED: READ_ONLY, Bend {
    people: Some(|bent, query| {
        let people = bent.right.people(query);
        people.map(|person| person.map(|person| Person { registration: None, ..person })).boxed()
    }),
    ..STRAIGHT
});
wrong!(FORGETFUL: READ_ONLY, Bend {
    groups: Some(|_| stream::empty().boxed()),
    deletions: Some(|_| stream::empty().boxed()),
    ..STRAIGHT
});
wrong!(CONTENT: READ_ONLY, Bend {
    people: Some(|bent, query| bent.right.people(query).filter(|person| std::future::ready(person.is_ok())).boxed()),
    groups: Some(|bent| bent.right.groups().filter(|group| std::future::ready(group.is_ok())).boxed()),
    register: Some(|bent, date| Box::pin(async move {
        Ok(bent.right.register(date).await.unwrap_or_else(|_| Register::new(date, bent.connection.now(), [])))
    })),
    ..STRAIGHT
});
wrong!(STRICT: READ_ONLY, Bend {
    people: Some(|bent, query| bent.right.people(PeopleQuery { issues: None, ..query })),
    ..STRAIGHT
});
wrong!(OWN_BOOK: SESSION, Bend {
    code_book: Some(|_, ()| Box::pin(async { Ok(Arc::new(CodeBook::england())) })),
    ..STRAIGHT
});
wrong!(BLIND: SESSION, Bend {
    register: Some(|bent, date| Box::pin(async move {
        let register = bent.right.register(date).await?;
        let known = register.iter().filter(|held| !matches!(held.code, HeldCode::Unreadable(_))).cloned();
        Ok(Register::new(date, register.read_at(), known))
    })),
    ..STRAIGHT
});
wrong!(NOTED: SESSION, Bend {
    register: Some(|bent, date| Box::pin(async move {
        let register = bent.right.register(date).await?;
        let mut marks: Vec<_> = register.iter().cloned().collect();
        let mut rows = bent.connection.school().session_attendance(AttendanceQuery::default()).map_err(mis_wonde::error);
        while let Some(row) = rows.try_next().await? {
            if row.date == Some(date) && row.attendance_code_id().is_none() {
                marks.push(HeldMark {
                    student: row.student_id().unwrap().as_str().into(),
                    session: row.session.unwrap().as_str().parse().unwrap(),
                    code: HeldCode::Unreadable("none".into()),
                    comment: row.comment,
                    minutes_late: None,
                    changed_at: None,
                });
            }
        }
        Ok(Register::new(date, register.read_at(), marks))
    })),
    ..STRAIGHT
});
wrong!(ONE_EACH: SESSION, Bend {
    code_book: Some(|bent, ()| Box::pin(async move {
        let book = bent.right.code_book().await?;
        let one = |code: &Code| book.find(code.as_str()).cloned();
        Ok(Arc::new(CodeBook::new(book.letters().filter_map(one))))
    })),
    ..STRAIGHT
});
wrong!(FROM_THE_BEGINNING: SESSION, Bend {
    register_rows: Some(|bent, _| bent.right.register_rows(RegisterQuery::default())),
    ..STRAIGHT
});
wrong!(CONTENT_WITH_ROWS: SESSION, Bend {
    register_rows: Some(|bent, query| {
        bent.right.register_rows(query).filter(|row| std::future::ready(row.is_ok())).boxed()
    }),
    ..STRAIGHT
});
wrong!(ALWAYS_FRESH: SESSION, Bend {
    register_of: Some(|bent, (date, _, rows)| Box::pin(async move {
        bent.right.register_of(date, bent.connection.now(), rows).await
    })),
    ..STRAIGHT
});
wrong!(UNCOMMENTED: SESSION, Bend {
    register: Some(|bent, date| Box::pin(async move {
        let register = bent.right.register(date).await?;
        let mut marks: Vec<_> = register.iter().cloned().collect();
        for mark in &mut marks {
            mark.comment = None;
        }
        Ok(Register::new(date, register.read_at(), marks))
    })),
    ..STRAIGHT
});
wrong!(BY_UTC: SESSION, Bend {
    lessons: Some(|bent, date| Box::pin(async move {
        let lessons = bent.right.lessons(date).await?;
        let by_utc = |lesson: &Lesson| Lesson {
            session: Some(if lesson.starts.time() < "12:00:00".parse().unwrap() { Session::Am } else { Session::Pm }),
            ..lesson.clone()
        };
        Ok(Arc::new(lessons.iter().map(by_utc).collect()))
    })),
    ..STRAIGHT
});
wrong!(ALL_DAY: SESSION, Bend {
    calendar: Some(|bent, _| Box::pin(async move {
        let entries = bent.right.calendar(NaiveDate::MIN, NaiveDate::MAX).await?;
        Ok(entries.map(|mut entries| {
            entries.iter_mut().for_each(|entry| entry.all_day = true);
            entries
        }))
    })),
    ..STRAIGHT
});
wrong!(CONTENT_WITH_DAYS: SESSION, Bend {
    calendar: Some(|bent, (from, until)| Box::pin(async move {
        Ok(bent.right.calendar(from, until).await.unwrap_or_else(|_| Some(Vec::new())))
    })),
    ..STRAIGHT
});
