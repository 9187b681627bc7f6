//! When a school's sessions begin. Its groups must agree if its MIS keeps marks on lessons.

use chrono::{NaiveTime, Timelike as _};
use mis_core::{Registry, SessionWriteback};
use writeback::Rules;

use super::{Group, findings::Place, schools::Schools};

/// A boundary of the school day, as set by the groups.
struct Boundary {
    key: &'static str,
    what: &'static str,
    of: fn(&Rules) -> Option<NaiveTime>,
}

const BOUNDARIES: [Boundary; 2] = [
    Boundary {
        key: "am.opens",
        what: "the morning",
        of: Rules::am_opens,
    },
    Boundary {
        key: "pm.opens",
        what: "the afternoon",
        of: |rules| Some(rules.pm_opens()),
    },
];

/// Checks that the groups of one school agree. If marks are kept on lessons, or that is unknown, a difference is a
/// problem, because a lesson has no group. Elsewhere each group's events follow its own times, and it is a hint.
///
/// A difference within a template is reported once, however many schools use it.
pub(super) fn check(
    schools: &mut Schools<'_, '_>,
    place: &dyn Place,
    template: Option<&str>,
    mis: Option<&str>,
    groups: &[Group],
) {
    let matters = on_lessons(schools.registry.as_ref(), mis);
    if mis.is_some() && matters {
        hint_at_early_lessons(schools, place, template, groups);
    }
    for boundary in &BOUNDARIES {
        let Some((first, at, other)) = difference(boundary, groups) else {
            continue;
        };
        let key = match template {
            Some(name) => {
                let told = (name.to_owned(), boundary.key, matters);
                if !schools.told_of_sessions.insert(told) {
                    continue;
                }
                "template".to_owned()
            }
            None => format!("group[{at}].writeback.{}", boundary.key),
        };
        let Boundary {
            key: name, what, ..
        } = boundary;
        let what = format!(
            "{what} begins at {} by the group {:?} and at {} by the group {:?}",
            clock(other.1),
            other.0,
            clock(first.1),
            first.0
        );
        if matters {
            let help = format!(
                "set the same {name} in all groups of the school: its MIS keeps marks on lessons, which belong to one session \
                 for all. If it does not, name it with `mis`"
            );
            schools
                .findings
                .problems
                .push(place.problem(&key, &what, &help));
        } else {
            let help = format!(
                "set the same {name} in all groups of the school, unless they differ on purpose"
            );
            schools
                .findings
                .hints
                .push(place.problem(&key, &what, &help));
        }
    }
}

/// Without the start of the morning, a breakfast club is a pupil's first lesson and gets the morning's mark.
fn hint_at_early_lessons(
    schools: &mut Schools<'_, '_>,
    place: &dyn Place,
    template: Option<&str>,
    groups: &[Group],
) {
    let mut rules = groups.iter().filter_map(Group::rules_of_students);
    let Some(at) = groups.iter().position(|group| {
        group
            .rules_of_students()
            .is_some_and(|rules| rules.am_opens().is_none())
    }) else {
        return;
    };
    // The boundary is the school's: one group is enough to set it.
    if rules.any(|rules| rules.am_opens().is_some()) {
        return;
    }
    let key = match template {
        Some(name) => {
            if !schools
                .told_of_sessions
                .insert((name.to_owned(), "early lessons", true))
            {
                return;
            }
            "template".to_owned()
        }
        None => format!("group[{at}].writeback.am.opens"),
    };
    let message = "the MIS keeps marks on lessons, and the start of the morning is not set: a lesson before it, such as a \
                   breakfast club, gets the morning's mark";
    let help = "set am.opens to the time at which the first registration begins";
    schools
        .findings
        .hints
        .push(place.problem(&key, message, help));
}

/// The name of a group and its time.
type Told<'a> = (&'a str, NaiveTime);

/// The first two groups that set a boundary differently, with the place of the second.
fn difference<'a>(boundary: &Boundary, groups: &'a [Group]) -> Option<(Told<'a>, usize, Told<'a>)> {
    let mut told = groups.iter().enumerate().filter_map(|(at, group)| {
        let time = (boundary.of)(group.rules_of_students()?)?;
        Some((at, (group.name.as_str(), time)))
    });
    let (_, first) = told.next()?;
    let (at, other) = told.find(|(_, other)| other.1 != first.1)?;
    Some((first, at, other))
}

/// Whether the MIS keeps marks on lessons, as far as the settings tell.
fn on_lessons(registry: Option<&Registry>, mis: Option<&str>) -> bool {
    match (registry, mis) {
        (Some(registry), Some(mis)) => {
            let adapter = registry.for_mis(mis);
            adapter.is_some_and(|one| one.capabilities.session == SessionWriteback::FirstLesson)
        }
        _ => true,
    }
}

fn clock(time: NaiveTime) -> String {
    let format = if time.second() == 0 {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    time.format(format).to_string()
}
