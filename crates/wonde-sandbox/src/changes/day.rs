//! A day's changes, drawn from a seed.

use chrono::{DateTime, Days, Utc};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::{Change, chance};
use crate::ids::Kind;
use crate::school::School;
use crate::world::model::GroupKind;
use crate::world::names;

/// A plausible day at the office: about one pupil in a hundred changes in some way.
pub(crate) fn a_day(school: &School, seed: u64, now: DateTime<Utc>) -> Vec<Change> {
    let mut rng = chance(school, seed.wrapping_add(1 << 40));
    let today = school.day(now);
    let mut pupils: Vec<usize> = school.on_roll(now).map(|(n, _)| n).collect();
    let share = (pupils.len() / 200).max(1);
    let mut day = Vec::new();
    for turn in 0..share {
        let day_off = rng.random_range(0..4u64);
        day.push(Change::Join {
            on: Some(today + Days::new(day_off)),
            year: None,
            forename: None,
            surname: None,
            sibling_of: (turn % 2 == 0)
                .then(|| pick(&mut rng, &mut pupils, school))
                .flatten(),
        });
    }
    for _ in 0..share {
        let on = rng.random_bool(0.5).then(|| today + Days::new(1));
        if let Some(student) = pick(&mut rng, &mut pupils, school) {
            day.push(Change::Leave { student, on });
        }
        if let Some(student) = pick(&mut rng, &mut pupils, school) {
            let surname = Some(names::surname(&mut rng));
            day.push(Change::Rename {
                student,
                forename: None,
                surname,
            });
        }
        let groups: Vec<usize> = (0..school.world.groups.len())
            .filter(|&g| {
                school
                    .world
                    .groups
                    .get(g)
                    .is_some_and(|g| matches!(g.kind, GroupKind::House | GroupKind::User))
            })
            .collect();
        if let (Some(student), Some(&group)) =
            (pick(&mut rng, &mut pupils, school), groups.choose(&mut rng))
        {
            let group = school.id(Kind::Group, group);
            day.push(Change::Move { student, group });
        }
        day.extend(family_matter(school, &mut rng, &pupils));
    }
    if let Some(student) = pick(&mut rng, &mut pupils, school) {
        day.push(Change::ReEnrol { student });
    }
    day.push(Change::Hire {
        teaching: rng.random_bool(0.5),
        forename: None,
        surname: None,
    });
    day
}

fn pick(rng: &mut ChaCha8Rng, pupils: &mut Vec<usize>, school: &School) -> Option<String> {
    if pupils.is_empty() {
        return None;
    }
    let place = rng.random_range(0..u32::try_from(pupils.len()).unwrap_or(u32::MAX));
    Some(school.id(Kind::Student, pupils.swap_remove(place as usize)))
}

/// A contact moves out, or is deleted.
fn family_matter(school: &School, rng: &mut ChaCha8Rng, pupils: &[usize]) -> Option<Change> {
    let &n = pupils.choose(rng)?;
    let link = school.world.students.get(n)?.contacts.last()?;
    let present = school
        .world
        .contacts
        .get(link.contact)
        .is_some_and(|c| c.person.times.present());
    let contact = school.id(Kind::Contact, link.contact);
    if !present {
        return None;
    }
    Some(if rng.random_bool(0.3) {
        Change::DeleteContact { contact }
    } else {
        Change::Relationship {
            student: school.id(Kind::Student, n),
            contact,
            lives_with: Some(!link.lives_with),
            parental_responsibility: None,
            priority: None,
        }
    })
}
