//! Sending a register in as few requests as possible, and splitting it when it is rejected.

use std::future::Future;

use wonde::WritebackReceipt;

use crate::{
    Accepted, AttendanceCodeId, Blame, CodeBook, Connection, Descriptor, Error, ErrorKind,
    LessonId, Mark, MarkResult, NoCode, Recovery, Result,
    convert::{error, id},
};

/// The most marks in one request. Wonde documents no limit, and a request that it rejects (400, 413, 422) is split; a
/// register of 400 marks is a few busy minutes of a large school, and about 70 kB.
pub const REGISTER_MAX: usize = 400;

/// One mark to send: its place in the caller's list, and its form on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing<T> {
    pub(crate) place: usize,
    pub(crate) body: T,
    pub(crate) lesson: Option<LessonId>,
    /// How many characters its comment has.
    pub(crate) comment: usize,
}

/// Sends all marks in parts of at most [`REGISTER_MAX`], splits rejected parts, and records each mark's result at its
/// place.
///
/// If the rejection says how long a comment may be, the marks with longer comments are rejected and the others are sent
/// again together: splitting would take a request or more for each.
///
/// After a failure that applies to the whole school (the token, the rate, the network) nothing more is sent: the
/// remaining marks fail with the same error, but are known not to be written.
pub(crate) async fn send_in_parts<T, F, Fut>(
    outgoing: Vec<Outgoing<T>>,
    results: &mut [Option<MarkResult>],
    send: F,
) where
    T: Clone + Send,
    F: Fn(Vec<T>) -> Fut + Send,
    Fut: Future<Output = wonde::Result<WritebackReceipt>> + Send,
{
    let mut parts: Vec<Vec<Outgoing<T>>> = outgoing
        .chunks(REGISTER_MAX)
        .map(<[_]>::to_vec)
        .rev()
        .collect();
    while let Some(mut part) = parts.pop() {
        let bodies = part.iter().map(|mark| mark.body.clone()).collect();
        match send(bodies).await.map_err(error) {
            Ok(receipt) => note(results, &part, |mark| {
                let mut accepted = Accepted::new(id::<_, String>(receipt.writeback_id.clone()));
                accepted.lesson.clone_from(&mark.lesson);
                MarkResult::Accepted(accepted)
            }),
            Err(error) if error.kind() == ErrorKind::Refused && part.len() > 1 => {
                let (longer, fitting) = by_comment(&error, part);
                note(results, &longer, |_| MarkResult::Refused(error.clone()));
                part = fitting;
                if !longer.is_empty() {
                    parts.extend((!part.is_empty()).then_some(part));
                    continue;
                }
                let second = part.split_off(part.len() / 2);
                parts.push(second);
                parts.push(part);
            }
            Err(error) if error.kind() == ErrorKind::Refused => {
                note(results, &part, |_| MarkResult::Refused(error.clone()))
            }
            Err(error) => {
                note(results, &part, |_| MarkResult::Failed(error.clone()));
                let unsent = for_unsent(&error);
                for rest in &parts {
                    note(results, rest, |_| MarkResult::Failed(unsent.clone()));
                }
                return;
            }
        }
    }
}

/// Splits the marks into those with longer comments than the rejection allows and the others. If the rejection names no
/// limit, none are too long.
fn by_comment<T>(error: &Error, part: Vec<Outgoing<T>>) -> (Vec<Outgoing<T>>, Vec<Outgoing<T>>) {
    let longest = error
        .server_message()
        .and_then(|message| Blame::of(message, None).comment_max);
    part.into_iter()
        .partition(|mark| longest.is_some_and(|longest| mark.comment > usize::from(longest)))
}

/// How many characters a mark's comment has.
pub(crate) fn comment_length(mark: &Mark) -> usize {
    mark.comment
        .as_ref()
        .map_or(0, |comment| comment.chars().count())
}

