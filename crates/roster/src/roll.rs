//! The roll: what is known of a school's people, record by record, as Wonde gave it.
//!
//! A record is the thing with an id at Wonde. A full answer replaces the roll, changes are laid over it: so after any
//! changes that Wonde tells of, it is what a full answer would give.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::NaiveDate;
use mis_core::{Deletion, Person, PersonKind};
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Extent},
    guard::Guard,
    held::Doubt,
    part::Part,
};

/// The records of one kind of people by their id at Wonde.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roll {
    records: BTreeMap<String, Person>,
}

/// What laying an answer over a roll came to.
pub(crate) struct Laid {
    pub(crate) roll: Roll,
    /// Parts whose old values stay, since their permission seems lost.
    pub(crate) lost: BTreeSet<Part>,
    /// Whether Wonde's own count was that of the records.
    pub(crate) count_fits: Option<bool>,
}

/// How an answer is looked at.
pub(crate) struct Eyes<'a> {
    pub(crate) kind: PersonKind,
    pub(crate) guard: &'a Guard,
    pub(crate) today: NaiveDate,
    /// A person has said that it is right.
    pub(crate) accept: bool,
    /// Parts that were lost before.
    pub(crate) lost: &'a BTreeSet<Part>,
    /// Wonde's own count was that of the records at the last full answer.
    pub(crate) count_fitted: bool,
    /// A full answer was believed before.
    pub(crate) read_before: bool,
}

impl Roll {
    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.records.values()
    }

    /// The record of this id.
    pub fn get(&self, id: &str) -> Option<&Person> {
        self.records.get(id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Puts back what was stored.
    pub fn insert(&mut self, record: Person) {
        self.records.insert(record.id.clone(), record);
    }

    /// Takes records away for which this does not hold.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Person) -> bool) {
        self.records.retain(|_, record| keep(record));
    }

    /// Lays an answer over the roll, or says why it is not to be believed.
    pub(crate) fn lay(&self, answer: &Answer, eyes: &Eyes<'_>) -> Result<Laid, Doubt> {
        let lost = if eyes.accept {
            BTreeSet::new()
        } else {
            self.lost(answer, eyes)
        };
        let (mut roll, counted) = match &answer.extent {
            Extent::Full { counted } => (Self::default(), *counted),
            Extent::Changes { deletions, .. } => (self.without(deletions, eyes.kind), None),
        };
        for row in &answer.rows {
            roll.insert(self.filled(row, &lost));
        }
        let count_fits = counted.map(|counted| counted == answer.rows.len() as u64);
        if !eyes.accept {
            self.check(answer, &roll, counted, eyes)?;
        }
        Ok(Laid {
            roll,
            lost,
            count_fits,
        })
    }

    /// Parts that seem to be kept back. In a full answer: somebody had one, and now nobody has. Of changes that cannot be
    /// said; what was looked up and what was lost before counts.
    fn lost(&self, answer: &Answer, eyes: &Eyes<'_>) -> BTreeSet<Part> {
        let wanted = answer.properties.union(&answer.refused).copied().collect();
        let parts = Part::of(eyes.kind, &wanted);
        match &answer.extent {
            Extent::Full { .. } => self.turned(answer, &parts),
            Extent::Changes { withdrawn, .. } => {
                let known = withdrawn.union(eyes.lost).copied();
                known.filter(|part| parts.contains(part)).collect()
            }
        }
    }

    /// Parts that somebody of the answer had and no record of it has.
    pub(crate) fn turned(&self, answer: &Answer, parts: &[Part]) -> BTreeSet<Part> {
        let nobody_has = |part: &Part| !answer.rows.iter().any(|row| part.is_in(row));
        let somebody_had = |part: &Part| {
            answer
                .rows
                .iter()
                .filter_map(|row| self.get(&row.id))
                .any(|before| part.is_in(before))
        };
        parts
            .iter()
            .copied()
            .filter(|part| nobody_has(part) && somebody_had(part))
            .collect()
    }

    /// The row, with the old values of what is lost.
    fn filled(&self, row: &Person, lost: &BTreeSet<Part>) -> Person {
        let mut row = row.clone();
        if let Some(before) = self.get(&row.id) {
            for part in lost
                .iter()
                .filter(|part| !part.is_in(&row))
                .copied()
                .collect::<Vec<_>>()
            {
                part.copy(&mut row, before);
            }
        }
        row
    }

    /// Without the records that went. One that changed after that is another of the same id, or came back.
    fn without(&self, deletions: &[Deletion], kind: PersonKind) -> Self {
        let mut roll = self.clone();
        for deletion in deletions.iter().filter(|d| d.kind == kind && d.gone) {
            let newer = roll.get(&deletion.id).is_some_and(|record| {
                matches!((record.changed_at, deletion.at), (Some(changed), Some(gone)) if changed > gone)
            });
            if !newer {
                roll.records.remove(&deletion.id);
            }
        }
        roll
    }

    fn check(
        &self,
        answer: &Answer,
        roll: &Self,
        counted: Option<u64>,
        eyes: &Eyes<'_>,
    ) -> Result<(), Doubt> {
        let full = matches!(answer.extent, Extent::Full { .. });
        let nobody_as_before = self.is_empty() && eyes.read_before;
        if full && answer.rows.is_empty() && !nobody_as_before && *eyes.guard != Guard::OFF {
            return Err(Doubt::Empty { before: self.len() });
        }
        if let Some(counted) = counted
            && eyes.count_fitted
            && cut_off(answer.rows.len(), counted)
        {
            return Err(Doubt::CutOff {
                received: answer.rows.len(),
                counted,
            });
        }
        let here = |record: &&Person| record.leaves.is_none_or(|last| last >= eyes.today);
        let before = self.iter().filter(here).count();
        let present = Known::of(roll);
        let gone = self
            .iter()
            .filter(here)
            .filter(|record| !present.knows(record))
            .count();
        if eyes.guard.allows(before, roll.len(), gone) {
            Ok(())
        } else {
            Err(Doubt::Shrunk { before, gone })
        }
    }
}

/// Whether a list that was as long as counted before lacks more than may have changed while it was read.
fn cut_off(received: usize, counted: u64) -> bool {
    let missing = counted.saturating_sub(received as u64);
    missing > 2.max(counted / 100)
}

/// By what the people of a roll can be recognised.
struct Known<'r> {
    upis: HashSet<&'r str>,
    mis_ids: HashSet<&'r str>,
    ids: HashSet<&'r str>,
}

impl<'r> Known<'r> {
    fn of(roll: &'r Roll) -> Self {
        Self {
            upis: roll.iter().filter_map(|r| r.upi.as_deref()).collect(),
            mis_ids: roll.iter().filter_map(|r| r.mis_id.as_deref()).collect(),
            ids: roll.iter().map(|r| r.id.as_str()).collect(),
        }
    }

    fn knows(&self, record: &Person) -> bool {
        let within = |set: &HashSet<&str>, id: &Option<String>| {
            id.as_deref().is_some_and(|id| set.contains(id))
        };
        self.ids.contains(record.id.as_str())
            || within(&self.upis, &record.upi)
            || (record.upi.is_none() && within(&self.mis_ids, &record.mis_id))
    }
}
