//! A morning's events, out of a seed: what happens to each pupil, in the order in which the sign-in system tells it.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};

/// Schools that take part: SIMS, Arbor, ScholarPack and Bromcom.
pub(crate) const SCHOOLS: u32 = 4;

/// All events, by pupil: what comes after another of the same pupil is told after it.
#[derive(Clone, Debug)]
pub struct Morning {
    /// Each pupil's events: the school's place, the pupil's place in it, and what happens.
    pub(crate) pupils: Vec<(usize, usize, Vec<Happening>)>,
    /// How many events there are.
    pub events: usize,
    /// Pupils that a school must have at least.
    pub(crate) pupils_each: u32,
}

/// What a pupil does: in or out, when, and what was answered.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) kind: &'static str,
    pub(crate) time: String,
    pub(crate) answer: Option<&'static str>,
}

impl Morning {
    /// As many as come in that time at that rate.
    pub fn of(seed: u64, lasts: Duration, rate: u32) -> Self {
        let wanted = (lasts.as_secs_f64() * f64::from(rate)).ceil().max(20.0);
        let mut random = StdRng::seed_from_u64(seed);
        let (mut pupils, mut events) = (Vec::new(), 0_usize);
        let mut places = [0_usize; SCHOOLS as usize];
        #[allow(clippy::cast_precision_loss, reason = "nobody waits for 2^52 events")]
        while (events as f64) < wanted {
            let school = pupils.len() % places.len();
            let happenings = day_of(&mut random);
            events += happenings.len();
            pupils.push((school, places[school], happenings));
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

impl Happening {
    /// The event of it.
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

fn day_of(random: &mut StdRng) -> Vec<Happening> {
    let mut time = |hour: u32, from: u32, to: u32| {
        let (minute, second) = (random.random_range(from..to), random.random_range(0..60));
        format!("{hour:02}:{minute:02}:{second:02}")
    };
    let on_time = time(8, 30, 59);
    let (late, later, much_later) = (time(9, 1, 10), time(9, 10, 19), time(9, 30, 59));
    let (leaves, back) = (time(10, 0, 30), time(10, 31, 59));
    let (lunch, late_lunch) = (time(12, 10, 59), time(13, 1, 14));
    let came = |time: &str| in_(time, None);
    let days: [Vec<Happening>; 11] = [
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
        // The earlier arrival is told after the later one.
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

fn in_(time: &str, answer: Option<&'static str>) -> Happening {
    Happening {
        kind: "sign_in",
        time: time.to_owned(),
        answer,
    }
}

fn out(time: &str, answer: Option<&'static str>) -> Happening {
    Happening {
        kind: "sign_out",
        time: time.to_owned(),
        answer,
    }
}
