//! Checks the groups of a school and turns their writeback settings into rules.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use mis_core::{CodeBook, PersonKind, nfc};
use writeback::{
    Rules, check_fields, guidance_hints,
    settings::{Field, GroupKind, WritebackSettings},
};

use super::{
    Group, Problem,
    file::{FieldFile, GroupFile},
    findings::{Findings, Place, named},
};

/// Checks the groups of one school or template.
pub(super) fn groups(
    place: &dyn Place,
    list: Vec<GroupFile>,
    findings: &mut Findings,
) -> Arc<[Group]> {
    let mut names = HashSet::new();
    let mut taken = Vec::new();
    let mut groups = Vec::with_capacity(list.len());
    let kinds: HashMap<String, PersonKind> = list
        .iter()
        .filter_map(|group| {
            let name = nfc(group.name.as_deref()?).into_owned();
            Some((name, person_kind(group.kind?)))
        })
        .collect();
    for (at, mut group) in list.into_iter().enumerate() {
        let at = format!("group[{at}]");
        let membership = group.membership();
        let name_key = format!("{at}.name");
        let name = named(place, &name_key, group.name, findings);
        if name
            .as_ref()
            .is_some_and(|name| !names.insert(nfc(name).into_owned()))
        {
            findings.problems.push(place.problem(
                &name_key,
                "another group of the school has this name",
                "give each group its own name",
            ));
        }
        let Some(kind) = group.kind else {
            findings.missing(place.problem(
                &format!("{at}.kind"),
                "this is missing",
                "add `kind = \"students\"`, `\"staff\"` or `\"parents\"`",
            ));
            continue;
        };
        let flaws = membership.flaws(person_kind(kind), |name| kinds.get(&*nfc(name)).copied());
        findings.problems.extend(
            flaws.iter().map(|flaw| {
                place.problem(&format!("{at}.{}", flaw.key), &flaw.message, &flaw.help)
            }),
        );
        if taken.contains(&kind) {
            findings.hints.push(place.problem(
                &name_key,
                "this group stays empty, because a group before it includes everybody of its kind",
                "put the group that includes everybody after the others",
            ));
        } else if membership.takes_all() {
            taken.push(kind);
        }
        let read = InGroup { place, at: &at };
        let (fields, whole) = read.fields(group.field, findings);
        groups.push(Group {
            rules: read.rules(kind, &fields, whole, group.writeback.as_ref(), findings),
            name: name.unwrap_or_default(),
            kind,
            membership,
            message: group.message,
            fields,
            writeback: group.writeback,
        });
    }
    groups.into()
}

/// The kind of people in a group.
pub(super) fn person_kind(kind: GroupKind) -> PersonKind {
    match kind {
        GroupKind::Students => PersonKind::Student,
        GroupKind::Staff => PersonKind::Staff,
        GroupKind::Parents => PersonKind::Parent,
    }
}

/// A group being checked.
struct InGroup<'a> {
    place: &'a dyn Place,
    at: &'a str,
}

impl InGroup<'_> {
    /// The complete fields, and whether none was dropped.
    fn fields(&self, list: Vec<FieldFile>, findings: &mut Findings) -> (Vec<Field>, bool) {
        let count = list.len();
        let mut fields = Vec::with_capacity(count);
        for (number, field) in list.into_iter().enumerate() {
            let mut missing = |key: &str, help: &str| {
                let key = format!("{}.field[{number}].{key}", self.at);
                findings.missing(self.place.problem(&key, "this is missing", help));
            };
            if field.name.is_none() {
                missing("name", "add `name = \"…\"` with the question");
            }
            if field.on.is_none() {
                missing("on", "add `on = \"sign_in\"` or `on = \"sign_out\"`");
            }
            if field.options.is_none() {
                missing(
                    "options",
                    "add `options = [\"…\"]` with the possible answers",
                );
            }
            if let FieldFile {
                name: Some(name),
                on: Some(on),
                options: Some(options),
            } = field
            {
                fields.push(Field { name, on, options });
            }
        }
        let whole = fields.len() == count;
        (fields, whole)
    }

    /// The rules, if the settings define any.
    ///
    /// The school's own code book is not available here. A code unknown to England's list is only a hint: schools may
    /// have their own codes, and `doctor` checks against those.
    fn rules(
        &self,
        kind: GroupKind,
        fields: &[Field],
        whole: bool,
        settings: Option<&WritebackSettings>,
        findings: &mut Findings,
    ) -> Option<Arc<Rules>> {
        let Some(settings) = settings else {
            let (problems, hints) = check_fields(fields);
            let known = findings.problems.len();
            self.add_problems(problems, fields, whole, known, findings);
            findings
                .hints
                .extend(hints.into_iter().map(|hint| self.at_home(&hint, fields)));
            return None;
        };
        let checked = Rules::check(kind, fields, settings, None);
        let england = CodeBook::england();
        let by_englands_book = Rules::check(kind, fields, settings, Some(&england));
        findings.hints.extend(
            by_englands_book
                .hints
                .into_iter()
                .chain(guidance_hints(kind, fields, settings, &england))
                .map(|hint| self.at_home(&hint, fields)),
        );
        let unknown_codes = by_englands_book
            .problems
            .into_iter()
            .filter(|problem| !checked.problems.contains(problem));
        findings.hints.extend(unknown_codes.map(|problem| {
            Problem {
                message: "England's registers have no such code".to_owned(),
                help:
                    "if the school has its own codes, check it against those with `markback doctor`"
                        .to_owned(),
                ..self.at_home(&problem, fields)
            }
        }));
        let known = findings.problems.len();
        self.add_problems(checked.problems, fields, whole, known, findings);
        checked.rules.map(Arc::new)
    }

    /// Adds the rules' findings, without consequences of earlier problems.
    fn add_problems(
        &self,
        problems: Vec<writeback::Problem>,
        fields: &[Field],
        whole: bool,
        known: usize,
        findings: &mut Findings,
    ) {
        for problem in problems {
            let names_a_field = ["writeback.custom_codes", "writeback.comment"]
                .iter()
                .any(|key| problem.key.starts_with(key));
            let problem = self.at_home(&problem, fields);
            let told = findings
                .problems
                .iter()
                .take(known)
                .any(|p| p.is_at(&problem));
            if !told && (whole || !names_a_field) {
                findings.problems.push(problem);
            }
        }
    }

    /// A finding of the rules as a problem in this file.
    fn at_home(&self, finding: &writeback::Problem, fields: &[Field]) -> Problem {
        let key = in_place(&finding.key, fields).unwrap_or_else(|| finding.key.clone());
        let mut problem = self.place.problem(
            &format!("{}.{key}", self.at),
            &finding.message,
            &finding.help,
        );
        if !finding.value.is_empty() {
            problem.value = Some(finding.value.clone());
        }
        problem
    }
}

/// The rules name fields and options by their text, `field."Why?".options."Bus".code`; the file has them numbered.
fn in_place(key: &str, fields: &[Field]) -> Option<String> {
    let key = key.strip_prefix("field.")?;
    fields.iter().enumerate().find_map(|(number, field)| {
        let below = key.strip_prefix(&format!("{:?}.options", field.name.trim()))?;
        let Some(below) = below.strip_prefix('.') else {
            return below.is_empty().then(|| format!("field[{number}].options"));
        };
        field
            .options
            .iter()
            .enumerate()
            .find_map(|(place, option)| {
                let below = below.strip_prefix(&format!("{:?}", option.text.trim()))?;
                Some(format!("field[{number}].options[{place}]{below}"))
            })
    })
}
