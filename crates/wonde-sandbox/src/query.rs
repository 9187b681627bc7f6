//! The query of a request: filters, includes and paging.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::reply::Rejection;

/// Names and values in the order given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        Self(
            url::form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }

    /// The same query with one value changed.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let mut out = url::form_urlencoded::Serializer::new(String::new());
        for (n, v) in self.0.iter().filter(|(n, _)| n != name) {
            out.append_pair(n, v);
        }
        out.append_pair(name, value);
        out.finish()
    }

    /// Rejects a parameter that is neither one of these nor one for includes and pages.
    pub(crate) fn only(&self, filters: &[&str]) -> Result<(), Rejection> {
        const ALWAYS: [&str; 4] = ["include", "page", "per_page", "cursor"];
        let known = |name: &str| ALWAYS.contains(&name) || filters.contains(&name);
        match self.0.iter().find(|(name, _)| !known(name)) {
            Some((name, _)) => Err(Rejection::invalid_parameter(
                name,
                "omitted: it is not a known parameter",
            )),
            None => Ok(()),
        }
    }

    /// A boolean parameter.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Rejection> {
        match self.get(name) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(Rejection::invalid_parameter(name, "true or false")),
        }
    }

    /// Whether a value is in the requested comma-separated list; true without a list.
    pub(crate) fn lists(&self, name: &str, value: &str) -> bool {
        self.get(name)
            .is_none_or(|list| list.split(',').any(|one| one.trim() == value))
    }

    /// A time as `YYYY-MM-DD HH:MM:SS`, `YYYY-MM-DD` or ISO 8601; in UTC if it has no zone.
    pub(crate) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Rejection> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        // An unescaped `+` of a zone is decoded as a space.
        DateTime::parse_from_rfc3339(&text.replace(' ', "+"))
            .or_else(|_| DateTime::parse_from_rfc3339(text))
            .map(|t| t.to_utc())
            .or_else(|_| {
                NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
                    .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"))
                    .or_else(|_| {
                        NaiveDate::parse_from_str(text, "%Y-%m-%d")
                            .map(|d| d.and_time(NaiveTime::MIN))
                    })
                    .map(|t| t.and_utc())
            })
            .map(Some)
            .map_err(|_| Rejection::invalid_parameter(name, "a time like 2026-11-23 08:00:00"))
    }

    pub(crate) fn includes(&self) -> Includes {
        Includes::parse(self.get("include").unwrap_or_default())
    }

    /// The requested range of `updated_at`.
    pub(crate) fn updated(&self) -> Result<Range, Rejection> {
        Ok(Range {
            after: self.time("updated_after")?,
            before: self.time("updated_before")?,
        })
    }
}

/// A range of time, including both ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) after: Option<DateTime<Utc>>,
    pub(crate) before: Option<DateTime<Utc>>,
}

impl Range {
    pub(crate) fn holds(&self, t: DateTime<Utc>) -> bool {
        self.after.is_none_or(|a| t >= a) && self.before.is_none_or(|b| t <= b)
    }
}

/// The includes as a tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Includes(BTreeMap<String, Includes>);

impl Includes {
    fn parse(text: &str) -> Self {
        let mut root = Self::default();
        for path in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let mut node = &mut root;
            for step in path.split('.') {
                node = node.0.entry(step.to_owned()).or_default();
            }
        }
        root
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.0.iter().map(|(n, i)| (n.as_str(), i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_can_be_nested() {
        let query = Query::parse("include=contacts.contact_details,year&page=2");
        let includes = query.includes();
        let names: Vec<&str> = includes.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["contacts", "year"]);
        assert!(
            includes
                .get("contacts")
                .unwrap()
                .get("contact_details")
                .is_some()
        );
        assert_eq!(
            query.with("page", "3"),
            "include=contacts.contact_details%2Cyear&page=3"
        );
    }

    #[test]
    fn times_are_read_as_utc_or_rejected() {
        let query = Query::parse("updated_after=2026-11-23+08%3A00%3A00&updated_before=tomorrow");
        let after = query.time("updated_after").unwrap().unwrap();
        assert_eq!(after.to_rfc3339(), "2026-11-23T08:00:00+00:00");
        for iso in [
            "2026-11-23T08:00:00",
            "2026-11-23T08:00:00.000",
            "2026-11-23T08:00:00Z",
            "2026-11-23T09:00:00%2B01:00",
            "2026-11-23T09:00:00+01:00",
        ] {
            let query = Query::parse(&format!("updated_after={iso}"));
            assert_eq!(query.time("updated_after").unwrap(), Some(after), "{iso}");
        }
        assert_eq!(query.time("updated_before").unwrap_err().status, 400);
        assert!(query.time("absent").unwrap().is_none());
    }
}
