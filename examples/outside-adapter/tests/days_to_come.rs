//! Tests of Chalkboard's special behaviour, in addition to the conformance cases.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use mis_chalkboard::DESCRIPTOR;
use mis_wonde::{
    ConnectContext, Connection, ErrorKind, EventKind, Mark, MarkResult, Session,
    chrono::{DateTime, Days, Utc},
    wonde::Client,
};
use wonde_sandbox::{Sandbox, SandboxOptions};

#[tokio::test]
async fn a_mark_for_tomorrow_is_rejected_and_todays_are_accepted() {
    let now: DateTime<Utc> = "2026-11-23T09:10:00Z".parse().unwrap();
    let sandbox = Sandbox::start(SandboxOptions {
        schools: 1,
        pupils_per_school: 10,
        clock: Arc::new(move || now),
        ..SandboxOptions::default()
    })
    .await
    .unwrap();
    let school = sandbox.schools().remove(0);
    let client = Client::builder(school.token.into())
        .base_url(sandbox.base_url())
        .build()
        .unwrap();
    let mut context = ConnectContext::new(school.id.as_str());
    context.now = Arc::new(move || now);
    let connection = Connection::open(&client, context).await.unwrap();
    let mis = DESCRIPTOR.connect(connection.into_context()).await.unwrap();
    let pupil = sandbox
        .students(&school.id)
        .unwrap()
        .into_iter()
        .find(|pupil| pupil.on_roll)
        .unwrap();
    let today = Mark {
        student: pupil.id.into(),
        date: now.date_naive(),
        session: Session::Am,
        code: "L".into(),
        cause: EventKind::SignIn,
        comment: None,
        minutes_late: None,
        employee: None,
    };
    let tomorrow = Mark {
        date: today.date + Days::new(1),
        ..today.clone()
    };

    let results = mis.write(&[tomorrow, today]).await.unwrap();

    let [MarkResult::Refused(error), MarkResult::Accepted(_)] = results.as_slice() else {
        panic!("{results:?}");
    };
    assert_eq!(error.kind(), ErrorKind::InvalidMark);
    sandbox.stop().await;
}
