//! Lists: one stream over all their pages.

use std::{collections::HashSet, sync::Arc};

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use crate::{
    error::{Effect, Error, Result},
    origin::Origin,
    transport::Transport,
    wire::{
        body::{self, Unreadable},
        detail, flag,
        lenient::{self, DecodeIssue},
        scalar,
    },
};

/// Called for everything that could not be read and was skipped. It runs inline, so it must not block.
pub type OnIssue = Arc<dyn Fn(DecodeIssue) + Send + Sync>;

/// The envelope of a list \[D\].
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Page<T> {
    data: Vec<T>,
    #[serde(default, deserialize_with = "detail")]
    meta: Option<PageMeta>,
}

#[derive(Deserialize)]
struct PageMeta {
    /// Missing when everything fits on one page \[T\].
    #[serde(default, deserialize_with = "detail")]
    pagination: Option<Pagination>,
}

/// The position of the next page. `per_page`, `current_page` and `previous` are not needed to follow `next`.
#[derive(Deserialize)]
struct Pagination {
    #[serde(default, deserialize_with = "link")]
    next: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    more: Option<bool>,
}

/// The address of a page; `false` means none.
fn link<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(scalar::text(deserializer)?.filter(|link| link != "false"))
}

/// All rows of a list. Pages are requested as the stream is read; the first error ends it.
///
/// With `on_issue`, values and rows that cannot be read are reported instead of ending the list.
pub(crate) fn rows<T>(
    transport: Transport,
    origin: Origin,
    first: Result<Url>,
    on_issue: Option<OnIssue>,
) -> BoxStream<'static, Result<T>>
where
    T: DeserializeOwned + Send + 'static,
{
    let first = match first {
        Ok(url) => url,
        Err(error) => return stream::iter([Err(error)]).boxed(),
    };
    let walk = Walk {
        transport,
        origin,
        next: Some(first),
        seen: HashSet::new(),
        page: 0,
        on_issue,
    };
    stream::try_unfold(walk, Walk::page)
        .map_ok(|rows| stream::iter(rows.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

/// An iteration over the pages of one list.
struct Walk {
    transport: Transport,
    origin: Origin,
    next: Option<Url>,
    seen: HashSet<Url>,
    /// Pages requested.
    page: u32,
    on_issue: Option<OnIssue>,
}

/// Parsed rows, or raw ones if not all of them can be parsed.
enum Rows<T> {
    Read(Vec<T>),
    Raw(Vec<Value>),
}

/// A page with a valid envelope. Its rows are parsed one by one only if parsing all at once fails.
fn lenient_page<T: DeserializeOwned>(
    content: &[u8],
) -> Result<(Rows<T>, Option<PageMeta>), Unreadable> {
    match body::read::<Page<T>>(content) {
        Ok(page) => Ok((Rows::Read(page.data), page.meta)),
        Err(Unreadable::Misfit(_)) => {
            let page: Page<Value> = body::read(content)?;
            Ok((Rows::Raw(page.data), page.meta))
        }
        Err(error) => Err(error),
    }
}

impl Walk {
    async fn page<T: DeserializeOwned>(mut self) -> Result<Option<(Vec<T>, Self)>> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        self.page += 1;
        let (rows, meta) = match &self.on_issue {
            None => {
                let page: Page<T> = self.transport.get(&self.origin, &url).await?;
                (page.data, page.meta)
            }
            Some(on_issue) => {
                let page = self.transport.read(&self.origin, &url, lenient_page::<T>);
                let (rows, meta) = page.await?;
                (sift(rows, self.page, on_issue), meta)
            }
        };
        let pagination = meta.and_then(|meta| meta.pagination);
        self.next = self
            .following(&url, pagination)
            .map_err(|error| error.at("GET", url.path(), None))?;
        self.seen.insert(url);
        Ok(Some((rows, self)))
    }

    fn following(&self, url: &Url, pagination: Option<Pagination>) -> Result<Option<Url>> {
        let misfit =
            |words: &str| Error::unreadable(Unreadable::Misfit(words.to_owned()), Effect::Read);
        match pagination {
            None => Ok(None),
            // A list that ends early would look as if people had left.
            Some(Pagination {
                next: None,
                more: Some(true),
            }) => Err(misfit(
                "`meta.pagination.next`: there is more, expected where",
            )),
            Some(Pagination { next: None, .. }) => Ok(None),
            Some(Pagination {
                next: Some(link), ..
            }) => {
                let next = self.origin.next(url, &link)?;
                if next == *url || self.seen.contains(&next) {
                    return Err(misfit(
                        "`meta.pagination.next`: leads back to a page that was read",
                    ));
                }
                Ok(Some(next))
            }
        }
    }
}

/// Returns the rows that can be read and reports the others.
fn sift<T: DeserializeOwned>(rows: Rows<T>, page: u32, on_issue: &OnIssue) -> Vec<T> {
    match rows {
        Rows::Read(rows) => rows,
        Rows::Raw(rows) => rows
            .into_iter()
            .filter_map(|row| lenient::row(row, page, &mut |issue| on_issue(issue)))
            .collect(),
    }
}
