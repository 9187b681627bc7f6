//! Times, dates and times of day in the forms they come in.
//!
//! Wonde writes a time as `{"date": "2015-10-29 14:53:44.000000", "timezone_type": 3, "timezone": "UTC"}` \[D\]; the
//! fraction may be missing \[T\]. Strings with and without an offset, and plain dates, are accepted too \[?\].

use std::{fmt, str::FromStr as _};

use chrono::{
    DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset as _,
    TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::Tz;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::scalar;

/// A point in time. Without a zone it counts as UTC \[?\].
pub(crate) fn instant<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    match deserializer.deserialize_any(StampVisitor("a time"))? {
        Some(stamp) => stamp
            .instant()
            .map(Some)
            .ok_or_else(|| scalar::expected("a time with a zone that is known")),
        None => Ok(None),
    }
}

/// A date as written, ignoring its time zone: a birthday does not shift.
pub(crate) fn day<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NaiveDate>, D::Error> {
    Ok(deserializer
        .deserialize_any(StampVisitor("a date"))?
        .map(|stamp| stamp.local.date()))
}

/// A time of day, `09:00` or `09:00:00`.
pub(crate) fn clock<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NaiveTime>, D::Error> {
    Ok(deserializer
        .deserialize_any(StampVisitor("a time of day"))?
        .map(|stamp| stamp.local.time()))
}

/// A time as it is written, and the point in time that it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenTime {
    /// The date and time as written. A plain date is midnight.
    pub local: NaiveDateTime,
    /// The point in time; without a zone the time counts as UTC \[?\]. `None` if the zone is not known.
    pub instant: Option<DateTime<Utc>>,
}

/// A time in any form.
pub(crate) fn written<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<WrittenTime>, D::Error> {
    let stamp = deserializer.deserialize_any(StampVisitor("a time or a date"))?;
    Ok(stamp.map(|stamp| WrittenTime {
        local: stamp.local,
        instant: stamp.instant(),
    }))
}

/// A local time, and its zone if there is one.
struct Stamp {
    local: NaiveDateTime,
    zone: Option<String>,
}

impl Stamp {
    fn instant(&self) -> Option<DateTime<Utc>> {
        let Some(zone) = self
            .zone
            .as_deref()
            .map(str::trim)
            .filter(|zone| !zone.is_empty())
        else {
            return Some(self.local.and_utc());
        };
        if let Some(offset) = fixed_offset(zone) {
            return offset
                .from_local_datetime(&self.local)
                .single()
                .map(|time| time.to_utc());
        }
        in_zone(Tz::from_str(zone).ok()?, self.local)
    }
}

/// Resolves a local time in a zone with clock changes: the first of two, and a skipped time as if the clock had not
/// changed yet.
fn in_zone(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.to_utc()),
        LocalResult::None => {
            let before = zone
                .from_local_datetime(&local.checked_sub_signed(TimeDelta::hours(3))?)
                .earliest()?;
            before
                .offset()
                .fix()
                .from_local_datetime(&local)
                .single()
                .map(|time| time.to_utc())
        }
    }
}

/// `+01:00`, `Z`, and PHP's abbreviations for the time zones of Wonde's regions that are not zone names themselves.
fn fixed_offset(zone: &str) -> Option<FixedOffset> {
    let minutes = match zone.to_ascii_uppercase().as_str() {
        "Z" | "UTC" | "GMT" => 0,
        "BST" => 60,
        "SAST" => 2 * 60,
        "AWST" => 8 * 60,
        "ACST" => 9 * 60 + 30,
        "AEST" => 10 * 60,
        "ACDT" => 10 * 60 + 30,
        "AEDT" => 11 * 60,
        "NZST" => 12 * 60,
        "NZDT" => 13 * 60,
        _ => return FixedOffset::from_str(zone).ok(),
    };
    FixedOffset::east_opt(minutes * 60)
}

/// `None` for an empty text, and for the texts with which PHP and MySQL represent a missing date.
#[allow(
    clippy::option_option,
    reason = "outer: readable; inner: there is a date"
)]
fn parse(text: &str) -> Option<Option<Stamp>> {
    let text = text.trim();
    if text.is_empty() || text.starts_with("0000-00-00") || text.starts_with("-0001-11-30") {
        return Some(None);
    }
    let text = text
        .strip_suffix(" UTC")
        .map_or_else(|| text.to_owned(), |rest| format!("{rest}Z"));
    if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
        return Some(Some(Stamp {
            local: time.naive_local(),
            zone: Some(time.offset().to_string()),
        }));
    }
    if let Ok(time) = DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%#z") {
        return Some(Some(Stamp {
            local: time.naive_local(),
            zone: Some(time.offset().to_string()),
        }));
    }
    let local = [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
    ]
    .iter()
    .find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
    .or_else(|| {
        NaiveDate::parse_from_str(&text, "%Y-%m-%d")
            .ok()
            .map(|date| date.and_time(NaiveTime::MIN))
    })?;
    Some(Some(Stamp { local, zone: None }))
}

fn parse_clock(text: &str) -> Option<NaiveTime> {
    ["%H:%M:%S%.f", "%H:%M"]
        .iter()
        .find_map(|form| NaiveTime::parse_from_str(text.trim(), form).ok())
}

