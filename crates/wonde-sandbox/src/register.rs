//! The marks in the MIS, and the API's copy of them.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};

/// The part of a day that a mark is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Morning,
    Afternoon,
    /// A lesson by its place among the lessons of its weekday.
    Lesson(u16),
}

/// The pupil and time of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) student: u32,
    pub(crate) date: NaiveDate,
    pub(crate) slot: Slot,
}

/// The content of a mark. Numbers are positions in the school's lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// None for a note without a mark.
    pub(crate) code: Option<u16>,
    pub(crate) comment: Option<Box<str>>,
    pub(crate) minutes_late: Option<u16>,
    pub(crate) employee: Option<u32>,
}

/// A mark in the MIS. Without an entry it has been cleared.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) key: Key,
    pub(crate) entry: Option<Entry>,
    /// The writeback that wrote it last; none if a teacher did.
    pub(crate) writeback: Option<u32>,
    /// How many writebacks have written it.
    pub(crate) writes: u32,
    pub(crate) changed: DateTime<Utc>,
    /// Its versions, oldest first.
    pub(crate) versions: Vec<Version>,
    dirty: bool,
}

/// One version of a mark.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// Position of the code in the school's list; none if the mark was cleared.
    pub(crate) code: Option<u16>,
    /// The writeback that wrote it; none if a teacher did.
    pub(crate) writeback: Option<u32>,
    pub(crate) changed: DateTime<Utc>,
    /// When the API's copy first showed it, if it did.
    pub(crate) shown: Option<DateTime<Utc>>,
}

/// A mark in the API's copy.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(crate) entry: Entry,
    pub(crate) created: DateTime<Utc>,
    pub(crate) updated: DateTime<Utc>,
}

/// All marks of one kind and their copies. A mark's number never changes.
#[derive(Debug, Default)]
pub(crate) struct Table {
    marks: Vec<Mark>,
    copies: Vec<Option<Copied>>,
    numbers: HashMap<Key, u32>,
    dirty: Vec<u32>,
}

impl Table {
    /// Writes or clears a mark in the MIS.
    pub(crate) fn set(
        &mut self,
        key: Key,
        entry: Option<Entry>,
        writeback: Option<u32>,
        now: DateTime<Utc>,
    ) {
        let next = u32::try_from(self.marks.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.copies.push(None);
            self.marks.push(Mark {
                key,
                entry: None,
                writeback: None,
                writes: 0,
                changed: now,
                versions: Vec::new(),
                dirty: false,
            });
        }
        let Some(mark) = self.marks.get_mut(number as usize) else {
            return;
        };
        mark.writes += u32::from(writeback.is_some());
        mark.writeback = writeback;
        if mark.entry != entry {
            mark.versions.push(Version {
                code: entry.as_ref().and_then(|entry| entry.code),
                writeback,
                changed: now,
                shown: None,
            });
            mark.entry = entry;
            mark.changed = now;
            if !mark.dirty {
                mark.dirty = true;
                self.dirty.push(number);
            }
        }
    }

    /// Brings the copy up to date, as of `at`.
    pub(crate) fn copy(&mut self, at: DateTime<Utc>) {
        for number in self.dirty.drain(..) {
            let place = number as usize;
            let (Some(mark), Some(copy)) = (self.marks.get_mut(place), self.copies.get_mut(place))
            else {
                continue;
            };
            mark.dirty = false;
            if let Some(version) = mark.versions.last_mut() {
                version.shown.get_or_insert(at);
            }
            *copy = mark.entry.clone().map(|entry| Copied {
                entry,
                created: copy.as_ref().map_or(at, |c| c.created),
                updated: at,
            });
        }
    }

    /// Every current or former mark in the MIS.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Mark> {
        self.marks.iter()
    }

    /// Every current mark in the MIS, with its number.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (u32, &Mark)> {
        (0..).zip(&self.marks).filter(|(_, m)| m.entry.is_some())
    }

    /// Every mark in the copy, with its number.
    pub(crate) fn copies(&self) -> impl Iterator<Item = (u32, &Key, &Copied)> {
        (0..)
            .zip(self.marks.iter().zip(&self.copies))
            .filter_map(|(n, (mark, copy))| copy.as_ref().map(|c| (n, &mark.key, c)))
    }
}
