//! Ids as the API shows them: opaque text outside, school, kind and position inside.

/// The kind of a record. The discriminant is part of the id, so two kinds never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    School = 0,
    Student = 1,
    Contact = 2,
    Employee = 3,
    Group = 4,
    Class = 5,
    Subject = 6,
    Room = 7,
    Period = 8,
    PeriodInstance = 9,
    Lesson = 10,
    Code = 11,
    SessionMark = 12,
    LessonMark = 13,
    Writeback = 14,
    Misc = 15,
}

const KINDS: u64 = 16;
const SPAN: u64 = 10_000_000;
const MODULUS: u64 = 9_000_000_000_000;
const FIRST: u64 = 1_000_000_000_000;
// Odd, no multiple of 3 or 5: so multiplying is a permutation of 0..MODULUS.
const FACTOR: u64 = 314_159_265_359;

/// The maximum number of schools that ids distinguish.
pub(crate) const MAX_SCHOOLS: u32 = 50_000;

/// Maps positions to opaque ids and back, reproducibly for a seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    shift: u64,
    inverse: u64,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            shift: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % MODULUS,
            inverse: inverse(FACTOR, MODULUS),
        }
    }

    /// The id of the `n`th record of a kind at a school.
    pub(crate) fn text(&self, school: u32, kind: Kind, n: u32) -> String {
        let plain = (u64::from(school) * KINDS + kind as u64) * SPAN + u64::from(n);
        format!("A{}", FIRST + (times(plain, FACTOR) + self.shift) % MODULUS)
    }

    /// The school and position of an id, if the id is valid and of this kind.
    pub(crate) fn read(&self, id: &str, kind: Kind) -> Option<(u32, u32)> {
        let digits = id.strip_prefix('A')?;
        if digits.len() != 13 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let scrambled = digits.parse::<u64>().ok()?.checked_sub(FIRST)?;
        let plain = times((scrambled + MODULUS - self.shift) % MODULUS, self.inverse);
        let (owner, n) = (plain / SPAN, plain % SPAN);
        if owner % KINDS != kind as u64 {
            return None;
        }
        Some((u32::try_from(owner / KINDS).ok()?, u32::try_from(n).ok()?))
    }

    /// The position of an id of this kind at this school.
    pub(crate) fn at(&self, school: u32, id: &str, kind: Kind) -> Option<usize> {
        self.read(id, kind)
            .filter(|(s, _)| *s == school)
            .map(|(_, n)| n as usize)
    }
}

fn times(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b) % u128::from(MODULUS);
    // Below MODULUS, which is a u64.
    u64::try_from(product).unwrap_or_default()
}

fn inverse(a: u64, modulus: u64) -> u64 {
    let (mut r0, mut r1) = (i128::from(modulus), i128::from(a));
    let (mut t0, mut t1) = (0i128, 1i128);
    while r1 != 0 {
        let q = r0 / r1;
        (r0, r1) = (r1, r0 - q * r1);
        (t0, t1) = (t1, t0 - q * t1);
    }
    u64::try_from(t0.rem_euclid(i128::from(modulus))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_parsed_and_unique() {
        let ids = Ids::new(7);
        let mut seen = std::collections::HashSet::new();
        for school in [0, 1, 11, 23_999] {
            for (kind, n) in [
                (Kind::School, 0),
                (Kind::Student, 0),
                (Kind::Student, 1_999),
                (Kind::Lesson, 9_999_999),
                (Kind::Misc, 5),
            ] {
                let id = ids.text(school, kind, n);
                assert_eq!(ids.read(&id, kind), Some((school, n)), "{id}");
                assert!(seen.insert(id));
            }
        }
    }

    #[test]
    fn foreign_and_malformed_ids_match_no_record() {
        let ids = Ids::new(7);
        let pupil = ids.text(0, Kind::Student, 3);
        assert_eq!(ids.at(1, &pupil, Kind::Student), None);
        assert_eq!(ids.at(0, &pupil, Kind::Contact), None);
        for bad in [
            "",
            "A",
            "A12",
            "B1000000000000",
            "A99999999999999",
            "A+00000000000",
            "é",
        ] {
            assert_eq!(ids.read(bad, Kind::Student), None, "{bad}");
        }
        assert_ne!(pupil, Ids::new(8).text(0, Kind::Student, 3));
    }
}
