//! Faults of adapters that write a session's mark on the first lesson.

use futures::TryStreamExt as _;
use mis_wonde::{
    Accepted, Error, ErrorKind, Lesson, Mark, MarkResult, Recovery, Register, Result, Session,
    strategies,
    wonde::{LessonMark, LessonQuery, StudentId},
};

use crate::{
    Wrong,
    bent::{Bend, Bent, FIRST_LESSON, SESSION, STRAIGHT, wrong},
};

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        does: "writes on the last lesson of a session",
        descriptor: &LAST,
        fixtures: "first_lesson",
        caught_by: &["first_lesson::holds_the_mark", "session::a_mark_is_stored"],
    },
    Wrong {
        does: "finds first lessons by UTC",
        descriptor: &BY_UTC,
        fixtures: "first_lesson",
        caught_by: &[
            "first_lesson::is_found_by_the_schools_clock",
            "first_lesson::follows_the_configured_sessions",
        ],
    },
    Wrong {
        does: "writes on cancelled lessons",
        descriptor: &HEEDLESS,
        fixtures: "first_lesson",
        caught_by: &["first_lesson::a_cancelled_lesson_is_skipped"],
    },
    Wrong {
        does: "asks for retries for a pupil without a lesson",
        descriptor: &HOPES,
        fixtures: "first_lesson",
        caught_by: &["first_lesson::a_pupil_without_lessons_is_rejected"],
    },
    Wrong {
        does: "reads the timetable for every call",
        descriptor: &FORGETS,
        fixtures: "first_lesson",
        caught_by: &["first_lesson::the_timetable_is_cached"],
    },
    Wrong {
        does: "never reads its timetable again",
        descriptor: &CLINGS,
        fixtures: "first_lesson",
        caught_by: &["first_lesson::the_timetable_is_read_again_after_a_rejection"],
    },
    Wrong {
        does: "reads session marks as marks of first lessons",
        descriptor: &OTHER_REGISTER,
        fixtures: "first_lesson",
        caught_by: &[
            "first_lesson::holds_the_mark",
            "register::a_partial_read_is_an_error",
        ],
    },
    Wrong {
        does: "writes session marks instead of lesson marks",
        descriptor: &WRONG_PLACE,
        fixtures: "first_lesson",
        caught_by: &["session::a_mark_is_stored", "first_lesson::holds_the_mark"],
    },
];

/// Writes each mark on the lesson that `choose` selects from the pupil's lessons of the day.
async fn write_onto(
    bent: &Bent,
    marks: &[Mark],
    choose: fn(&[Lesson], &Mark) -> Option<Lesson>,
) -> Result<Vec<MarkResult>> {
    let mut results = Vec::new();
    for mark in marks {
        let own = lessons_of(bent, mark).await?;
        let Some(lesson) = choose(&own, mark) else {
            results.push(MarkResult::Refused(Error::new(
                ErrorKind::NoLesson,
                "there is no lesson",
            )));
            continue;
        };
        let [body] = bent
            .bodies(std::slice::from_ref(mark))
            .await?
            .try_into()
            .unwrap();
        let body = LessonMark {
            lesson_id: lesson.id.as_str().into(),
            student_id: body.student_id,
            attendance_code_id: body.attendance_code_id,
            comment: body.comment,
            minutes_late: body.minutes_late,
        };
        let receipt = bent
            .connection
            .school()
            .write_lesson_attendance(&[body])
            .await
            .map_err(mis_wonde::error)?;
        let accepted = Accepted::new(String::from(receipt.writeback_id));
        results.push(MarkResult::Accepted(accepted.on_lesson(lesson.id)));
    }
    Ok(results)
}

/// The pupil's lessons of the day: those that share a class with the pupil.
async fn lessons_of(bent: &Bent, mark: &Mark) -> Result<Vec<Lesson>> {
    let query = mis_wonde::wonde::PeopleQuery::new().include(["classes"]);
    let students: Vec<_> = bent
        .connection
        .school()
        .students(query)
        .try_collect()
        .await
        .map_err(mis_wonde::error)?;
    let is_own = |id: &StudentId| id.as_str() == mark.student.as_str();
    let classes: Vec<_> = students
        .iter()
        .filter(|student| is_own(&student.id))
        .flat_map(|student| student.class_ids().map(ToString::to_string))
        .collect();
    let lessons = bent.right.lessons(mark.date).await?;
    let attends = |lesson: &&Lesson| {
        lesson
            .class
            .as_ref()
            .is_some_and(|class| classes.iter().any(|own| own == class.as_str()))
    };
    Ok(lessons.iter().filter(attends).cloned().collect())
}

