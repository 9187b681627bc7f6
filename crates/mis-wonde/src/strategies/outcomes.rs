//! The outcomes of several registers with one request, from the list of submitted registers.
//!
//! Wonde's official clients offer this list; nothing is documented about its contents or its order. So it is used only as
//! far as it proves itself:
//!
//! - Until a settled register has looked the same in the list and when it was asked about by itself, the list is only
//!   believed about registers that are still open.
//! - After that, it is also believed about those that are done without any error. About all others Wonde is asked one by
//!   one.
//! - A list that differs, lacks the registers within as many rows as are worth reading, or fails is not read again on
//!   this connection.
//!
//! What is proved is handed on to the connections that succeed this one, and what failed is tried again by them: see
//! [`Connection::succeeding`].

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use wonde::{PER_PAGE, Recovery, Writeback, WritebackId, WritebackStatus};

use super::read::{outcome, outcome_of};
use crate::{Ability, Connection, Descriptor, Receipt, Result, WritebackOutcome};

/// Requests at the same time for registers that are asked about one by one.
const AT_ONCE: usize = 8;

/// What is known of the list of submitted registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WritebackList {
    /// Nothing yet.
    #[default]
    Untried,
    /// A settled register looked the same in the list and by itself.
    Proven,
    /// It fails, differs, or lacks registers.
    Unusable,
}

/// How far the marks of these receipts have come, in the same order.
pub async fn outcomes(
    connection: &Connection,
    descriptor: &'static Descriptor,
    receipts: &[Receipt],
) -> Vec<Result<WritebackOutcome>> {
    let may_ask = connection.effective(descriptor).has(Ability::Session);
    let mut known = match receipts {
        [_, _, ..] if may_ask => listed(connection, receipts).await,
        _ => HashMap::new(),
    };
    let asked: Vec<_> = receipts
        .iter()
        .map(|receipt| {
            let known = known.remove(receipt.as_str());
            async move {
                match known {
                    Some(known) => Ok(known),
                    None => outcome(connection, descriptor, receipt).await,
                }
            }
        })
        .collect();
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// The outcomes that the list can be believed about.
async fn listed(
    connection: &Connection,
    receipts: &[Receipt],
) -> HashMap<String, WritebackOutcome> {
    let mut known = HashMap::new();
    if connection.writeback_list() == WritebackList::Unusable {
        return known;
    }
    let found = match read_list(connection, receipts).await {
        Ok(found) if !found.is_empty() => found,
        // What passes by itself tells nothing about the list.
        Err(error) if error.recovery() != Recovery::Never => return known,
        _ => {
            connection.judge_writeback_list(WritebackList::Unusable);
            return known;
        }
    };
    if connection.writeback_list() == WritebackList::Untried {
        let is_open = |row: &Writeback| row.status == WritebackStatus::Open;
        // A settled one proves the most.
        let Some(sample) = found.values().max_by_key(|row| !is_open(row)) else {
            return known;
        };
        let Ok(alone) = connection.school().writeback(&sample.id).await else {
            return known;
        };
        let verdict = match (is_open(sample), is_open(&alone)) {
            (true, true) => Some(WritebackList::Untried),
            // It may have been settled between the two answers.
            (true, false) => None,
            (false, _) if alone == *sample => Some(WritebackList::Proven),
            (false, _) => Some(WritebackList::Unusable),
        };
        known.insert(alone.id.to_string(), outcome_of(alone));
        match verdict {
            Some(verdict) => connection.judge_writeback_list(verdict),
            None => return known,
        }
    }
    let list = connection.writeback_list();
    for (id, row) in found {
        let is_believed = match row.status {
            WritebackStatus::Open => list != WritebackList::Unusable,
            WritebackStatus::Done => {
                list == WritebackList::Proven && row.failures.is_empty() && !row.unclear
            }
            WritebackStatus::Rejected => false,
        };
        if is_believed {
            known.entry(id).or_insert_with(|| outcome_of(row));
        }
    }
    known
}

/// The rows of these receipts that the list has. No more pages are read than half of the requests that the list is to
/// save.
async fn read_list(
    connection: &Connection,
    receipts: &[Receipt],
) -> wonde::Result<HashMap<String, Writeback>> {
    let mut wanted: HashSet<WritebackId> = receipts
        .iter()
        .map(|receipt| WritebackId::new(receipt.as_str()))
        .collect();
    let rows_max = (receipts.len() / 2).max(1) * usize::from(PER_PAGE);
    let mut rows = connection.school().writebacks().take(rows_max);
    let mut found = HashMap::new();
    while !wanted.is_empty()
        && let Some(row) = rows.try_next().await?
    {
        if wanted.remove(&row.id) {
            found.insert(row.id.to_string(), row);
        }
    }
    Ok(found)
}
