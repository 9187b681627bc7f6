//! A morning's events, drawn from a seed: each pupil's events in the order of delivery.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};

/// The number of schools with events: SIMS, Arbor, ScholarPack and Bromcom.
pub(crate) const SCHOOLS: u32 = 4;

/// All events, by pupil. The events of a pupil are delivered in this order.
#[derive(Clone, Debug)]
pub struct Morning {
    /// Each pupil's events: the position of the school, the position of the pupil in it, and the events.
    pub(crate) pupils: Vec<(usize, usize, Vec<PlannedEvent>)>,
    /// The number of events.
    pub events: usize,
    /// The minimum number of pupils per school.
    pub(crate) pupils_each: u32,
}

/// A sign-in or sign-out with its time and answer.
#[derive(Clone, Debug)]
pub(crate) struct PlannedEvent {
    pub(crate) kind: &'static str,
    pub(crate) time: String,
    pub(crate) answer: Option<&'static str>,
}

impl Morning {
    /// Draws the events of this duration at this rate.
    pub fn of(seed: u64, duration: Duration, rate: u32) -> Self {
        let wanted = (duration.as_secs_f64() * f64::from(rate)).ceil().max(20.0);
        let mut random = StdRng::seed_from_u64(seed);
        let (mut pupils, mut events) = (Vec::new(), 0_usize);
        let mut places = [0_usize; SCHOOLS as usize];
        #[allow(
            clippy::cast_precision_loss,
            reason = "there are fewer than 2^52 events"
        )]
        while (events as f64) < wanted {
            let school = pupils.len() % places.len();
            let planned = day_of(&mut random);
            events += planned.len();
            pupils.push((school, places[school], planned));
            places[school] += 1;
        }
        let most = places.into_iter().max().unwrap_or_default();
        Self {
            pupils,
            events,
            pupils_each: u32::try_from(most).unwrap(),
        }
    }
}

impl PlannedEvent {
    /// The event as JSON.
    pub(crate) fn event(&self, id: &str, person: &str, at: impl Fn(&str) -> String) -> Value {
        let mut event =
            json!({"id": id, "person": person, "kind": self.kind, "at": at(&self.time)});
        if let Some(answer) = self.answer {
            let field = if self.kind == "sign_in" {
                "Why?"
            } else {
                "Where?"
            };
            event["answers"] = json!({ field: answer });
        }
        event
    }
}

fn day_of(random: &mut StdRng) -> Vec<PlannedEvent> {
    let mut time = |hour: u32, from: u32, to: u32| {
        let (minute, second) = (random.random_range(from..to), random.random_range(0..60));
        format!("{hour:02}:{minute:02}:{second:02}")
    };
    let on_time = time(8, 30, 59);
    let (late, later, much_later) = (time(9, 1, 10), time(9, 10, 19), time(9, 30, 59));
    let (leaves, back) = (time(10, 0, 30), time(10, 31, 59));
    let (lunch, late_lunch) = (time(12, 10, 59), time(13, 1, 14));
    let came = |time: &str| in_(time, None);
    let days: [Vec<PlannedEvent>; 11] = [
        vec![came(&on_time)],
        vec![in_(&late, Some("Bus"))],
        vec![came(&much_later)],
        vec![
            in_(&late, Some("Overslept")),
            out(&leaves, Some("M - Dentist")),
        ],
        vec![
            came(&on_time),
            out(&leaves, Some("M - Dentist")),
            came(&back),
        ],
        // The earlier arrival is delivered after the later one.
        vec![came(&much_later), came(&late)],
        vec![in_(&late, Some("Bus")), came(&later), came(&much_later)],
        vec![
            in_(&late, Some("I - Ill")),
            in_(&later, Some("M - Medical appointment")),
        ],
        vec![came(&on_time), came(&lunch)],
        vec![
            came(&later),
            out(&leaves, None),
            in_(&back, Some("I - Ill")),
            came(&late_lunch),
        ],
        vec![
            in_(&late, Some("I - Ill")),
            in_(&later, Some("Bus")),
            in_(&much_later, Some("I - Ill")),
            in_(&late_lunch, Some("Bus")),
        ],
    ];
    days.choose(random).cloned().unwrap_or_default()
}

fn in_(time: &str, answer: Option<&'static str>) -> PlannedEvent {
    PlannedEvent {
        kind: "sign_in",
        time: time.to_owned(),
        answer,
    }
}

fn out(time: &str, answer: Option<&'static str>) -> PlannedEvent {
    PlannedEvent {
        kind: "sign_out",
        time: time.to_owned(),
        answer,
    }
}
