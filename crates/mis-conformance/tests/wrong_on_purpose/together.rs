//! Faults with cancelled or concurrent calls: data of one call or school appears in another.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use mis_wonde::{Accepted, CodeBook, Mark, MarkResult};

use crate::{
    Wrong,
    bent::{Bend, SESSION, STRAIGHT, wrong},
};

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        does: "remembers the marks of a cancelled call",
        descriptor: &REMEMBERS,
        fixtures: "session",
        caught_by: &["cancel::a_cancelled_write_does_not_affect_the_next"],
    },
    Wrong {
        does: "stays busy after a call was cancelled",
        descriptor: &BUSY,
        fixtures: "session",
        caught_by: &["cancel::a_cancelled_write_does_not_affect_the_next"],
    },
    Wrong {
        does: "uses one code book for all schools",
        descriptor: &ONE_BOOK,
        fixtures: "session",
        caught_by: &[
            "schools::do_not_mix_when_reading",
            "schools::do_not_mix_when_writing",
            "code::is_sent_as_the_schools_own_id",
            "code_book::is_the_schools_own",
        ],
    },
    Wrong {
        does: "gathers the marks of concurrent calls, and sends all of them in each call",
        descriptor: &GATHERS,
        fixtures: "session",
        caught_by: &["calls::concurrent_writes_do_not_mix"],
    },
];

/// One code book for the whole test program.
static BOOK: OnceLock<Arc<CodeBook>> = OnceLock::new();

wrong!(REMEMBERS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let all = {
            let mut memory = bent.memory.lock().unwrap();
            memory.extend(marks.iter().cloned());
            memory.clone()
        };
        let mut results = bent.right.write(&all).await?;
        bent.memory.lock().unwrap().clear();
        Ok(results.split_off(all.len() - marks.len()))
    })),
    ..STRAIGHT
});
wrong!(BUSY: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        let busy = std::mem::replace(&mut *bent.memory.lock().unwrap(), marks.clone());
        if !busy.is_empty() {
            std::future::pending::<()>().await;
        }
        let results = bent.right.write(&marks).await;
        bent.memory.lock().unwrap().clear();
        results
    })),
    ..STRAIGHT
});
wrong!(ONE_BOOK: SESSION, Bend {
    code_book: Some(|bent, ()| Box::pin(async move {
        if let Some(book) = BOOK.get() {
            return Ok(book.clone());
        }
        let book = bent.right.code_book().await?;
        Ok(BOOK.get_or_init(|| book).clone())
    })),
    write: Some(|bent, marks| Box::pin(async move {
        use mis_wonde::MisAdapter as _;
        let book = bent.code_book().await?;
        let mut bodies = bent.bodies(&marks).await?;
        for (body, mark) in bodies.iter_mut().zip(&marks) {
            body.attendance_code_id = book.find(mark.code.as_str()).and_then(|line| line.id.as_ref()).unwrap().as_str().into();
        }
        let receipt = bent.connection.school().write_session_attendance(&bodies).await.map_err(mis_wonde::error)?;
        let accepted = |_| MarkResult::Accepted(Accepted::new(receipt.writeback_id.as_str()));
        Ok(bodies.iter().map(accepted).collect())
    })),
    ..STRAIGHT
});
wrong!(GATHERS: SESSION, Bend {
    write: Some(|bent, marks| Box::pin(async move {
        bent.memory.lock().unwrap().extend(marks.iter().cloned());
        tokio::task::yield_now().await;
        let all: Vec<Mark> = bent.memory.lock().unwrap().clone();
        let results = bent.right.write(&all).await?;
        let own: HashMap<_, _> = all.iter().map(|mark| mark.student.clone()).zip(results).collect();
        Ok(marks.iter().map(|mark| own[&mark.student].clone()).collect())
    })),
    ..STRAIGHT
});
