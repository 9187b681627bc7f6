//! Staff: teachers, others, some who have left, and some who are parents at the school as well.

use chrono::Days;
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::model::{Employee, Gender, GroupKind, Name, Person, Times, World};
use super::{Plan, groups_of, names, upi};

const OTHER_ROLES: [&str; 6] = [
    "Teaching Assistant",
    "School Administrator",
    "Caretaker",
    "Catering Assistant",
    "Librarian",
    "IT Technician",
];

/// Adds teachers and other staff in proportion to the pupils; one in thirty has left.
pub(crate) fn hire(world: &mut World, plan: &Plan) {
    let mut rng = plan.chance(2);
    let teachers = (plan.pupils / 12).max(10);
    let others = (plan.pupils / 30).max(6);
    for n in 0..teachers + others {
        let teaching = n < teachers;
        let role = match n {
            0 => "Headteacher",
            _ if teaching => "Teacher",
            _ => OTHER_ROLES.choose(&mut rng).copied().unwrap_or("Caretaker"),
        };
        let gender = if rng.random_bool(0.6) {
            Gender::Female
        } else {
            Gender::Male
        };
        let name = names::person(&mut rng, gender, None);
        let mut employee = employee(
            world.employees.len(),
            plan,
            &mut rng,
            Hire {
                name,
                gender,
                teaching,
                role,
            },
        );
        if n > 0 && rng.random_bool(0.03) {
            employee.end = Some(plan.today - Days::new(rng.random_range(2..60)));
        }
        world.employees.push(employee);
    }
}

/// The person and role of a new member of staff.
pub(crate) struct Hire {
    pub(crate) name: Name,
    pub(crate) gender: Gender,
    pub(crate) teaching: bool,
    pub(crate) role: &'static str,
}

/// A new record of a member of staff.
pub(crate) fn employee(n: usize, plan: &Plan, rng: &mut ChaCha8Rng, hire: Hire) -> Employee {
    Employee {
        person: Person {
            upi: upi(rng),
            mis_id: format!("{}", 90_000 + n),
            title: Some(match hire.gender {
                Gender::Female => ["Mrs", "Ms", "Miss", "Dr"]
                    .choose(rng)
                    .copied()
                    .unwrap_or("Ms"),
                Gender::Male => "Mr",
            }),
            email: Some(format!("{}@staff.example", names::mailbox(&hire.name, n))),
            name: hire.name,
            gender: hire.gender,
            born: Some(plan.today - Days::new(rng.random_range(9_000..22_000))),
            phone: Some(format!("07700 901{:03}", n % 1_000)),
            address: rng.random_range(1..100_000u32),
            times: Times::at(plan.settled()),
        },
        teaching: hire.teaching,
        role: hire.role,
        start: plan.year_start() - Days::new(rng.random_range(0..4_000)),
        end: None,
        tutor_of: None,
    }
}

/// Two parents in a hundred (at least two) work at the school: same name and address, another record, another upi.
pub(crate) fn employ_parents(world: &mut World, plan: &Plan) {
    let mut rng = plan.chance(3);
    let share = (world.contacts.len() / 50).max(2).min(world.contacts.len());
    for _ in 0..share {
        let n = rng.random_range(0..world.contacts.len().max(1));
        let Some(parent) = world.contacts.get(n).map(|c| c.person.clone()) else {
            continue;
        };
        let teaching = rng.random_bool(0.4);
        let hire = Hire {
            name: parent.name,
            gender: parent.gender,
            teaching,
            role: if teaching {
                "Teacher"
            } else {
                "Teaching Assistant"
            },
        };
        let mut employee = employee(world.employees.len(), plan, &mut rng, hire);
        employee.person.title = parent.title;
        employee.person.address = parent.address;
        if parent.email.is_some() {
            employee.person.email = parent.email;
        }
        world.employees.push(employee);
    }
}

/// Gives each registration group a current teacher.
pub(crate) fn appoint_tutors(world: &mut World) {
    let groups = groups_of(world, GroupKind::Registration);
    let tutors = world
        .employees
        .iter_mut()
        .filter(|e| e.teaching && e.end.is_none())
        .skip(1);
    for (tutor, group) in tutors.zip(groups) {
        tutor.tutor_of = Some(group);
    }
}
