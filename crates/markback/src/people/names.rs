//! A school's people by name, and the search for one by a few keystrokes.
//!
//! Whoever searches types on an English keyboard: accents, apostrophes, hyphens and letter case do not matter. Each typed
//! word must begin some word of a person: of their name, their year, their registration group.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    fmt,
};

use chrono::NaiveDate;
use mis_core::{Person, PersonKind};
use roster::{Directory, PersonKey, RosterState};

/// The most words of a search that count.
const WORDS_MAX: usize = 8;

/// A person with what tells them from others. `Debug` shows only ids.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownPerson {
    /// The id at the host.
    pub key: PersonKey,
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// The current id at Wonde.
    pub id: String,
    /// Given name; `None` if it was not read.
    pub forename: Option<String>,
    /// Family name; `None` if it was not read.
    pub surname: Option<String>,
    /// Year group, as the school names it.
    pub year: Option<String>,
    /// Registration group.
    pub registration: Option<String>,
    /// First day at the school, if the MIS has it.
    pub joins: Option<NaiveDate>,
    /// Last day at the school, if the MIS has it.
    pub leaves: Option<NaiveDate>,
    /// Whether a student is listed as yet to start.
    pub pre_admission: bool,
    /// The group of the settings; `None` if no group takes them, they left, or they are yet to start.
    pub group: Option<String>,
}

impl KnownPerson {
    /// The name as people say it, or the id if no name was read.
    pub fn name(&self) -> String {
        match (&self.forename, &self.surname) {
            (Some(forename), Some(surname)) => format!("{forename} {surname}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => self.key.to_string(),
        }
    }
}

impl fmt::Debug for KnownPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownPerson")
            .field("key", &self.key)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A school's people as last synced, for a search by name.
#[derive(Default)]
pub struct People {
    /// By surname, forename and key.
    people: Vec<KnownPerson>,
    /// The words of each, in the same order.
    words: Vec<Words>,
    by_key: HashMap<(PersonKind, PersonKey), usize>,
}

/// The folded words that find a person.
#[derive(Default)]
struct Words {
    forename: Vec<String>,
    surname: Vec<String>,
    others: Vec<String>,
    ids: Vec<String>,
}

impl People {
    pub(super) fn new(directory: &Directory, state: &RosterState) -> Self {
        let former: HashMap<_, _> = state
            .former
            .iter()
            .map(|former| {
                let person = &former.member.person;
                ((person.kind, former.member.key.clone()), person)
            })
            .collect();
        let record = |kind: PersonKind, key: &PersonKey, id: &str| -> Option<&Person> {
            let known = state.kinds.get(&kind).and_then(|kind| kind.records.get(id));
            known.or_else(|| former.get(&(kind, key.clone())).copied())
        };
        Self::of(directory.iter().map(|entry| {
            let found = record(entry.kind, &entry.key, &entry.id);
            let text =
                |value: fn(&Person) -> &Option<String>| found.and_then(|one| value(one).clone());
            KnownPerson {
                key: entry.key.clone(),
                kind: entry.kind,
                id: entry.id.clone(),
                forename: text(|one| &one.forename),
                surname: text(|one| &one.surname),
                year: text(|one| &one.year),
                registration: text(|one| &one.registration),
                joins: found.and_then(|one| one.joins),
                leaves: found.and_then(|one| one.leaves),
                pre_admission: found.is_some_and(|one| one.pre_admission),
                group: entry.group.clone(),
            }
        }))
    }

    fn of(people: impl IntoIterator<Item = KnownPerson>) -> Self {
        let mut people: Vec<_> = people.into_iter().collect();
        people.sort_by_cached_key(|one| {
            (
                fold(one.surname.as_deref().unwrap_or_default()),
                fold(one.forename.as_deref().unwrap_or_default()),
                one.kind,
                one.key.clone(),
            )
        });
        let words = people.iter().map(Words::of).collect();
        let places = people.iter().enumerate();
        let by_key = places.map(|(place, one)| ((one.kind, one.key.clone()), place));
        let by_key = by_key.collect();
        Self {
            people,
            words,
            by_key,
        }
    }

