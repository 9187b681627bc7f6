//! Families: children with siblings, and adults in usual and unusual relationships.

use chrono::{Datelike, Days, NaiveDate};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::model::{Contact, Gender, GroupKind, Link, Name, Person, Student, Times, World};
use super::{Plan, groups_of, names, night, upi};

/// Fills the school with pupils and their contacts.
pub(crate) fn settle(world: &mut World, plan: &Plan) {
    let mut rng = plan.chance(1);
    let rules = Rules::new(world, plan);
    while world.students.len() < plan.pupils as usize {
        let room = plan.pupils as usize - world.students.len();
        family(world, plan, &rules, &mut rng, room);
    }
    namesakes(world);
    leavers(world, plan, &mut rng);
    starters(world, plan, &rules, &mut rng);
}

/// The groups that pupils can join.
pub(crate) struct Rules {
    years: Vec<(u8, usize)>,
    houses: Vec<usize>,
    boarding: Vec<usize>,
    campuses: Vec<usize>,
    clubs: Vec<usize>,
}

impl Rules {
    pub(crate) fn new(world: &World, plan: &Plan) -> Self {
        let years = groups_of(world, GroupKind::Year);
        Self {
            years: plan.years().zip(years).collect(),
            houses: groups_of(world, GroupKind::House),
            boarding: groups_of(world, GroupKind::Boarding),
            campuses: groups_of(world, GroupKind::Campus),
            clubs: groups_of(world, GroupKind::User),
        }
    }
}

/// One or two households: adults, then one to three children, limited by the free places.
pub(crate) fn family(
    world: &mut World,
    plan: &Plan,
    rules: &Rules,
    rng: &mut ChaCha8Rng,
    room: usize,
) -> std::ops::Range<usize> {
    let surname = names::surname(rng);
    let links = adults(world, plan, rng, &surname);
    let children = match rng.random_range(0..100u32) {
        0..60 => 1,
        60..90 => 2,
        _ => 3usize,
    };
    let first = world.students.len();
    let house = rules.houses.choose(rng).copied().unwrap_or_default();
    let home = links
        .first()
        .and_then(|l| world.contacts.get(l.contact))
        .map_or(0, |c| c.person.address);
    for _ in 0..children.min(room) {
        let mut student = child(
            world.students.len(),
            plan,
            rules,
            rng,
            &surname,
            house,
            &links,
        );
        student.person.address = home;
        world.students.push(student);
    }
    first..world.students.len()
}

/// An adult of a family before the record is created.
struct Carer {
    kin: &'static str,
    gender: Gender,
    shares_name: bool,
    address: u32,
    parental_responsibility: bool,
    lives_with: bool,
}

fn adults(world: &mut World, plan: &Plan, rng: &mut ChaCha8Rng, surname: &str) -> Vec<Link> {
    let carers = carers(rng);
    let mut links = Vec::with_capacity(carers.len());
    for (place, carer) in (1..).zip(carers) {
        let contact = world.contacts.len();
        let family = carer.shares_name.then_some(surname);
        world.contacts.push(adult(
            contact,
            plan,
            rng,
            carer.gender,
            family,
            carer.address,
        ));
        links.push(Link {
            contact,
            relationship: carer.kin.to_owned(),
            parental_responsibility: carer.parental_responsibility,
            lives_with: carer.lives_with,
            priority: place,
        });
    }
    links
}

/// Two parents at home (70 in 100), parents apart (15), one parent (15); now and then a grandparent.
fn carers(rng: &mut ChaCha8Rng) -> Vec<Carer> {
    let home = rng.random_range(1..100_000u32);
    let away = rng.random_range(1..100_000u32);
    let lot = rng.random_range(0..100u32);
    let parent = |kin, gender| Carer {
        kin,
        gender,
        shares_name: true,
        address: home,
        parental_responsibility: true,
        lives_with: true,
    };
    let mut carers = vec![Carer {
        shares_name: rng.random_bool(0.75),
        ..parent("Mother", Gender::Female)
    }];
    if lot < 70 {
        carers.push(parent("Father", Gender::Male));
    } else if lot < 85 {
        carers.push(Carer {
            address: away,
            // In some families the parent who lives elsewhere has no parental responsibility.
            parental_responsibility: rng.random_bool(0.8),
            lives_with: false,
            ..parent("Father", Gender::Male)
        });
        if rng.random_bool(0.5) {
            carers.push(Carer {
                shares_name: false,
                parental_responsibility: false,
                ..parent("Step Parent", Gender::Male)
            });
        }
    }
    if rng.random_bool(0.2) {
        carers.push(Carer {
            shares_name: false,
            address: away,
            parental_responsibility: false,
            lives_with: false,
            ..parent("Grandparent", Gender::Female)
        });
    }
    carers
}

