//! Codes and pupils: this school's own, or refused clearly.

use anyhow::{Context as _, ensure};
use mis_core::{Ability, ErrorKind, MarkResult, Recovery, Session};

use super::{cases, writers};
use crate::{
    bench::{Bench, Opening},
    standard::{self, ADA, BEN, DOT, UNKNOWN_CODE, WINTER},
    verdict::is_error,
};

cases! {
    Positive Some(Ability::Session), "code::is_sent_as_this_schools_id", writers => own_id;
    Negative Some(Ability::Session), "code::unknown_is_refused", writers => unknown_code;
    Negative Some(Ability::Session), "pupil::of_another_school_is_refused", writers => foreign_pupil;
}

/// Every code at both schools, of which no two number theirs alike.
async fn own_id(bench: &Bench) -> anyhow::Result<()> {
    for school in [1, 2] {
        let desk = bench.open_with(school, Opening::default()).await?;
        for letters in standard::CODES {
            let mark = standard::mark_at(school, ADA, WINTER, Session::Am, letters);
            bench
                .write_all(&desk, &[mark])
                .await
                .with_context(|| format!("the code `{letters}` at school {school}"))?;
        }
    }
    Ok(())
}

async fn unknown_code(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let bad = standard::mark(BEN, Session::Am, UNKNOWN_CODE);
    let results = bench.write(&desk, std::slice::from_ref(&bad)).await?;
    ensure!(
        bench.server.writes().is_empty(),
        "a code that no book knows was sent"
    );
    let Some(MarkResult::Refused(error)) = results.first() else {
        anyhow::bail!(
            "the code `{UNKNOWN_CODE}` is in no book and should be refused, not {results:?}"
        );
    };
    is_error(error, ErrorKind::UnknownCode, &[Recovery::Never])?;
    ensure!(
        error.to_string().contains(UNKNOWN_CODE),
        "the error does not name the code: {error}"
    );

    let marks = [
        standard::mark(ADA, Session::Am, "L"),
        bad,
        standard::mark(DOT, Session::Pm, "\\"),
    ];
    let results = bench.write(&desk, &marks).await?;
    ensure!(
        matches!(
            results.as_slice(),
            [
                MarkResult::Accepted(_),
                MarkResult::Refused(_),
                MarkResult::Accepted(_)
            ]
        ),
        "only the mark with the unknown code should be refused: {results:?}"
    );
    Ok(())
}

async fn foreign_pupil(bench: &Bench) -> anyhow::Result<()> {
    let desk = bench.open().await?;
    let foreign = standard::mark_at(2, ADA, WINTER, Session::Am, "L");
    let marks = [
        standard::mark(ADA, Session::Am, "L"),
        foreign,
        standard::mark(BEN, Session::Am, "/"),
    ];
    let results = bench.write(&desk, &marks).await?;
    let [
        MarkResult::Accepted(_),
        MarkResult::Refused(error),
        MarkResult::Accepted(_),
    ] = results.as_slice()
    else {
        anyhow::bail!("only the pupil of another school should be refused: {results:?}");
    };
    ensure!(
        matches!(error.kind(), ErrorKind::Refused | ErrorKind::NoLesson)
            && error.recovery() == Recovery::Never,
        "a pupil of another school should be refused for good: {error:?}"
    );
    Ok(())
}
