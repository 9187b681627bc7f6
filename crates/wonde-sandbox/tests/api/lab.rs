//! A sandbox with a stopped clock, and a client for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use wonde_sandbox::{MisMark, Sandbox, SandboxOptions, SchoolInfo};

/// Monday, an hour before school.
pub(crate) const START: &str = "2026-11-23T07:50:00Z";
/// The same day as in marks.
pub(crate) const TODAY: &str = "2026-11-23";

pub(crate) struct Lab {
    pub(crate) sandbox: Sandbox,
    pub(crate) http: reqwest::Client,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["data"].as_array().unwrap().clone()
    }
}

pub(crate) fn options() -> SandboxOptions {
    let start: DateTime<Utc> = START.parse().unwrap();
    SandboxOptions {
        clock: Arc::new(move || start),
        pupils_per_school: 120,
        ..SandboxOptions::default()
    }
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(options()).await
    }

    /// Starts a school of each of the eleven known MISs, and one of an unknown MIS.
    pub(crate) async fn of_every_mis() -> Self {
        Self::with(SandboxOptions {
            schools: 12,
            ..options()
        })
        .await
    }

    pub(crate) async fn with(options: SandboxOptions) -> Self {
        Self {
            sandbox: Sandbox::start(options).await.unwrap(),
            http: reqwest::Client::new(),
        }
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.sandbox.advance(Duration::from_secs(seconds));
    }

    /// The school with this MIS.
    pub(crate) fn school(&self, mis: &str) -> SchoolInfo {
        let schools = self.sandbox.schools();
        schools.into_iter().find(|s| s.mis == mis).unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(self.sandbox.token());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let header = response.headers().get("retry-after");
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: header.map(|h| h.to_str().unwrap().to_owned()),
            text: response.text().await?,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let url = format!("{}/{path}", self.sandbox.base_url());
        self.send(Method::GET, &url, None).await.unwrap()
    }

    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        let url = format!("{}/{path}", self.sandbox.base_url());
        self.send(Method::POST, &url, Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).await.unwrap()
    }

    /// All rows of a list, from all pages.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let mut answer = self.get(path).await;
        let mut rows = answer.rows();
        while let Some(next) = answer.json()["meta"]["pagination"]["next"]
            .as_str()
            .map(str::to_owned)
        {
            answer = self.send(Method::GET, &next, None).await.unwrap();
            rows.extend(answer.rows());
        }
        rows
    }

    /// The id of a code at a school.
    pub(crate) async fn code(&self, school: &str, letter: &str) -> String {
        let book = self
            .all(&format!("schools/{school}/attendance-codes"))
            .await;
        let code = book.iter().find(|c| c["code"] == letter).unwrap();
        code["id"].as_str().unwrap().to_owned()
    }

    /// Ids of pupils on roll.
    pub(crate) async fn pupils(&self, school: &str) -> Vec<String> {
        let rows = self
            .all(&format!("schools/{school}/students?per_page=200"))
            .await;
        ids(&rows)
    }

    /// A session's mark for a pupil, ready to be posted.
    pub(crate) async fn mark(&self, school: &str, pupil: &str, letter: &str) -> Value {
        json!({
            "student_id": pupil,
            "date": TODAY,
            "session": "AM",
            "attendance_code_id": self.code(school, letter).await,
        })
    }

    /// Posts a register and returns the writeback's id.
    pub(crate) async fn write(&self, school: &str, sort: &str, marks: &[Value]) -> String {
        let answer = self
            .post(
                &format!("schools/{school}/attendance/{sort}"),
                &json!({"attendance": marks}),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["writeback_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn status(&self, writeback: &str) -> Value {
        let answer = self.get(&format!("writebacks/{writeback}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["data"].clone()
    }

    /// The marks in the MIS that were written through the API.
    pub(crate) fn written(&self, school: &str) -> Vec<MisMark> {
        let marks = self.sandbox.mis_marks(school).unwrap();
        marks.into_iter().filter(|m| m.writes > 0).collect()
    }

    /// Sends a request to the control API.
    pub(crate) async fn control(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}/{path}", self.sandbox.control_url());
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            retry_after: None,
            text: response.text().await.unwrap(),
        }
    }
}

pub(crate) fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter()
        .map(|r| r["id"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn distinct(ids: &[String]) -> usize {
    ids.iter().collect::<BTreeSet<_>>().len()
}
