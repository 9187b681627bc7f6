//! Lists: one stream over all their pages.

use std::collections::HashSet;

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::{
    error::{Effect, Error, Result},
    origin::Origin,
    transport::Transport,
    wire::{body::Unreadable, detail, flag, scalar},
};

/// The frame around a list \[D\].
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

/// Where a list goes on. Its `per_page`, `current_page` and `previous` are of no use to anybody who follows `next`.
#[derive(Deserialize)]
struct Pagination {
    #[serde(default, deserialize_with = "link")]
    next: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    more: Option<bool>,
}

/// The address of a page; none may be said as `false`.
fn link<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(scalar::text(deserializer)?.filter(|link| link != "false"))
}

/// All rows of a list. Pages are asked for as the stream is read; the first error ends it.
pub(crate) fn rows<T>(
    transport: Transport,
    origin: Origin,
    first: Result<Url>,
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
    };
    stream::try_unfold(walk, Walk::page)
        .map_ok(|rows| stream::iter(rows.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

/// A walk over the pages of one list.
struct Walk {
    transport: Transport,
    origin: Origin,
    next: Option<Url>,
    seen: HashSet<Url>,
}

impl Walk {
    async fn page<T: DeserializeOwned>(mut self) -> Result<Option<(Vec<T>, Self)>> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        let page: Page<T> = self.transport.get(&self.origin, &url).await?;
        let pagination = page.meta.and_then(|meta| meta.pagination);
        self.next = self
            .following(&url, pagination)
            .map_err(|error| error.at("GET", url.path(), None))?;
        self.seen.insert(url);
        Ok(Some((page.data, self)))
    }

    fn following(&self, url: &Url, pagination: Option<Pagination>) -> Result<Option<Url>> {
        let misfit =
            |words: &str| Error::unreadable(Unreadable::Misfit(words.to_owned()), Effect::Read);
        match pagination {
            None => Ok(None),
            // A list that ends early would look like people who have left.
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
