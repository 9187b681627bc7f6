//! Pages by number and by cursor, with the envelope around them.

use serde_json::{Value, json};

use crate::query::Query;
use crate::reply::{Rejection, Reply};

const DEFAULT: usize = 50;

/// The address of a list and the requested page.
#[derive(Clone, Debug)]
pub(crate) struct Lister<'a> {
    /// Address without the query.
    pub(crate) url: &'a str,
    pub(crate) query: &'a Query,
    pub(crate) per_page_max: usize,
    /// The supported includes.
    pub(crate) includes: Vec<&'static str>,
    pub(crate) short: ShortList,
}

/// The envelope of a list that fits on one page, if `per_page` was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShortList {
    /// A `meta` without `pagination`.
    Unpaged,
    /// No `meta` at all.
    Bare,
    /// The same as a long list.
    Paged,
}

enum Start {
    Page(usize),
    /// The first ordinal.
    Cursor(u64),
}

impl Lister<'_> {
    /// Returns one page of `items`, which have ascending, stable ordinals. Only that page is converted to JSON.
    pub(crate) fn page<T>(
        &self,
        items: impl Iterator<Item = (u64, T)>,
        mut shape: impl FnMut(T) -> Value,
    ) -> Reply {
        let size = self.size()?;
        let start = self.start()?;
        let mut rows = Vec::new();
        let mut more = None;
        let skip = match start {
            Start::Page(page) => (page - 1).saturating_mul(size),
            Start::Cursor(_) => 0,
        };
        let from = match start {
            Start::Page(_) => 0,
            Start::Cursor(ordinal) => ordinal,
        };
        for (ordinal, item) in items.skip_while(|(o, _)| *o < from).skip(skip) {
            if rows.len() == size {
                more = Some(ordinal);
                break;
            }
            rows.push(shape(item));
        }
        let whole = matches!(start, Start::Page(1) | Start::Cursor(0)) && more.is_none();
        let forced = self.query.get("per_page").is_some() || !whole;
        if self.short == ShortList::Bare && !forced {
            return Ok(json!({ "data": rows }));
        }
        let mut meta = json!({"includes": self.includes});
        if forced || self.short == ShortList::Paged {
            meta["pagination"] = self.pagination(&start, size, more);
        }
        Ok(json!({"data": rows, "meta": meta}))
    }

    fn size(&self) -> Result<usize, Rejection> {
        match self.query.get("per_page") {
            None => Ok(DEFAULT.min(self.per_page_max)),
            Some(text) => match text.parse::<usize>() {
                Ok(n) if n > 0 => Ok(n.min(self.per_page_max)),
                _ => Err(Rejection::invalid_parameter("per_page", "a number above 0")),
            },
        }
    }

    fn start(&self) -> Result<Start, Rejection> {
        match self.query.get("cursor") {
            Some("true") => Ok(Start::Cursor(0)),
            Some(text) => text
                .strip_prefix("cur")
                .and_then(|hex| u64::from_str_radix(hex, 16).ok())
                .map(Start::Cursor)
                .ok_or_else(|| Rejection::invalid_parameter("cursor", "taken from a response")),
            None => match self.query.get("page").map(str::parse::<usize>) {
                None => Ok(Start::Page(1)),
                Some(Ok(n)) if n > 0 => Ok(Start::Page(n)),
                Some(_) => Err(Rejection::invalid_parameter("page", "a number above 0")),
            },
        }
    }

    fn pagination(&self, start: &Start, size: usize, more: Option<u64>) -> Value {
        // A requested `per_page` is returned as text.
        let per_page = match self.query.get("per_page") {
            Some(_) => json!(size.to_string()),
            None => json!(size),
        };
        let link =
            |name: &str, value: String| format!("{}?{}", self.url, self.query.with(name, &value));
        match start {
            Start::Page(page) => json!({
                "next": more.map(|_| link("page", (page + 1).to_string())),
                "previous": (*page > 1).then(|| link("page", (page - 1).to_string())),
                "more": more.is_some(),
                "per_page": per_page,
                "current_page": page,
            }),
            Start::Cursor(_) => json!({
                "next": more.map(|ordinal| link("cursor", format!("cur{ordinal:x}"))),
                "previous": null,
                "more": more.is_some(),
                "per_page": per_page,
                "current_page": null,
            }),
        }
    }
}