struct StampVisitor(&'static str);

impl StampVisitor {
    fn read<E: Error>(&self, text: &str) -> Result<Option<Stamp>, E> {
        if self.0 == "a time of day"
            && let Some(time) = parse_clock(text)
        {
            return Ok(Some(Stamp {
                local: NaiveDate::default().and_time(time),
                zone: None,
            }));
        }
        parse(text).ok_or_else(|| scalar::expected(self.0))
    }
}

impl<'de> Visitor<'de> for StampVisitor {
    type Value = Option<Stamp>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.read(text)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut date, mut zone) = (Plain(None), Plain(None));
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "date" => date = map.next_value()?,
                "timezone" => zone = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let Some(text) = date.0 else { return Ok(None) };
        Ok(self.read(&text)?.map(|stamp| Stamp {
            zone: stamp.zone.or(zone.0),
            ..stamp
        }))
    }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Plain(#[serde(deserialize_with = "scalar::text")] Option<String>);

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    fn php(date: &str, kind: u8, zone: &str) -> Value {
        json!({"date": date, "timezone_type": kind, "timezone": zone})
    }

    #[rstest]
    #[case(php("2015-10-29 14:53:44.000000", 3, "UTC"), "2015-10-29T14:53:44Z")]
    #[case(php("2015-10-29 14:53:44", 3, "UTC"), "2015-10-29T14:53:44Z")]
    #[case(php("2026-06-01 09:00:00", 3, "Europe/London"), "2026-06-01T08:00:00Z")]
    #[case(php("2026-06-01 09:00:00", 1, "+01:00"), "2026-06-01T08:00:00Z")]
    #[case(php("2026-06-01 09:00:00", 2, "BST"), "2026-06-01T08:00:00Z")]
    #[case(php("2026-06-01 09:00:00", 2, "Z"), "2026-06-01T09:00:00Z")]
    #[case(
        php("2026-06-01 09:00:00", 3, "Australia/Sydney"),
        "2026-05-31T23:00:00Z"
    )]
    #[case(php("2026-06-01", 3, "UTC"), "2026-06-01T00:00:00Z")]
    // The clocks went from 01:00 to 02:00 on 29 March, and from 02:00 back to 01:00 on 25 October.
    #[case(php("2026-03-29 01:30:00", 3, "Europe/London"), "2026-03-29T01:30:00Z")]
    #[case(php("2026-10-25 01:30:00", 3, "Europe/London"), "2026-10-25T00:30:00Z")]
    #[case(json!({"date": "2026-06-01 09:00:00"}), "2026-06-01T09:00:00Z")]
    #[case(json!({"date": "2026-06-01 09:00:00", "timezone": null}), "2026-06-01T09:00:00Z")]
    #[case(json!("2026-06-01T09:00:00+01:00"), "2026-06-01T08:00:00Z")]
    #[case(json!("2026-06-01T09:00:00+0100"), "2026-06-01T08:00:00Z")]
    #[case(json!("2026-06-01T09:00:00.25Z"), "2026-06-01T09:00:00.250Z")]
    #[case(json!("2026-06-01 09:00:00"), "2026-06-01T09:00:00Z")]
    #[case(json!("2026-06-01 09:00:00 UTC"), "2026-06-01T09:00:00Z")]
    #[case(json!("2026-06-01"), "2026-06-01T00:00:00Z")]
    fn times_are_read(#[case] value: Value, #[case] read: &str) {
        assert_eq!(super::instant(value).unwrap(), Some(read.parse().unwrap()));
    }

    #[rstest]
    #[case(json!(null))]
    #[case(json!(""))]
    #[case(json!({}))]
    #[case(json!({"date": null}))]
    #[case(json!("0000-00-00 00:00:00"))]
    #[case(php("-0001-11-30 00:00:00.000000", 3, "UTC"))]
    fn empty_times_are_none(#[case] value: Value) {
        assert_eq!(super::instant(value).unwrap(), None);
    }

    #[rstest]
    #[case(json!("yesterday"))]
    #[case(json!(1_780_300_800))]
    #[case(json!("2026-02-30"))]
    #[case(php("2026-06-01 09:00:00", 3, "Narnia/Lantern"))]
    fn unreadable_times_are_errors(#[case] value: Value) {
        assert!(super::instant(value).is_err());
    }

    #[rstest]
    #[case(php("2012-09-01 00:00:00.000000", 3, "Europe/London"))]
    #[case(php("2012-09-01 23:30:00.000000", 3, "Narnia/Lantern"))]
    #[case(json!("2012-09-01"))]
    #[case(json!("2012-09-01T23:59:59-05:00"))]
    fn dates_ignore_time_zones(#[case] value: Value) {
        assert_eq!(
            super::day(value).unwrap(),
            chrono::NaiveDate::from_ymd_opt(2012, 9, 1)
        );
    }

    #[rstest]
    #[case(json!("08:50"))]
    #[case(json!("08:50:00"))]
    #[case(json!("2026-06-01 08:50:00"))]
    #[case(php("2026-06-01 08:50:00.000000", 3, "Europe/London"))]
    fn times_of_day_are_read(#[case] value: Value) {
        assert_eq!(
            super::clock(value).unwrap(),
            chrono::NaiveTime::from_hms_opt(8, 50, 0)
        );
    }
}
