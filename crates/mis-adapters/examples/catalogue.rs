//! Prints what every adapter says of its MIS, as JSON: what tables and pages are made from.

use mis_adapters::mis_core::Registry;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let adapters: Vec<Value> = Registry::discover()?
        .iter()
        .map(|adapter| {
            json!({
                "id": adapter.id,
                "name": adapter.name,
                "aliases": adapter.aliases,
                "capabilities": adapter.capabilities,
                "notes": adapter.notes,
                "source": { "what": adapter.source.what, "date": adapter.source.date },
            })
        })
        .collect();
    println!("{}", serde_json::to_string_pretty(&adapters)?);
    Ok(())
}
