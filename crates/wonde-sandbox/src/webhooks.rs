//! Webhooks, sent when a writeback settles or a school changes its access.

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::Error;

/// One webhook to be sent.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) payload: Value,
}

/// Rejects an address that is not `http` on loopback, so that fake events cannot reach a real service.
pub(crate) fn check(url: &str) -> Result<(), Error> {
    let wrong = |problem: &str| {
        Err(Error::Option {
            option: "webhook_url",
            problem: problem.to_owned(),
        })
    };
    let Ok(parsed) = url::Url::parse(url) else {
        return wrong("must be a URL such as http://127.0.0.1:8080/hook");
    };
    let loopback = match parsed.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if parsed.scheme() != "http" || !loopback {
        return wrong("must be an http URL with a loopback address");
    }
    Ok(())
}

/// The payload for a settled writeback.
pub(crate) fn writeback(id: &str, status: &str, sort: &str) -> Value {
    json!({"payload_type": "writeback", "writeback_id": id, "status": status, "type": sort})
}

/// The channel to the sender.
pub(crate) fn line() -> (UnboundedSender<Hook>, UnboundedReceiver<Hook>) {
    unbounded_channel()
}
