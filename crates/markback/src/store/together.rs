//! Queries that callers who ask at the same time share: the schools of a batch are decided in tasks of their own, and each
//! would otherwise make the same small queries.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::rows;

/// A query by keys, whose answer is rows. What is asked while nobody's query has begun is asked with it, so an answer is never
/// older than the question.
#[derive(Debug)]
pub(super) struct Together<Row> {
    /// The round that can still be joined.
    open: Mutex<Option<Arc<Round<Row>>>>,
}

#[derive(Debug)]
struct Round<Row> {
    keys: Mutex<Vec<Value>>,
    /// `None` if the query failed.
    found: OnceCell<Option<Arc<[Row]>>>,
}

impl<Row> Default for Together<Row> {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
        }
    }
}

impl<Row> Together<Row> {
    /// The rows of these keys, and of those that others ask for at the same time. The query gets the keys as a table, as
    /// [`rows`] writes it.
    ///
    /// # Errors
    /// Returns the error of a query for these keys alone, which is made if the shared one fails: another's key may be why.
    pub(super) async fn ask<Answer>(
        &self,
        keys: &[impl Serialize],
        query: impl Fn(String) -> Answer,
    ) -> outbox::Result<Arc<[Row]>>
    where
        Answer: Future<Output = outbox::Result<Vec<Row>>>,
    {
        let round = self.join(keys)?;
        let shared = async {
            // Others that are about to ask get the chance to join.
            tokio::task::yield_now().await;
            let table = self.close(&round);
            query(table.ok()?).await.map(Arc::from).ok()
        };
        match round.found.get_or_init(|| shared).await {
            Some(found) => Ok(found.clone()),
            None => Ok(query(rows(keys)?).await?.into()),
        }
    }

    fn join(&self, keys: &[impl Serialize]) -> outbox::Result<Arc<Round<Row>>> {
        let keys: Vec<_> = keys
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()
            .map_err(|_| outbox::Error::invalid("a key is no JSON"))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let round = open.get_or_insert_with(|| {
            Arc::new(Round {
                keys: Mutex::default(),
                found: OnceCell::new(),
            })
        });
        let mut all = round.keys.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(keys);
        drop(all);
        Ok(round.clone())
    }

    /// Lets nobody else join, and returns the keys.
    fn close(&self, round: &Arc<Round<Row>>) -> outbox::Result<String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.take_if(|open| Arc::ptr_eq(open, round));
        drop(open);
        rows(&round.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    /// Answers each key with itself, and fails for what holds a `bad` one.
    #[derive(Default)]
    struct Echo {
        together: Together<String>,
        queries: AtomicUsize,
    }

    impl Echo {
        async fn ask(&self, keys: &[&str]) -> outbox::Result<Arc<[String]>> {
            let query = |table: String| {
                self.queries.fetch_add(1, Ordering::Relaxed);
                async move {
                    tokio::task::yield_now().await;
                    let keys: Vec<String> = serde_json::from_str(&table).unwrap();
                    if keys.iter().any(|key| key == "bad") {
                        return Err(outbox::Error::invalid("bad"));
                    }
                    Ok(keys)
                }
            };
            self.together.ask(keys, query).await
        }

        fn queries(&self) -> usize {
            self.queries.swap(0, Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn questions_of_the_same_time_are_one_query_and_later_ones_another() {
        let echo = Echo::default();
        let found = join_all([echo.ask(&["a"]), echo.ask(&["b", "c"])]).await;
        for found in found {
            assert_eq!(*found.unwrap(), ["a", "b", "c"]);
        }
        assert_eq!(echo.queries(), 1);
        assert_eq!(*echo.ask(&["d"]).await.unwrap(), ["d"]);
        assert_eq!(echo.queries(), 1);
    }

    #[tokio::test]
    async fn one_bad_key_fails_nobody_elses_question() {
        let echo = Echo::default();
        let mut found = join_all([echo.ask(&["a"]), echo.ask(&["bad"]), echo.ask(&["b"])]).await;
        assert_eq!(*found.pop().unwrap().unwrap(), ["b"]);
        assert!(found.pop().unwrap().is_err());
        assert_eq!(*found.pop().unwrap().unwrap(), ["a"]);
        assert_eq!(echo.queries(), 4);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_query_to_the_others() {
        let echo = Echo::default();
        let mut first = Box::pin(echo.ask(&["a"]));
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(echo.ask(&["b"]));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(*second.await.unwrap(), ["a", "b"]);
    }
}
