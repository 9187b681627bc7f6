//! The descriptor and the fixtures.

use anyhow::{Context as _, ensure};
use chrono::NaiveDate;
use mis_wonde::Registry;

use super::{cases, everybody};
use crate::bench::Bench;

cases! {
    Positive None, "descriptor::is_valid", everybody => is_valid;
    Positive None, "descriptor::is_registered", everybody => is_registered;
    Positive None, "fixtures::are_complete", everybody => fixtures_are_complete;
}

/// The marker in a scaffolded adapter for a text that its author has to write.
const TO_DO: &str = "TO DO";

async fn is_valid(bench: &Bench) -> anyhow::Result<()> {
    let descriptor = bench.descriptor;
    let registry =
        Registry::from_descriptors([descriptor]).context("the registry rejects the descriptor")?;
    for name in descriptor.names() {
        ensure!(
            descriptor.answers_to(name),
            "the descriptor does not answer to its own name `{name}`"
        );
        ensure!(
            registry
                .for_mis(name)
                .is_some_and(|found| found.id == descriptor.id),
            "the registry does not find the descriptor by its name `{name}`"
        );
    }
    ensure!(
        !descriptor.notes.trim().is_empty(),
        "`notes` is empty; describe what users should know before they rely on the adapter"
    );
    ensure!(
        !descriptor.source.what.trim().is_empty(),
        "`source.what` is empty; name the source of the capabilities"
    );
    for text in [descriptor.notes, descriptor.source.what] {
        ensure!(
            !text.contains(TO_DO),
            "the descriptor still contains `{text}`; replace it with the requested text"
        );
    }
    let date = descriptor.source.date;
    ensure!(
        date.len() == 10 && date.parse::<NaiveDate>().is_ok(),
        "`source.date` is `{date}`; write it as YYYY-MM-DD"
    );
    let desk = bench.open().await?;
    ensure!(
        desk.raw.descriptor().id == descriptor.id,
        "the adapter returns a different descriptor from the one that created it"
    );
    Ok(())
}

async fn is_registered(bench: &Bench) -> anyhow::Result<()> {
    let registry =
        Registry::discover().context("the registry cannot be built from the linked adapters")?;
    let id = bench.descriptor.id;
    ensure!(
        registry
            .iter()
            .any(|descriptor| std::ptr::eq(descriptor, bench.descriptor)),
        "the adapter `{id}` is not registered; add `register_adapter!(DESCRIPTOR);`"
    );
    Ok(())
}

async fn fixtures_are_complete(bench: &Bench) -> anyhow::Result<()> {
    let complaints = bench.fixtures.complaints(&bench.declared());
    ensure!(complaints.is_empty(), "{}", complaints.join("\n "));
    Ok(())
}