    /// The person with this id at the host.
    pub fn get(&self, kind: PersonKind, key: &PersonKey) -> Option<&KnownPerson> {
        self.people.get(*self.by_key.get(&(kind, key.clone()))?)
    }

    /// All people, by surname, forename and id.
    pub fn iter(&self) -> impl Iterator<Item = &KnownPerson> {
        self.people.iter()
    }

    /// The number of people.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// The people that are found by what was typed, best first: at most `limit`, and how many there are in all. Blank text
    /// finds nobody.
    ///
    /// People of a group come before those in none, a whole name before its beginning, and the names that begin with what
    /// was typed before those found by initials: `amk` finds Amy Kay.
    pub fn search(&self, typed: &str, limit: usize) -> (Vec<&KnownPerson>, usize) {
        let typed: Vec<_> = typed
            .split(|c: char| c.is_whitespace() || c == ',')
            .map(fold)
            .filter(|word| !word.is_empty())
            .take(WORDS_MAX)
            .collect();
        if typed.is_empty() {
            return (Vec::new(), 0);
        }
        let mut found: Vec<_> = self
            .people
            .iter()
            .zip(&self.words)
            .enumerate()
            .filter_map(|(place, (one, words))| {
                let fit = words.fit(&typed)?;
                Some((Reverse((one.group.is_some(), fit)), place, one))
            })
            .collect();
        let all = found.len();
        found.sort_by_key(|(rank, place, _)| (*rank, *place));
        let best = found.into_iter().take(limit).map(|(_, _, one)| one);
        (best.collect(), all)
    }
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("People").field(&self.people.len()).finish()
    }
}

impl Words {
    fn of(person: &KnownPerson) -> Self {
        let others = [&person.year, &person.registration].into_iter();
        Self {
            forename: parts(person.forename.as_deref()),
            surname: parts(person.surname.as_deref()),
            others: others.flat_map(|word| parts(word.as_deref())).collect(),
            ids: vec![fold(person.key.as_str()), fold(&person.id)],
        }
    }

    /// How well all of the typed words fit; `None` if one of them does not.
    fn fit(&self, typed: &[String]) -> Option<u32> {
        let mut fit = 0;
        for word in typed {
            fit += self.fit_of(word)?;
        }
        Some(fit)
    }

    fn fit_of(&self, typed: &str) -> Option<u32> {
        let mut names = self.surname.iter().chain(&self.forename);
        // An id is copied as a whole.
        if names.clone().chain(&self.ids).any(|word| word == typed) {
            return Some(5);
        }
        if names.any(|name| name.starts_with(typed)) {
            return Some(4);
        }
        if self.others.iter().any(|word| word.starts_with(typed)) {
            return Some(2);
        }
        self.has_initials(typed).then_some(1)
    }

    /// Whether the typed word is a beginning of the forename, followed by one of the surname.
    fn has_initials(&self, typed: &str) -> bool {
        self.forename.iter().any(|forename| {
            let longest = forename
                .chars()
                .zip(typed.chars())
                .take_while(|(of_name, typed)| of_name == typed)
                .count();
            (1..=longest).any(|length| {
                let rest: String = typed.chars().skip(length).collect();
                !rest.is_empty() && self.surname.iter().any(|name| name.starts_with(&rest))
            })
        })
    }
}

/// The words of a name, folded: each by itself, split at punctuation as well as joined, and the whole.
fn parts(name: Option<&str>) -> Vec<String> {
    let mut parts = BTreeSet::new();
    let name = name.unwrap_or_default();
    let ascii = deunicode::deunicode(name);
    for word in ascii.split_whitespace() {
        parts.insert(fold(word));
        parts.extend(word.split(|c: char| !c.is_ascii_alphanumeric()).map(fold));
    }
    parts.insert(fold(name));
    parts.remove("");
    parts.into_iter().collect()
}

