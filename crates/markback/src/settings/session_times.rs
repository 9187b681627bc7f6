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
    schools: &mut Schools,
    place: &dyn Place,
    template: Option<&str>,
    mis: Option<&str>,
    groups: &[Group],
) {
    let on_lessons = on_lessons(schools.registry.as_ref(), mis);
    if on_lessons == Some(true) {
        hint_at_early_lessons(schools, place, template, groups);
    }
    let matters = on_lessons.unwrap_or(true);
    if matters {
        refuse_other_afternoons(schools, place, template, groups);
    }
    for boundary in &BOUNDARIES {
        let Some((first, at, other)) = difference(boundary, groups) else {
            continue;
        };
        let Some(key) = report_once(schools, template, at, boundary.key, matters) else {
            continue;
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

/// Lessons belong to the sessions by the same time on every day.
fn refuse_other_afternoons(
    schools: &mut Schools,
    place: &dyn Place,
    template: Option<&str>,
    groups: &[Group],
) {
    let other_afternoon = groups.iter().enumerate().find_map(|(at, group)| {
        group.rules_of_students()?;
        let days = &group.writeback.as_ref()?.day;
        let day = days.iter().position(|day| day.pm.opens.is_some())?;
        Some((at, day))
    });
    let Some((at, day)) = other_afternoon else {
        return;
    };
    let key = format!("group[{at}].writeback.day[{day}].pm.opens");
    if report_once(schools, template, at, "day.pm.opens", true).is_none() {
        return;
    }
    let key = if template.is_some() { "template" } else { &key };
    schools.findings.problems.push(place.problem(
        key,
        "the afternoon begins at another time on some days, but the MIS keeps marks on lessons, which belong to the same \
         session on every day",
        "remove pm.opens from the day. If the MIS keeps marks by session, name it with `mis`",
    ));
}

/// Without the start of the morning, a breakfast club is a pupil's first lesson and gets the morning's mark.
fn hint_at_early_lessons(
    schools: &mut Schools,
    place: &dyn Place,
    template: Option<&str>,
    groups: &[Group],
) {
    let is_student_group = |group: &Group| group.rules_of_students().is_some();
    let Some(at) = groups.iter().position(is_student_group) else {
        return;
    };
    let mut rules = groups.iter().filter_map(Group::rules_of_students);
    // It is the school's time, so one group is enough to set it.
    if rules.any(|rules| rules.am_opens().is_some()) {
        return;
    }
    let Some(key) = report_once(schools, template, at, "am.opens", true) else {
        return;
    };
    let message = "the MIS keeps marks on lessons, and the start of the morning is not set: a lesson before it, such as a \
                   breakfast club, gets the morning's mark";
    let help = "set am.opens to the time at which the first registration begins";
    schools
        .findings
        .hints
        .push(place.problem(&key, message, help));
}

/// The key to report a finding about a boundary under; `None` if it was reported for the template before.
fn report_once(
    schools: &mut Schools,
    template: Option<&str>,
    at: usize,
    boundary: &'static str,
    matters: bool,
) -> Option<String> {
    let Some(name) = template else {
        return Some(format!("group[{at}].writeback.{boundary}"));
    };
    let is_new = schools
        .told_of_sessions
        .insert((name.to_owned(), boundary, matters));
    is_new.then(|| "template".to_owned())
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

/// Whether the MIS keeps marks on lessons; `None` if the settings do not name it.
fn on_lessons(registry: Option<&Registry>, mis: Option<&str>) -> Option<bool> {
    let adapter = registry?.for_mis(mis?);
    Some(adapter.is_some_and(|one| one.capabilities.session == SessionWriteback::FirstLesson))
}

fn clock(time: NaiveTime) -> String {
    let format = if time.second() == 0 {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    time.format(format).to_string()
}
