//! A response of the standard schools, valid or malformed.

use std::fmt;

use serde_json::Value;
use wiremock::ResponseTemplate;

/// A complete response.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    kind: &'static str,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            kind: "application/json",
            body: body.to_string().into_bytes(),
        }
    }

    /// A page such as a proxy between the client and Wonde might send.
    pub(crate) fn page(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            kind: "text/html",
            body: body.into(),
        }
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    pub(crate) fn template(&self) -> ResponseTemplate {
        self.headers.iter().fold(
            ResponseTemplate::new(self.status).set_body_raw(self.body.clone(), self.kind),
            |template, (name, value)| template.insert_header(*name, value.as_str()),
        )
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            write!(f, " {name}: {value}")?;
        }
        write!(f, " {}", String::from_utf8_lossy(&self.body))
    }
}
