//! A mock server that fails the test on any unexpected request.

pub(crate) mod wire;

use std::{collections::BTreeSet, path::Path, time::Duration};

use secrecy::SecretString;
use serde_json::Value;
use wiremock::{
    Match, Mock, MockServer, Request, ResponseTemplate,
    matchers::{any, header, method, path},
};
use wonde::{Client, ClientBuilder, SchoolClient};

pub(crate) const TOKEN: &str = "7e76896f9aca62569048c667db292d72dd84f224";
pub(crate) const SCHOOL: &str = "A1930499544";
pub(crate) const LOWEST_PRIORITY: u8 = 255;

/// A mock of Wonde. When it is dropped, it checks that exactly the expected requests have come.
pub(crate) struct Api {
    pub(crate) server: MockServer,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(418))
            .with_priority(LOWEST_PRIORITY)
            .expect(0)
            .named("a request that nobody expected")
            .mount(&server)
            .await;
        Self { server }
    }

    pub(crate) fn base(&self) -> String {
        format!("{}/v1.0", self.server.uri())
    }

    pub(crate) fn host(&self) -> String {
        self.server.address().to_string()
    }

    /// A builder for a client with a short pause between retries.
    pub(crate) fn builder(&self) -> ClientBuilder {
        builder(&self.base())
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    pub(crate) fn school(&self) -> SchoolClient {
        self.client().at_base(&SCHOOL.into())
    }

    /// A response with a fixture that contains this server's address.
    pub(crate) fn fixture(&self, name: &str) -> Value {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name)
            .with_extension("json");
        let text = std::fs::read_to_string(file).unwrap();
        serde_json::from_str(
            &text
                .replace("{base}", &self.base())
                .replace("{host}", &self.host()),
        )
        .unwrap()
    }

    pub(crate) fn answer(&self, name: &str) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(self.fixture(name))
    }

    /// Expects one request `GET /v1.0{at}?{query}` and responds with a fixture.
    pub(crate) async fn get(&self, at: &str, query: &[(&str, &str)], fixture: &str) {
        self.told("GET", at, query, self.answer(fixture))
            .expect(1)
            .mount(&self.server)
            .await;
    }

    /// A mock for such requests that is not mounted yet.
    pub(crate) fn told(
        &self,
        verb: &str,
        at: &str,
        query: &[(&str, &str)],
        answer: ResponseTemplate,
    ) -> Mock {
        Mock::given(method(verb))
            .and(path(format!("/v1.0{at}")))
            .and(Query::of(query))
            .and(header("authorization", format!("Bearer {TOKEN}")))
            .and(header("accept", "application/json"))
            .respond_with(answer)
    }

    /// A path below the school.
    pub(crate) fn below(at: &str) -> String {
        format!("/schools/{SCHOOL}/{at}")
    }
}

pub(crate) fn builder(base: &str) -> ClientBuilder {
    Client::builder(SecretString::from(TOKEN))
        .base_url(base)
        .read_retry_delay(Duration::ZERO)
}

/// Matches exactly this query.
struct Query(BTreeSet<(String, String)>);

impl Query {
    fn of(pairs: &[(&str, &str)]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }
}

impl Match for Query {
    fn matches(&self, request: &Request) -> bool {
        let pairs: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
        pairs.len() == self.0.len() && pairs.into_iter().all(|pair| self.0.contains(&pair))
    }
}
