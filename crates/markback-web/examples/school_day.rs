//! Serves the pages of a made-up school with a morning behind it, for looking at them: every address without signing in.
//!
//! `cargo run -p markback-web --example school_day -- [PUPILS] [PORT]`; further events come while it runs.

#![allow(
    clippy::unwrap_used,
    reason = "a helper for developers may stop at the first surprise"
)]

use std::time::Duration;

use axum::Extension;
use markback_lab::harness::{Setup, monday};
use serde_json::json;
use wonde_sandbox::{Fault, FaultRule};

#[path = "../tests/pages/support/mod.rs"]
#[allow(dead_code, clippy::expect_used, reason = "a helper of tests")]
mod support;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let pupils = args.next().map_or(300, |text| text.parse().unwrap());
    let port: u16 = args.next().map_or(0, |text| text.parse().unwrap());
    let setup = Setup {
        start: monday("11:20"),
        writeback: "hold = { codes = ['M'] }\n",
        ..Setup::default()
    };
    let world = support::morning::school(pupils, setup).await;
    let fault = Fault::RejectWriteback {
        message: Some("The pupil has no lesson in this session.".to_owned()),
    };
    let rejected = FaultRule {
        probability: 0.05,
        method: Some("POST".to_owned()),
        ..FaultRule::new(fault)
    };
    world.sandbox.add_fault(rejected).unwrap();
    support::morning::happen(&world, support::morning::events(&world)).await;
    let pages = markback_web::router(world.markback.clone());
    let pages = pages.layer(Extension(support::visitor(markback_web::Role::Admin)));
    let router = markback_http::router_with(world.markback.clone(), pages).unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    for pupil in world
        .pupils
        .iter()
        .take(3)
        .chain([&world.pupils[40], &world.pupils[11]])
    {
        println!(
            "http://{}/schools/{}/people/{}",
            listener.local_addr().unwrap(),
            world.id(),
            pupil.id
        );
    }
    tokio::spawn(async move { axum::serve(listener, router).await });
    for n in 0.. {
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.clock.advance(Duration::from_secs(5));
        let pupil = &world.pupils[n % world.pupils.len()];
        let at = world.markback.clock().now();
        let kind = if n % 2 == 0 { "sign_out" } else { "sign_in" };
        world
            .take(vec![
                json!({ "id": format!("later-{n}"), "person": pupil.id, "kind": kind, "at": at }),
            ])
            .await;
    }
}