fn adult(
    n: usize,
    plan: &Plan,
    rng: &mut ChaCha8Rng,
    gender: Gender,
    family: Option<&str>,
    address: u32,
) -> Contact {
    let name = names::person(rng, gender, family);
    let email = rng
        .random_bool(0.9)
        .then(|| format!("{}@families.example", names::mailbox(&name, n)));
    Contact {
        person: Person {
            upi: upi(rng),
            mis_id: format!("{}", 50_000 + n),
            title: Some(match gender {
                Gender::Female => ["Mrs", "Ms", "Miss", "Dr"]
                    .choose(rng)
                    .copied()
                    .unwrap_or("Ms"),
                Gender::Male => "Mr",
            }),
            name,
            gender,
            born: None,
            email,
            phone: rng
                .random_bool(0.85)
                .then(|| format!("07700 900{:03}", n % 1_000)),
            address,
            times: Times::at(plan.settled()),
        },
    }
}

fn child(
    n: usize,
    plan: &Plan,
    rules: &Rules,
    rng: &mut ChaCha8Rng,
    surname: &str,
    house: usize,
    links: &[Link],
) -> Student {
    let gender = if rng.random_bool(0.5) {
        Gender::Female
    } else {
        Gender::Male
    };
    let (year, year_group) = rules.years.choose(rng).copied().unwrap_or_default();
    let new = NewPupil {
        name: names::person(rng, gender, Some(surname)),
        gender,
        year,
        year_group,
        house,
        boarding: lot(rng, &rules.boarding, 0.4),
        campus: rules.campuses.choose(rng).copied(),
        club: lot(rng, &rules.clubs, 0.15),
        links: links.to_vec(),
    };
    pupil(n, plan, rng, new)
}

fn lot(rng: &mut ChaCha8Rng, from: &[usize], chance: f64) -> Option<usize> {
    let taken = rng.random_bool(chance);
    from.choose(rng).copied().filter(|_| taken)
}

struct NewPupil {
    name: Name,
    gender: Gender,
    year: u8,
    year_group: usize,
    house: usize,
    boarding: Option<usize>,
    campus: Option<usize>,
    club: Option<usize>,
    links: Vec<Link>,
}

fn pupil(n: usize, plan: &Plan, rng: &mut ChaCha8Rng, new: NewPupil) -> Student {
    let entry_year = *plan.years().start();
    let years_here = i32::from(new.year.saturating_sub(entry_year));
    let start = plan.year_start();
    let admission = start.with_year(start.year() - years_here).unwrap_or(start)
        + Days::new(rng.random_range(1..5));
    let admission = admission.min(plan.today - Days::new(7));
    Student {
        person: Person {
            upi: upi(rng),
            mis_id: format!("{}", 10_000 + n),
            title: None,
            email: Some(format!("{}@pupils.example", names::mailbox(&new.name, n))),
            name: new.name,
            gender: new.gender,
            born: Some(birthday(plan, new.year, rng)),
            phone: None,
            address: 0,
            times: Times::at(plan.settled().max(night(admission))),
        },
        upn: format!("Z{:012}", u64::from(plan.school) * 100_000 + n as u64),
        year: new.year,
        year_group: new.year_group,
        registration: 0,
        house: new.house,
        boarding: new.boarding,
        campus: new.campus,
        clubs: new.club.into_iter().collect(),
        classes: Vec::new(),
        contacts: new.links,
        admission,
        leaving: None,
    }
}

fn birthday(plan: &Plan, year: u8, rng: &mut ChaCha8Rng) -> NaiveDate {
    let start = plan.year_start();
    let eldest = start
        .with_year(start.year() - 5 - i32::from(year))
        .unwrap_or(start);
    eldest + Days::new(rng.random_range(0..365))
}

/// Gives two pupils of different families the same name, and also two pupils of the same year.
fn namesakes(world: &mut World) {
    let Some(model) = world
        .students
        .first()
        .map(|s| (s.person.name.clone(), s.person.gender, s.year))
    else {
        return;
    };
    let (name, gender, year) = model;
    let others: Vec<usize> = [true, false]
        .into_iter()
        .filter_map(|same_year| {
            world
                .students
                .iter()
                .skip(4)
                .position(|s| (s.year == year) == same_year && s.person.gender == gender)
                .map(|n| n + 4)
        })
        .collect();
    for n in others {
        if let Some(student) = world.students.get_mut(n) {
            student.person.name = name.clone();
        }
    }
}

/// Some pupils have left, and some leave in the next few days.
fn leavers(world: &mut World, plan: &Plan, rng: &mut ChaCha8Rng) {
    let share = (world.students.len() / 100).max(1);
    for round in 0..share * 2 {
        let n = rng.random_range(0..world.students.len().max(1));
        let Some(student) = world.students.get_mut(n) else {
            continue;
        };
        if student.leaving.is_some() {
            continue;
        }
        let day = if round < share {
            plan.today - Days::new(rng.random_range(1..7))
        } else {
            plan.today + Days::new(rng.random_range(1..15))
        };
        student.leaving = Some(day);
        student.person.times.updated = night(plan.today - Days::new(7));
    }
}

/// Pupils who are in the MIS but not yet on roll.
fn starters(world: &mut World, plan: &Plan, rules: &Rules, rng: &mut ChaCha8Rng) {
    for _ in 0..(plan.pupils / 100).max(1) {
        let admission = plan.today + Days::new(rng.random_range(1..15));
        for n in family(world, plan, rules, rng, 1) {
            if let Some(student) = world.students.get_mut(n) {
                student.admission = admission;
                student.person.times = Times::at(night(admission));
            }
        }
    }
}
