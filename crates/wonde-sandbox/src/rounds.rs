//! Background tasks of a running sandbox: sending webhooks and settling writebacks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::inner::Inner;
use crate::webhooks::Hook;

/// Sends webhooks one by one, once each, and counts deliveries and failures.
pub(crate) async fn send_webhooks(
    inner: Arc<Inner>,
    url: String,
    mut hooks: UnboundedReceiver<Hook>,
) {
    let client = reqwest::Client::new();
    while let Some(hook) = hooks.recv().await {
        let answer = client.post(&url).json(&hook.payload).send().await;
        let arrived = answer.is_ok_and(|a| a.status().is_success());
        inner.counts.webhook(arrived);
        if !arrived {
            tracing::warn!("a webhook was not delivered");
        }
    }
}

/// Settles writebacks on time even if there are no requests.
pub(crate) async fn settle_writebacks(inner: Arc<Inner>) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        inner.settle_all();
    }
}