/// Text as it is typed on an English keyboard: ASCII letters and digits in lower case, without anything else. `Zoë O’Brien`
/// becomes `zoeobrien`.
pub fn fold(text: &str) -> String {
    let ascii = deunicode::deunicode(text);
    let kept = ascii.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn person(name: (&str, &str), form: &str) -> KnownPerson {
        let (forename, surname) = name;
        let key = PersonKey::new(format!("A-{}", fold(&format!("{forename}{surname}"))));
        KnownPerson {
            id: key.to_string(),
            key,
            kind: PersonKind::Student,
            forename: Some(forename.to_owned()),
            surname: Some(surname.to_owned()),
            year: Some(form.trim_end_matches(char::is_alphabetic).to_owned()),
            registration: Some(form.to_owned()),
            joins: None,
            leaves: None,
            pre_admission: false,
            group: Some("all".to_owned()),
        }
    }

    fn school() -> People {
        let mut left = person(("Amy", "Kaye"), "10B");
        left.group = None;
        People::of([
            person(("Amy", "Kay"), "10B"),
            left,
            person(("Zoë", "O’Brien"), "7A"),
            person(("Siobhán", "Ní Dhomhnaill"), "7B"),
            person(("Łukasz", "Żółć"), "8A"),
            person(("Jean-Luc", "Smith-Jones"), "9C"),
            person(("Smith", "Ahmed"), "9C"),
            person(("Bjørn", "Großmann"), "10C"),
            person(("Ann", "de la Cruz"), "11A"),
        ])
    }

    #[rstest]
    #[case::surname("kay", "Amy Kay, Amy Kaye")]
    #[case::forename_and_surname("am ka", "Amy Kay, Amy Kaye")]
    #[case::as_lists_have_it("Kay, A", "Amy Kay, Amy Kaye")]
    #[case::initials("aka", "Amy Kay, Amy Kaye")]
    #[case::accent("zoe", "Zoë O’Brien")]
    #[case::apostrophe_left_out("obr", "Zoë O’Brien")]
    #[case::straight_apostrophe("o'b", "Zoë O’Brien")]
    #[case::blank_for_an_apostrophe("o brien", "Zoë O’Brien")]
    #[case::second_part("brie", "Zoë O’Brien")]
    #[case::two_words("nidho", "Siobhán Ní Dhomhnaill")]
    #[case::letters_without_a_base("lukasz zolc", "Łukasz Żółć")]
    #[case::sharp_s("bjorn gross", "Bjørn Großmann")]
    #[case::hyphen("smithj", "Jean-Luc Smith-Jones")]
    #[case::second_half("luc jon", "Jean-Luc Smith-Jones")]
    #[case::typed_with_accents("SIOBHÁN", "Siobhán Ní Dhomhnaill")]
    #[case::form("smi 9c", "Smith Ahmed, Jean-Luc Smith-Jones")]
    #[case::id("A-amykay", "Amy Kay")]
    #[case::nobody("xyz", "")]
    #[case::blank("  ' ", "")]
    fn people_are_found(#[case] typed: &str, #[case] expected: &str) {
        let people = school();
        let (found, all) = people.search(typed, 10);
        let names: Vec<_> = found.iter().map(|one| one.name()).collect();
        assert_eq!(names.join(", "), expected);
        assert_eq!(all, found.len());
    }

    #[test]
    fn the_best_come_first_and_the_others_are_counted() {
        let people = school();
        let (found, all) = people.search("a", 2);
        assert_eq!(found.len(), 2);
        assert!(all > 2);
        // Who is in no group comes last.
        let (found, _) = people.search("kay", 10);
        assert_eq!(
            found.last().and_then(|one| one.surname.as_deref()),
            Some("Kaye")
        );
    }
}
