//! What is in the way of an event, and how it goes on.

use std::time::Duration;

use markback::service::EventState::{
    Accepted, Confirmed, Planned, Received, Rejected, Superseded, Unconfirmed,
};
use wonde_sandbox::{Change, Fault, FaultRule, RetryAfter, SandboxOptions};

use crate::stage::{ARBOR, SIMS, Setup, Stage, answered, post, sign_in, sign_out};

const WRITES: &str = "attendance/session";

#[tokio::test]
async fn a_register_refused_for_one_mark_is_split_and_the_rest_goes_through() {
    let stage = Stage::usual().await;
    let pupils: Vec<_> = (0..8).map(|n| stage.pupil(SIMS, n)).collect();
    // Left since the people were read.
    let gone = Change::Remove {
        student: pupils[5].clone(),
    };
    stage.sandbox.change(&stage.school(SIMS), &gone).unwrap();
    let events = (0..8)
        .map(|n| sign_in(&format!("e{n}"), &pupils[n], "09:07:00"))
        .collect();
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    for (n, pupil) in pupils.iter().enumerate() {
        let state = stage.state(SIMS, &format!("e{n}")).await;
        if n == 5 {
            assert_eq!(state, Rejected);
            assert!(
                stage
                    .event(SIMS, "e5")
                    .await
                    .outcome
                    .unwrap()
                    .contains("Wonde said")
            );
        } else {
            assert_eq!(state, Confirmed, "e{n}");
            assert_eq!(stage.held(SIMS, pupil, "AM").unwrap().writes, 1);
        }
    }
}

