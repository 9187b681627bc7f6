//! Days in the settings: `"friday"`, `"2026-12-18"` or `"2026-12-14..2026-12-18"`, and the times that differ on them.

use std::fmt;

use chrono::{NaiveDate, TimeDelta, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{LocalDate, LocalDays, LocalTime};

/// The most days that one entry may span. A longer one has a mistyped year.
pub const LONGEST_RANGE: i64 = 400;

/// An entry of `[[school.group.writeback.day]]`: times that differ on some days. A time that is left out is as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["on"]))]
#[serde(deny_unknown_fields, default)]
pub struct OtherDay {
    /// The days: days of the week (`"friday"`), dates (`"2026-12-18"`), or dates from and to
    /// (`"2026-12-14..2026-12-18"`); one of them or a list. A date takes precedence over a day of the week. Required.
    pub on: DayList,
    /// Why the times differ, for the explanation of a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The morning on these days.
    pub am: OtherMorning,
    /// The afternoon on these days.
    pub pm: OtherAfternoon,
    /// The end of these school days. Usual times of the afternoon that are not before it do not apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes: Option<LocalTime>,
}

/// Times of the morning that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OtherMorning {
    /// The time from which minutes late are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<LocalTime>,
    /// Sign-ins after this time are late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<LocalTime>,
    /// Sign-ins after this time are unauthorised absences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unauthorised: Option<LocalTime>,
}

/// Times of the afternoon that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OtherAfternoon {
    /// The start of the afternoon session. Not for a school whose MIS keeps marks on lessons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens: Option<LocalTime>,
    /// The time from which minutes late are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<LocalTime>,
    /// Sign-ins after this time are late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<LocalTime>,
    /// Sign-ins after this time are unauthorised absences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unauthorised: Option<LocalTime>,
}

/// One or several [`LocalDays`]; a single one need not be in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DayList(pub Vec<LocalDays>);

/// Days as the settings name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// A day of every week.
    Weekly(Weekday),
    /// Consecutive dates.
    Dates(DateRange),
}

/// Consecutive dates, at least one and at most [`LONGEST_RANGE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateRange {
    first: NaiveDate,
    last: NaiveDate,
}

impl DateRange {
    /// The dates from `first` to `last`; `None` if that is no date, or too many.
    pub fn new(first: NaiveDate, last: NaiveDate) -> Option<Self> {
        let days = last.signed_duration_since(first);
        let fits = days >= TimeDelta::zero() && days < TimeDelta::days(LONGEST_RANGE);
        fits.then_some(Self { first, last })
    }

    /// The first date.
    pub fn first(self) -> NaiveDate {
        self.first
    }

    /// The last date.
    pub fn last(self) -> NaiveDate {
        self.last
    }

    /// Whether the date is one of them.
    pub fn contains(self, date: NaiveDate) -> bool {
        (self.first..=self.last).contains(&date)
    }

    /// The dates, earliest first.
    pub fn dates(self) -> impl Iterator<Item = NaiveDate> {
        self.first
            .iter_days()
            .take_while(move |day| *day <= self.last)
    }
}

impl LocalDays {
    /// The days, if the text names a day of the week, a date, or the first and the last date of at most
    /// [`LONGEST_RANGE`] days.
    pub fn parse(&self) -> Option<Days> {
        let text = self.as_str().trim();
        if let Ok(weekday) = text.parse() {
            return Some(Days::Weekly(weekday));
        }
        let date = |text: &str| LocalDate::from(text).parse();
        let range = match text.split_once("..") {
            Some((first, last)) => DateRange::new(date(first)?, date(last)?),
            None => date(text).and_then(|date| DateRange::new(date, date)),
        };
        range.map(Days::Dates)
    }
}

impl<const N: usize> From<[&str; N]> for DayList {
    fn from(days: [&str; N]) -> Self {
        Self(days.into_iter().map(LocalDays::from).collect())
    }
}

impl<'de> Deserialize<'de> for DayList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl OneOrMany {
    fn one<'de, D: Deserializer<'de>>(one: D) -> Result<DayList, D::Error> {
        Ok(DayList(vec![LocalDays::deserialize(one)?]))
    }
}

impl<'de> de::Visitor<'de> for OneOrMany {
    type Value = DayList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("days such as \"friday\" or \"2026-12-18\", or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DayList, E> {
        Self::one(de::value::StrDeserializer::new(text))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<DayList, A::Error> {
        Self::one(de::value::MapAccessDeserializer::new(map))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<DayList, A::Error> {
        let mut days = Vec::new();
        while let Some(day) = list.next_element()? {
            days.push(day);
        }
        Ok(DayList(days))
    }
}

impl JsonSchema for DayList {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DayList".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<LocalDays>();
        schemars::json_schema!({
            "description": "one of these, or a list",
            "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }],
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("friday", Some("Fri"))]
    #[case("Mon", Some("Mon"))]
    #[case("2026-12-18", Some("2026-12-18..2026-12-18"))]
    #[case("2026-12-14..2026-12-18", Some("2026-12-14..2026-12-18"))]
    #[case(" 2026-12-14 .. 2026-12-18 ", Some("2026-12-14..2026-12-18"))]
    #[case("2026-12-18..2026-12-14", None)]
    #[case("2026-12-14..2062-12-18", None)]
    #[case("2026-12-14..", None)]
    #[case("fridays", None)]
    #[case("18/12/2026", None)]
    #[case("", None)]
    fn days(#[case] text: &str, #[case] expected: Option<&str>) {
        let told = LocalDays::from(text).parse().map(|days| match days {
            Days::Weekly(weekday) => weekday.to_string(),
            Days::Dates(range) => format!("{}..{}", range.first(), range.last()),
        });
        assert_eq!(told.as_deref(), expected);
    }

    #[rstest]
    #[case("on = 'friday'", &["friday"])]
    #[case("on = ['friday', '2026-12-18']", &["friday", "2026-12-18"])]
    #[case("on = 2026-12-18", &["2026-12-18"])]
    #[case("on = [2026-12-18]", &["2026-12-18"])]
    #[case("", &[])]
    fn one_or_many(#[case] toml: &str, #[case] days: &[&str]) {
        let day: OtherDay = toml::from_str(toml).unwrap();
        let told: Vec<_> = day.on.0.iter().map(LocalDays::as_str).collect();
        assert_eq!(told, days);
    }

    #[test]
    fn a_range_holds_its_ends() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 12, day).unwrap();
        let range = DateRange::new(day(14), day(16)).unwrap();
        assert_eq!(
            range.dates().collect::<Vec<_>>(),
            [day(14), day(15), day(16)]
        );
        assert!(range.contains(day(16)) && !range.contains(day(17)) && !range.contains(day(13)));
    }
}
