//! Codes and pupils of this school are sent; others are rejected with a clear error.

use anyhow::{Context as _, ensure};
use mis_wonde::{Ability, ErrorKind, MarkResult, Recovery, Session};

use super::{cases, writers};
use crate::{
    bench::{Bench, Opening},
    standard::{self, ADA, BEN, DOT, Repeated, UNKNOWN_CODE, WINTER},
    verdict::is_error,
};

cases! {
    Positive Some(Ability::Session), "code::is_sent_as_the_schools_own_id", writers => own_id;
    Negative Some(Ability::Session), "code::unknown_is_rejected", writers => unknown_code;
    Positive Some(Ability::Session), "code::repeated_is_written_as_the_active_one", writers => the_active_one;
    Negative Some(Ability::Session), "code::repeated_is_rejected_if_no_single_one_is_active", writers => none_active;
    Negative Some(Ability::Session), "pupil::of_another_school_is_rejected", writers => foreign_pupil;
}

/// Every code at both schools; no code has the same id at both.
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
        "a code that is not in the code book was sent"
    );
    let Some(MarkResult::Refused(error)) = results.first() else {
        anyhow::bail!(
            "the code `{UNKNOWN_CODE}` is not in the code book and should be rejected, but the results are {results:?}"
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
        "only the mark with the unknown code should be rejected, but the results are {results:?}"
    );
    Ok(())
}

/// Lists `L` twice at school 1.
fn repeat(bench: &Bench, active: [Option<bool>; 2]) {
    if let Some(school) = bench.server.world().schools.get_mut(&1) {
        school.repeated = vec![Repeated {
            letters: "L",
            active,
        }];
    }
}

/// The code id in the last request that wrote a mark.
fn id_sent(bench: &Bench) -> Option<String> {
    let body = bench.server.writes().last()?.json()?;
    let id = body.get("attendance")?.get(0)?.get("attendance_code_id")?;
    id.as_str().map(str::to_owned)
}

async fn the_active_one(bench: &Bench) -> anyhow::Result<()> {
    let (first, second) = (standard::code_id(1, "L"), standard::second_id(1, "L"));
    for (active, expected) in [
        ([None, Some(false)], &first),
        ([Some(false), None], &second),
        ([Some(false), Some(true)], &second),
    ] {
        repeat(bench, active);
        let desk = bench.open().await?;
        desk.mis
            .write(&[standard::mark(ADA, Session::Am, "L")])
            .await?;
        let sent = id_sent(bench);
        ensure!(
            sent == *expected,
            "of two codes `L` with `active` {active:?}, {expected:?} is the active one, but {sent:?} was sent"
        );
    }
    Ok(())
}

async fn none_active(bench: &Bench) -> anyhow::Result<()> {
    repeat(bench, [None, None]);
    let desk = bench.open().await?;
    let results = bench
        .write(&desk, &[standard::mark(ADA, Session::Am, "L")])
        .await?;
    ensure!(
        bench.server.writes().is_empty(),
        "a code was sent that is listed twice without a single active one"
    );
    let Some(MarkResult::Refused(error)) = results.first() else {
        anyhow::bail!("the mark should be rejected, but the results are {results:?}");
    };
    is_error(error, ErrorKind::UnknownCode, &[Recovery::Never])
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
        anyhow::bail!(
            "only the mark of the other school's pupil should be rejected, but the results are {results:?}"
        );
    };
    ensure!(
        matches!(error.kind(), ErrorKind::Refused | ErrorKind::NoLesson)
            && error.recovery() == Recovery::Never,
        "the mark of another school's pupil should be rejected permanently, but the error is {error:?}"
    );
    Ok(())
}