#[tokio::test]
async fn a_writeback_that_fails_is_taken_apart_mark_by_mark() {
    let stage = Stage::usual().await;
    let [good, other] = [0, 1].map(|n| stage.pupil(SIMS, n));
    stage
        .sandbox
        .add_fault(
            post(Fault::RejectWriteback {
                message: Some("Not today.".to_owned()),
            })
            .times(1),
        )
        .unwrap();
    let events = vec![
        sign_in("e1", &good, "09:07:00"),
        sign_in("e2", &other, "09:08:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    for (id, pupil) in [("e1", &good), ("e2", &other)] {
        assert_eq!(stage.state(SIMS, id).await, Confirmed);
        assert_eq!(stage.held(SIMS, pupil, "AM").unwrap().writes, 1);
    }
    // Together, then each alone.
    assert_eq!(stage.requests("POST attendance/session"), 3);
}

#[tokio::test]
async fn a_mark_that_is_always_refused_is_rejected_with_the_words_given() {
    let stage = Stage::usual().await;
    let [refused, fine] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let rule = post(Fault::RejectWriteback {
        message: Some("No such pupil.".to_owned()),
    });
    stage.sandbox.add_fault(rule).unwrap();
    stage.take(SIMS, sign_in("e1", &refused, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Rejected);
    let event = stage.event(SIMS, "e1").await;
    assert!(event.outcome.unwrap().contains("No such pupil."));
    assert_eq!(stage.code(SIMS, &refused, "AM"), None);

    stage.sandbox.clear_faults();
    stage.take(SIMS, sign_in("e2", &fine, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Confirmed);
}

/// A writeback may be done and have errors against single marks: those never count as written.
#[tokio::test]
async fn a_mark_that_a_done_writeback_names_as_refused_is_not_confirmed() {
    let setup = Setup {
        sandbox: SandboxOptions {
            partial: true,
            ..Setup::default().sandbox
        },
        ..Setup::default()
    };
    let stage = Stage::set(setup).await;
    let pupils: Vec<_> = (0..4).map(|n| stage.pupil(SIMS, n)).collect();
    let gone = Change::Remove {
        student: pupils[2].clone(),
    };
    stage.sandbox.change(&stage.school(SIMS), &gone).unwrap();
    let events = (0..4)
        .map(|n| sign_in(&format!("e{n}"), &pupils[n], "09:07:00"))
        .collect();
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    for (n, pupil) in pupils.iter().enumerate() {
        let event = stage.event(SIMS, &format!("e{n}")).await;
        let outcome = event.outcome.unwrap();
        if n == 2 {
            assert_eq!(event.state, Rejected);
            assert!(outcome.contains("not at this school"), "{outcome}");
        } else {
            assert_eq!(event.state, Confirmed, "e{n}");
            // "2" may be the second or the third.
            assert!(outcome.contains("register"), "{outcome}");
            assert_eq!(stage.held(SIMS, pupil, "AM").unwrap().writes, 1);
        }
    }
}

#[tokio::test]
async fn the_one_mark_that_a_done_writeback_lost_is_written_again() {
    let stage = Stage::usual().await;
    let pupils: Vec<_> = (0..3).map(|n| stage.pupil(SIMS, n)).collect();
    let rule = post(Fault::LoseMark { named: true }).times(1);
    stage.sandbox.add_fault(rule).unwrap();
    let events = (0..3)
        .map(|n| sign_in(&format!("e{n}"), &pupils[n], "09:07:00"))
        .collect();
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    for (n, pupil) in pupils.iter().enumerate() {
        assert_eq!(stage.state(SIMS, &format!("e{n}")).await, Confirmed);
        assert_eq!(stage.held(SIMS, pupil, "AM").unwrap().writes, 1);
    }
    // Together, and the lost one alone.
    assert_eq!(stage.requests("POST attendance/session"), 2);
}

#[tokio::test]
async fn when_nobody_says_which_mark_was_lost_the_register_must_show_each() {
    let setup = Setup {
        service: "confirm_within = \"20m\"",
        ..Setup::default()
    };
    let stage = Stage::set(setup).await;
    let pupils: Vec<_> = (0..3).map(|n| stage.pupil(SIMS, n)).collect();
    let rule = post(Fault::LoseMark { named: false }).times(1);
    stage.sandbox.add_fault(rule).unwrap();
    let events = (0..3)
        .map(|n| sign_in(&format!("e{n}"), &pupils[n], "09:07:00"))
        .collect();
    stage.take_all(SIMS, events).await;
    stage.reaches(SIMS, "e1", Confirmed).await;
    stage.reaches(SIMS, "e2", Confirmed).await;
    let lost = stage.event(SIMS, "e0").await;
    assert_eq!(lost.state, Accepted);
    assert!(lost.waiting.unwrap().contains("errors"));
    stage.clock.advance(Duration::from_secs(1500));
    assert_eq!(stage.settled_as(SIMS, "e0").await, Unconfirmed);
    assert_eq!(stage.code(SIMS, &pupils[0], "AM"), None);
    assert_eq!(stage.requests("POST attendance/session"), 1);
}

#[tokio::test]
async fn of_a_refused_mark_and_a_newer_one_the_newer_stays() {
    let stage = Stage::usual().await;
    let [pupil, other] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let rule = post(Fault::RejectWriteback { message: None }).times(1);
    stage.sandbox.add_fault(rule).unwrap();
    // Nobody hears of the refusal before the newer event is there.
    let unheard = FaultRule::new(Fault::TooManyRequests {
        retry_after: RetryAfter::Seconds(20),
    });
    stage
        .sandbox
        .add_fault(unheard.on("writebacks").times(1))
        .unwrap();
    let events = vec![
        sign_in("e1", &pupil, "09:07:00"),
        sign_in("x1", &other, "09:07:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.reaches(SIMS, "e1", Accepted).await;
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    assert_eq!(stage.state(SIMS, "e1").await, Superseded);
    assert_eq!(stage.state(SIMS, "e2").await, Confirmed);
    assert_eq!(stage.state(SIMS, "x1").await, Confirmed);
}

#[tokio::test]
async fn a_newer_mark_takes_the_place_of_one_that_was_not_sent() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let rule = post(Fault::Status {
        status: 503,
        retry_after: RetryAfter::Seconds(120),
    });
    stage.sandbox.add_fault(rule.times(1)).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.waits(SIMS, "e1").await;
    assert_eq!(stage.state(SIMS, "e1").await, Planned);
    let pauses = stage.markback.outbox().pauses().await.unwrap();
    assert_eq!(pauses.len(), 1);
    assert_eq!(pauses[0].key, stage.school(SIMS));
    // Deciding rests too. Both go on when the pause is over, and the older of the two is never sent.
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    assert_eq!(stage.state(SIMS, "e2").await, Confirmed);
}

#[tokio::test]
async fn an_mis_that_is_away_is_waited_for() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let id = stage.school(SIMS);
    stage
        .sandbox
        .set_offline(&id, Some(Duration::from_secs(1800)))
        .unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.reaches(SIMS, "e1", Accepted).await;
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Accepted).await;
    assert_eq!(stage.code(SIMS, &pupil, "AM"), None);
    stage.sandbox.set_offline(&id, None).unwrap();
    stage.clock.advance(Duration::from_secs(300));
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    assert_eq!(stage.state(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.state(SIMS, "e2").await, Confirmed);
}

#[tokio::test]
async fn a_word_that_nobody_knows_is_settled_by_the_register() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let rule = post(Fault::UnknownStatus {
        word: "archived".to_owned(),
    });
    stage.sandbox.add_fault(rule.times(1)).unwrap();
    stage
        .take(SIMS, answered("e1", &pupil, "09:07:00", "Bus"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    let outcome = stage.event(SIMS, "e1").await.outcome.unwrap();
    assert!(outcome.contains("register"), "{outcome}");
}

/// Nobody saw the first mark in the register before a later one took its place, and it will never show.
#[tokio::test]
async fn a_mark_that_was_written_over_unseen_keeps_no_other_waiting() {
    let stage = Stage::usual().await;
    let [leaver, other] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let school = stage.school(SIMS);
    let day = Duration::from_secs(24 * 60 * 60);
    stage.sandbox.set_stale(&school, Some(day)).unwrap();
    let rule = post(Fault::UnknownStatus {
        word: "archived".to_owned(),
    });
    stage.sandbox.add_fault(rule.times(1)).unwrap();
    let events = vec![
        sign_in("e1", &leaver, "09:07:00"),
        sign_in("e2", &other, "09:08:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.reaches(SIMS, "e1", Accepted).await;
    stage.reaches(SIMS, "e2", Accepted).await;
    let event = sign_out("e3", &leaver, "09:50:00", "M - Dentist");
    stage.take(SIMS, event).await;
    stage.reaches(SIMS, "e3", Confirmed).await;
    stage.reaches(SIMS, "e1", Superseded).await;
    assert_eq!(stage.state(SIMS, "e2").await, Accepted);
    stage.sandbox.set_stale(&school, None).unwrap();
    assert_eq!(stage.settled_as(SIMS, "e2").await, Confirmed);
    assert_eq!(stage.code(SIMS, &leaver, "AM").as_deref(), Some("M"));
    assert_eq!(stage.requests("POST attendance/session"), 2);
}

#[tokio::test]
async fn a_writeback_that_never_settles_ends_unconfirmed() {
    let setup = Setup {
        service: "confirm_within = \"20m\"",
        ..Setup::default()
    };
    let stage = Stage::set(setup).await;
    let pupil = stage.pupil(SIMS, 0);
    stage
        .sandbox
        .add_fault(post(Fault::StuckWriteback).times(1))
        .unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.reaches(SIMS, "e1", Accepted).await;
    stage.clock.advance(Duration::from_secs(1500));
    assert_eq!(stage.settled_as(SIMS, "e1").await, Unconfirmed);
}

/// A proxy or a page for maintenance in Wonde's place: it says so, and when it has gone the marks go their way.
#[tokio::test]
async fn an_answer_that_points_elsewhere_is_told_and_waited_for() {
    let stage = Stage::usual().await;
    let [one, other] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let elsewhere = |on: &str, status: u16| {
        FaultRule::new(Fault::Status {
            status,
            retry_after: RetryAfter::None,
        })
        .on(on)
    };
    for (id, pupil, status, rule) in [
        ("e1", &one, 307, elsewhere(WRITES, 307).method("POST")),
        ("e2", &other, 302, elsewhere(WRITES, 302)),
    ] {
        stage.sandbox.add_fault(rule).unwrap();
        stage.take(SIMS, sign_in(id, pupil, "09:07:00")).await;
        stage.waits(SIMS, id).await;
        let waiting = stage.event(SIMS, id).await.waiting.unwrap();
        assert!(
            waiting.contains("redirects are not followed")
                && waiting.contains("check the base URL"),
            "{status}: {waiting}"
        );
        stage.clock.advance(Duration::from_secs(400));
        assert!(stage.event(SIMS, id).await.settled_at.is_none());
        stage.sandbox.clear_faults();
        stage.clock.advance(Duration::from_secs(400));
        assert_eq!(stage.settled_as(SIMS, id).await, Confirmed);
        assert_eq!(stage.held(SIMS, pupil, "AM").unwrap().writes, 1);
    }
}

#[tokio::test]
async fn too_many_requests_pause_the_token_for_as_long_as_is_said() {
    for retry_after in [RetryAfter::Seconds(60), RetryAfter::None] {
        let stage = Stage::usual().await;
        let pupil = stage.pupil(SIMS, 0);
        let rule = post(Fault::TooManyRequests { retry_after });
        stage.sandbox.add_fault(rule.times(1)).unwrap();
        stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
        stage
            .until("paused", async || {
                !stage.markback.outbox().pauses().await.unwrap().is_empty()
            })
            .await;
        let pause = stage.markback.outbox().pauses().await.unwrap().remove(0);
        assert!(pause.key.starts_with("token:"), "{}", pause.key);
        assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
        assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, 1);
        assert_eq!(stage.requests("POST attendance/session"), 2);
    }
}

#[tokio::test]
async fn a_revoked_token_pauses_its_schools_and_says_so_until_it_is_taken_again() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let token = stage.sandbox.token();
    stage.sandbox.set_token_revoked(&token, true);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.waits(SIMS, "e1").await;
    let waiting = stage.event(SIMS, "e1").await.waiting.unwrap();
    assert!(waiting.contains("token"), "{waiting}");
    assert_eq!(stage.state(SIMS, "e1").await, Received);
    stage.sandbox.set_token_revoked(&token, false);
    stage.clock.advance(Duration::from_secs(310));
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
}

#[tokio::test]
async fn a_token_that_was_replaced_is_read_anew() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let file = stage.folder.path().join("token");
    let good = stage.sandbox.token();
    // The school's own token takes the place of the one for all.
    stage.sandbox.set_token_revoked(&good, true);
    std::fs::write(&file, &stage.sandbox.schools()[SIMS].token).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.waits(SIMS, "e1").await;
    stage.clock.advance(Duration::from_secs(310));
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
}

#[tokio::test]
async fn an_answer_that_never_came_is_looked_up_before_anything_is_repeated() {
    for fault in [Fault::CutAfter, Fault::InvalidJson] {
        let stage = Stage::usual().await;
        let pupil = stage.pupil(SIMS, 0);
        stage.sandbox.add_fault(post(fault).times(1)).unwrap();
        stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
        assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
        assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, 1);
        assert_eq!(stage.requests("POST attendance/session"), 1);
    }
}

#[tokio::test]
async fn what_never_arrived_is_sent_again() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage
        .sandbox
        .add_fault(post(Fault::CutBefore).times(1))
        .unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, 1);
}

