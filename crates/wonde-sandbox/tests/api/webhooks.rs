//! Webhooks arrive at a receiver on loopback.

use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use wonde_sandbox::{Access, SandboxOptions, WebhookMode};

use crate::lab::{Lab, options};

async fn receiver() -> (String, UnboundedReceiver<Value>) {
    let (to, from) = unbounded_channel();
    let app = Router::new().route(
        "/hook",
        post(move |Json(payload): Json<Value>| async move {
            to.send(payload).unwrap();
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, from)
}

async fn next(from: &mut UnboundedReceiver<Value>) -> Value {
    let got = tokio::time::timeout(Duration::from_secs(20), from.recv()).await;
    got.expect("no webhook came").unwrap()
}

#[tokio::test]
async fn schools_and_writebacks_send_webhooks() {
    let (url, mut from) = receiver().await;
    let lab = Lab::with(SandboxOptions {
        webhook_url: Some(url),
        ..options()
    })
    .await;
    let school = lab.school("SIMS");
    let mark = lab
        .mark(&school.id, &lab.pupils(&school.id).await[0], "L")
        .await;
    let writeback = lab
        .write(&school.id, "session", std::slice::from_ref(&mark))
        .await;
    lab.pass(2);
    // Without requests, the writeback settles by itself.
    let wanted = json!({
        "payload_type": "writeback", "writeback_id": writeback, "status": "completed", "type": "attendance_session",
    });
    assert_eq!(next(&mut from).await, wanted);

    lab.sandbox.set_access(&school.id, Access::Revoked).unwrap();
    assert_eq!(next(&mut from).await["payload_type"], "accessRevoked");
    lab.sandbox
        .set_access(&school.id, Access::Declined)
        .unwrap();
    assert_eq!(next(&mut from).await["payload_type"], "accessDeclined");
    lab.sandbox
        .set_access(&school.id, Access::Approved)
        .unwrap();
    let approved = next(&mut from).await;
    assert_eq!(approved["school_token"], school.token);

    lab.sandbox.set_webhook_mode(WebhookMode::Held);
    lab.sandbox.migrate(&school.id, "Bromcom").unwrap();
    lab.sandbox
        .send_webhook(json!({"payload_type": "nonsense"}));
    lab.sandbox.set_webhook_mode(WebhookMode::Twice);
    for wanted in ["nonsense", "nonsense", "schoolMigration", "schoolMigration"] {
        assert_eq!(next(&mut from).await["payload_type"], wanted);
    }
}