fn note<T>(
    results: &mut [Option<MarkResult>],
    part: &[Outgoing<T>],
    result: impl Fn(&Outgoing<T>) -> MarkResult,
) {
    for mark in part {
        if let Some(slot) = results.get_mut(mark.place) {
            *slot = Some(result(mark));
        }
    }
}

/// Gives every mark its result. A mark without one would be a bug in this crate, and must not look written.
pub(crate) fn collect(results: Vec<Option<MarkResult>>) -> Vec<MarkResult> {
    results
        .into_iter()
        .map(|result| {
            result.unwrap_or_else(|| {
                MarkResult::Failed(Error::with_recovery(
                    ErrorKind::Unavailable,
                    Recovery::Retry,
                    "the mark was not sent; try again",
                ))
            })
        })
        .collect()
}

/// The place of a mark, and the id of its code at this school.
pub(crate) type Coded = (usize, AttendanceCodeId);

/// The marks as the MIS keeps them, each at its place; marks that it does not take are rejected here, before any
/// request.
pub(crate) fn as_kept(
    descriptor: &Descriptor,
    marks: &[Mark],
    results: &mut [Option<MarkResult>],
) -> Vec<Mark> {
    let kept = marks
        .iter()
        .zip(results)
        .map(|(mark, slot)| match descriptor.as_kept(mark) {
            Ok(kept) => kept,
            Err(error) => {
                *slot = Some(MarkResult::Refused(error));
                mark.clone()
            }
        });
    kept.collect()
}

/// Finds the ids of the marks' codes at this school, and rejects marks whose code the book does not have, or has more
/// than once without showing which is in use. For such a code the book is read again, once. Marks that have a result
/// already are skipped.
///
/// # Errors
/// Returns an error if the code book cannot be read. Nothing was sent then.
pub(crate) async fn with_codes(
    connection: &Connection,
    marks: &[Mark],
    results: &mut [Option<MarkResult>],
) -> Result<Vec<Coded>> {
    if results.iter().all(Option::is_some) {
        return Ok(Vec::new());
    }
    let mut book = connection.code_book(None).await?;
    let unknown =
        |(mark, slot): (&Mark, &Option<MarkResult>)| slot.is_none() && id_of(&book, mark).is_err();
    if marks.iter().zip(results.iter()).any(unknown) {
        book = connection.code_book(Some(connection.now())).await?;
    }
    let mut coded = Vec::with_capacity(marks.len());
    for ((place, mark), slot) in marks.iter().enumerate().zip(results) {
        if slot.is_some() {
            continue;
        }
        match id_of(&book, mark) {
            Ok(id) => coded.push((place, id)),
            Err(why) => *slot = Some(MarkResult::Refused(no_code(connection, &why))),
        }
    }
    Ok(coded)
}

fn id_of(book: &CodeBook, mark: &Mark) -> Result<AttendanceCodeId, NoCode> {
    let line = book.to_write(mark.code.as_str())?;
    line.id
        .clone()
        .ok_or_else(|| NoCode::Unknown(mark.code.clone()))
}

fn no_code(connection: &Connection, why: &NoCode) -> Error {
    let school = connection.school().id();
    let message = match why {
        NoCode::Unknown(code) => format!(
            "the code `{code}` is not in the code book of school {school}; use a code the school has, or ask it to add this one"
        ),
        NoCode::Ambiguous { .. } => {
            format!(
                "{why} at school {school}; ask the school to withdraw those that it does not use"
            )
        }
    };
    Error::new(ErrorKind::UnknownCode, message)
}

/// The same failure for marks that were never sent: an unknown result of the request before is a known one for these.
pub(crate) fn for_unsent(error: &Error) -> Error {
    if error.recovery() == Recovery::Unknown {
        Error::with_recovery(
            error.kind(),
            Recovery::Retry,
            format!("not sent because the request before it failed: {error}"),
        )
    } else {
        error.clone()
    }
}