#[tokio::test]
async fn that_an_answer_never_came_is_not_forgotten_when_the_look_fails_too() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage
        .sandbox
        .add_fault(post(Fault::CutAfter).times(1))
        .unwrap();
    let blind = FaultRule::new(Fault::Status {
        status: 500,
        retry_after: RetryAfter::None,
    });
    stage
        .sandbox
        .add_fault(blind.on(WRITES).method("GET").after(1).times(3))
        .unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, 1);
}

#[tokio::test]
async fn with_protected_codes_nothing_is_written_unseen() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let blind = FaultRule::new(Fault::Status {
        status: 500,
        retry_after: RetryAfter::None,
    });
    stage
        .sandbox
        .add_fault(blind.on(WRITES).method("GET"))
        .unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.waits(SIMS, "e1").await;
    assert_eq!(stage.state(SIMS, "e1").await, Received);
    assert_eq!(stage.requests("POST attendance/session"), 0);
    stage.sandbox.clear_faults();
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
}

#[tokio::test]
async fn every_fault_that_passes_by_itself_passes() {
    let stage = Stage::usual().await;
    let pupils: Vec<_> = (0..20).map(|n| stage.pupil(SIMS, n)).collect();
    for rule in FaultRule::mix(11, 0.25) {
        stage.sandbox.add_fault(rule).unwrap();
    }
    for (n, pupil) in pupils.iter().enumerate() {
        stage
            .take(SIMS, sign_in(&format!("e{n}"), pupil, "09:07:00"))
            .await;
        stage.clock.advance(Duration::from_secs(5));
    }
    stage.settled().await;
    for (n, pupil) in pupils.iter().enumerate() {
        assert_eq!(
            stage.code(SIMS, pupil, "AM").as_deref(),
            Some("L"),
            "e{n}: {:?}",
            stage.event(SIMS, &format!("e{n}")).await.outcome
        );
    }
}

