//! Webhooks: what is sent when a writeback settles or a school changes its mind.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::Error;
use crate::inner::Inner;

/// One webhook to be sent.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) payload: Value,
}

/// Refuses an address that is not `http` on loopback: made-up events must not reach anybody's real service.
pub(crate) fn check(url: &str) -> Result<(), Error> {
    let wrong = |problem: &str| {
        Err(Error::Option {
            option: "webhook_url",
            problem: problem.to_owned(),
        })
    };
    let Ok(parsed) = url::Url::parse(url) else {
        return wrong("this is no URL; give one like http://127.0.0.1:8080/hook");
    };
    let loopback = match parsed.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if parsed.scheme() != "http" || !loopback {
        return wrong("only http on a loopback address is called");
    }
    Ok(())
}

/// What is sent when a writeback settles.
pub(crate) fn writeback(id: &str, status: &str, sort: &str) -> Value {
    json!({"payload_type": "writeback", "writeback_id": id, "status": status, "type": sort})
}

/// A line to the sender, and its other end.
pub(crate) fn line() -> (UnboundedSender<Hook>, UnboundedReceiver<Hook>) {
    unbounded_channel()
}

/// Sends webhooks one after the other, once each; whether they arrived is only counted.
pub(crate) async fn send(inner: Arc<Inner>, url: String, mut hooks: UnboundedReceiver<Hook>) {
    let client = reqwest::Client::new();
    while let Some(hook) = hooks.recv().await {
        let answer = client.post(&url).json(&hook.payload).send().await;
        let arrived = answer.is_ok_and(|a| a.status().is_success());
        inner.counts.webhook(arrived);
        if !arrived {
            tracing::warn!("a webhook was not taken");
        }
    }
}

/// Settles writebacks as time goes by: without requests nobody else would.
pub(crate) async fn settle(inner: Arc<Inner>) {
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        tick.tick().await;
        inner.settle_all();
    }
}