wrong!(LAST: FIRST_LESSON, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        write_onto(bent, &marks, |lessons, mark| {
            lessons.iter().rfind(|lesson| lesson.session == Some(mark.session)).cloned()
        }).await
    })),
    ..STRAIGHT
});
wrong!(BY_UTC: FIRST_LESSON, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        write_onto(bent, &marks, |lessons, mark| {
            let noon = "12:00:00".parse().unwrap();
            let session = |lesson: &Lesson| if lesson.starts.time() < noon { Session::Am } else { Session::Pm };
            lessons.iter().find(|lesson| session(lesson) == mark.session).cloned()
        }).await
    })),
    ..STRAIGHT
});
wrong!(HEEDLESS: FIRST_LESSON, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let rows: Vec<_> = bent.connection.school().lessons(LessonQuery::default()).try_collect().await.map_err(mis_wonde::error)?;
        let mark = marks.first().cloned().unwrap();
        let noon = "12:00:00".parse().unwrap();
        let first = rows
            .iter()
            .filter(|row| row.start_at.is_some_and(|at| at.date_naive() == mark.date && at.time() < noon))
            .min_by_key(|row| row.start_at)
            .unwrap();
        let [body] = bent.bodies(&marks).await?.try_into().unwrap();
        let body = LessonMark {
            lesson_id: first.id.clone(),
            student_id: body.student_id,
            attendance_code_id: body.attendance_code_id,
            comment: None,
            minutes_late: None,
        };
        let written = bent.connection.school().write_lesson_attendance(&[body]).await;
        Ok(vec![match written {
            Ok(receipt) => MarkResult::Accepted(Accepted::new(String::from(receipt.writeback_id)).on_lesson(first.id.as_str().into())),
            Err(error) => MarkResult::Refused(mis_wonde::error(error)),
        }])
    })),
    ..STRAIGHT
});
wrong!(HOPES: FIRST_LESSON, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let hope = |result| match result {
            MarkResult::Refused(error) if error.kind() == ErrorKind::NoLesson => {
                MarkResult::Failed(Error::with_recovery(ErrorKind::NoLesson, Recovery::Retry, "perhaps later"))
            }
            other => other,
        };
        Ok(bent.right.write(&marks).await?.into_iter().map(hope).collect())
    })),
    ..STRAIGHT
});
wrong!(FORGETS: FIRST_LESSON, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let fresh = strategies::first_lesson_marks(&FORGETS, bent.connection.clone().into_context()).await?;
        fresh.write(&marks).await
    })),
    ..STRAIGHT
});
wrong!(CLINGS: FIRST_LESSON, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        // Accepted marks remember the pupil's lesson in the first timetable.
        let again = bent.memory.lock().unwrap().iter().any(|old| marks.iter().any(|mark| mark.student == old.student));
        if again {
            let error = Error::new(ErrorKind::Refused, "the lesson is not taken");
            return Ok(marks.iter().map(|_| MarkResult::Refused(error.clone())).collect());
        }
        bent.memory.lock().unwrap().extend(marks.iter().cloned());
        bent.right.write(&marks).await
    })),
    ..STRAIGHT
});
wrong!(OTHER_REGISTER: FIRST_LESSON, Bend {
    register: Some(|bent, date| Box::pin(async move {
        let register: Register = strategies::session::read_register(&bent.connection, date).await?;
        Ok(register)
    })),
    ..STRAIGHT
});
wrong!(WRONG_PLACE: FIRST_LESSON, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let session = strategies::session_marks(&SIMPLE, bent.connection.clone().into_context()).await?;
        session.write(&marks).await
    })),
    ..STRAIGHT
});
static SIMPLE: mis_wonde::Descriptor = SESSION;