#[tokio::test]
async fn workers_that_end_in_the_middle_are_taken_over_from() {
    let setup = Setup {
        sandbox: SandboxOptions {
            pupils_per_school: 60,
            extraction_every: Duration::ZERO,
            ..SandboxOptions::default()
        },
        ..Setup::default()
    };
    let mut stage = Stage::set(setup).await;
    let pupils: Vec<_> = (0..10).map(|n| stage.pupil(SIMS, n)).collect();
    let slow = post(Fault::Slow {
        millis: 60_000,
        after: true,
    });
    stage.sandbox.add_fault(slow.times(1)).unwrap();
    let events = (0..10)
        .map(|n| sign_in(&format!("e{n}"), &pupils[n], "09:07:00"))
        .collect();
    stage.take_all(SIMS, events).await;
    stage
        .until("the register is out", async || {
            stage.requests("POST attendance/session") == 1
        })
        .await;
    stage.crash().await;
    stage.clock.advance(Duration::from_secs(2 * 3600));
    stage.work();
    stage.settled().await;
    for (n, pupil) in pupils.iter().enumerate() {
        assert_eq!(stage.state(SIMS, &format!("e{n}")).await, Confirmed);
        assert_eq!(
            stage.held(SIMS, pupil, "AM").unwrap().writes,
            1,
            "looked up, not doubled"
        );
    }
}

#[tokio::test]
async fn a_school_that_does_not_answer_keeps_no_other_waiting() {
    let setup = Setup {
        service: "gather = { window = \"0s\", max = 1 }",
        ..Setup::default()
    };
    let stage = Stage::set(setup).await;
    let stuck = Fault::Slow {
        millis: 600_000,
        after: false,
    };
    let (mute, other) = (stage.school(SIMS), stage.school(ARBOR));
    // Neither its reads nor its writes come back while this test lasts.
    stage
        .sandbox
        .add_fault(FaultRule::new(stuck).on(WRITES).school(&mute))
        .unwrap();
    for n in 0..12 {
        let pupil = stage.pupil(SIMS, n);
        stage
            .take(SIMS, sign_in(&format!("e{n}"), &pupil, "09:07:00"))
            .await;
    }
    assert_ne!(mute, other);
    let pupil = stage.pupil(ARBOR, 0);
    let started = std::time::Instant::now();
    stage.take(ARBOR, sign_in("x1", &pupil, "09:07:00")).await;
    stage.reaches(ARBOR, "x1", Confirmed).await;
    // The service itself waits for an answer for half a minute.
    assert!(
        started.elapsed() < Duration::from_secs(29),
        "{:?}",
        started.elapsed()
    );
}
