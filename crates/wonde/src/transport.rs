//! Sends one request and reads its response: token, limits, and the meaning of transport failures.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable as _};
use futures::future::BoxFuture;
use reqwest::{
    Method, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    ErrorKind, OpenRecord, Recovery,
    error::{Effect, Error, Result},
    origin::Origin,
    rejection::rejection,
    wire::body::{self, Unreadable},
};

/// The maximum size of a response, after decompression. A page of 200 pupils with all includes has about one hundredth
/// of it.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// The maximum size of an error response.
const REFUSAL_MAX: usize = 1024 * 1024;

/// Settings of all requests.
pub(crate) struct Settings {
    pub(crate) user_agent: String,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_retries: usize,
    pub(crate) read_retry_delay: Duration,
    pub(crate) gate: Option<Gate>,
    pub(crate) observer: Option<RequestObserver>,
}

/// A future that every request awaits before it is sent, such as a rate limiter that all users of a token share. It may
/// also stop the request.
pub type Gate = Arc<dyn Fn() -> BoxFuture<'static, Result<(), GateClosed>> + Send + Sync>;

/// Returned by a gate that stops a request: the request is not sent and fails with [`ErrorKind::Connect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateClosed;

/// Called after every request, with or without a response. It runs inline, so it must not block.
pub type RequestObserver = Arc<dyn Fn(RequestInfo) + Send + Sync>;

/// One request and its outcome, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestInfo {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// The kind of address, such as `students`, `attendance` or `writebacks`: the name of the resource without ids.
    pub resource: &'static str,
    /// The HTTP status; `None` if there was no response.
    pub status: Option<u16>,
    /// The time from sending to the response's headers.
    pub took: Duration,
}

/// The names of resources that an address may have, besides `schools`, which all addresses of a school have.
const RESOURCES: [&str; 17] = [
    "attendance",
    "attendance-codes",
    "attendance-summaries",
    "classes",
    "contacts",
    "deletions",
    "employees",
    "groups",
    "lessons",
    "meta",
    "periods",
    "permissions",
    "request-access",
    "revoke-access",
    "rooms",
    "students",
    "writebacks",
];

/// The name of the resource in an address. Ids are never returned.
fn resource(url: &Url) -> &'static str {
    let mut segments = url.path_segments().into_iter().flatten();
    let named = segments.find_map(|segment| RESOURCES.iter().find(|known| **known == segment));
    match named {
        Some(name) => name,
        None if url.path().contains("/schools") => "schools",
        None => "other",
    }
}

#[cfg(test)]
mod resource_tests {
    use super::*;

    #[test]
    fn a_resource_is_named_without_ids() {
        for (path, name) in [
            ("/v1.0/schools/A1/attendance/session", "attendance"),
            ("/v1.0/writebacks/A77", "writebacks"),
            ("/v1.0/writebacks", "writebacks"),
            ("/v1.0/schools/A1/students?page=2", "students"),
            ("/v1.0/schools/A1", "schools"),
            ("/v1.0/schools", "schools"),
            ("/v1.0/schools/A1/assessment/results", "schools"),
            ("/", "other"),
        ] {
            let url = Url::parse(&format!("https://api.wonde.com{path}")).unwrap();
            assert_eq!(resource(&url), name, "{path}");
        }
    }
}

/// An unparsed response, for inspecting Wonde's formats. `Debug` shows none of its content.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct RawAnswer {
    /// The body.
    pub body: serde_json::Value,
    /// Headers about rate limits, by name.
    pub rate_limit: Vec<(String, String)>,
}

impl fmt::Debug for RawAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAnswer")
            .field("rate_limit", &self.rate_limit)
            .finish_non_exhaustive()
    }
}

fn rate_limit(headers: &HeaderMap) -> Vec<(String, String)> {
    let of_rates = |name: &str| {
        name.contains("ratelimit") || name.contains("rate-limit") || name == "retry-after"
    };
    headers
        .iter()
        .filter(|(name, _)| of_rates(name.as_str()))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// Makes requests. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(crate) struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    /// For loopback hosts: never through a proxy.
    direct: reqwest::Client,
    /// For all other hosts: through the environment's proxy, if it names one.
    outward: reqwest::Client,
    token: SecretString,
    read_retries: usize,
    read_retry_delay: Duration,
    gate: Option<Gate>,
    observer: Option<RequestObserver>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("read_retries", &self.inner.read_retries)
            .finish_non_exhaustive()
    }
}

/// A successful response.
struct Answer {
    status: u16,
    rate_limit: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Transport {
    /// A client of a host on loopback never uses a proxy, so that the environment cannot get between a test and its
    /// server.
    pub(crate) fn new(token: &SecretString, settings: &Settings, base: &Origin) -> Result<Self> {
        let token = SecretString::from(token.expose_secret().trim());
        authorization(&token)?;
        let client = |proxies| {
            build(settings, proxies, true).or_else(|error| {
                // Without encryption no certificates are needed; a minimal container may have none.
                if base.is_plain() {
                    build(settings, proxies, false)
                } else {
                    Err(error)
                }
            })
        };
        let direct = client(false)?;
        let outward = if base.is_loopback() {
            direct.clone()
        } else {
            client(true)?
        };
        Ok(Self {
            inner: Arc::new(Inner {
                direct,
                outward,
                token,
                read_retries: settings.read_retries,
                read_retry_delay: settings.read_retry_delay,
                gate: settings.gate.clone(),
                observer: settings.observer.clone(),
            }),
        })
    }

    /// Reads a whole response.
    pub(crate) async fn get<T: DeserializeOwned>(&self, origin: &Origin, url: &Url) -> Result<T> {
        self.read(origin, url, body::read).await
    }

    /// Reads one record, wrapped in `data` or not.
    pub(crate) async fn get_one<T: DeserializeOwned>(
        &self,
        origin: &Origin,
        url: &Url,
    ) -> Result<T> {
        self.read(origin, url, body::read_one).await
    }

    /// Reads a response without parsing its content.
    pub(crate) async fn get_raw(&self, origin: &Origin, url: &Url) -> Result<RawAnswer> {
        let answer = self
            .send(origin, Method::GET, url, None, Effect::Read)
            .await?;
        let body = decode(&answer, body::read, Effect::Read)
            .map_err(|error| error.at("GET", url.path(), Some(answer.status)))?;
        Ok(RawAnswer {
            body,
            rate_limit: answer.rate_limit,
        })
    }

    /// Writes and reads one record. Never retried: only the caller knows whether that is safe.
    pub(crate) async fn write<T: DeserializeOwned>(
        &self,
        origin: &Origin,
        method: Method,
        url: &Url,
        content: Option<&impl Serialize>,
    ) -> Result<T> {
        self.write_with(origin, method, url, content, body::read_one)
            .await
    }

    /// Like `write`, but an empty response is an empty record.
    pub(crate) async fn write_open(
        &self,
        origin: &Origin,
        method: Method,
        url: &Url,
        content: Option<&impl Serialize>,
    ) -> Result<OpenRecord> {
        self.write_with(origin, method, url, content, body::read_open)
            .await
    }

    async fn write_with<T>(
        &self,
        origin: &Origin,
        method: Method,
        url: &Url,
        content: Option<&impl Serialize>,
        read: fn(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<T> {
        let content = content
            .map(serde_json::to_vec)
            .transpose()
            .map_err(|_| Error::config("the content cannot be written as JSON"))?;
        let name = name(&method);
        let answer = self
            .send(origin, method, url, content, Effect::Write)
            .await?;
        decode(&answer, read, Effect::Write)
            .map_err(|error| error.at(name, url.path(), Some(answer.status)))
    }

    /// Reads a response with a custom function.
    pub(crate) async fn read<T>(
        &self,
        origin: &Origin,
        url: &Url,
        read: fn(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<T> {
        let once = || async {
            let answer = self
                .send(origin, Method::GET, url, None, Effect::Read)
                .await?;
            decode(&answer, read, Effect::Read)
                .map_err(|error| error.at("GET", url.path(), Some(answer.status)))
        };
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.inner.read_retry_delay)
            .with_max_delay(self.inner.read_retry_delay.saturating_mul(8))
            .with_max_times(self.inner.read_retries);
        once.retry(pauses)
            .when(|error| error.recovery() == Recovery::Retry)
            .await
    }

    async fn send(
        &self,
        origin: &Origin,
        method: Method,
        url: &Url,
        content: Option<Vec<u8>>,
        effect: Effect,
    ) -> Result<Answer> {
        let name = name(&method);
        let at = |error: Error, status| error.at(name, url.path(), status);
        // The only place where the token is sent; addresses are also checked where they are made.
        if !origin.owns(url) {
            return Err(at(
                Error::foreign("the address is at another host than the school's"),
                None,
            ));
        }
        let client = if origin.is_loopback() {
            &self.inner.direct
        } else {
            &self.inner.outward
        };
        let mut request = client
            .request(method, url.clone())
            .header(AUTHORIZATION, authorization(&self.inner.token)?)
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(content) = content {
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(content);
        }
        if let Some(gate) = &self.inner.gate
            && let Err(GateClosed) = gate().await
        {
            return Err(at(
                Error::new(
                    ErrorKind::Connect,
                    Recovery::Retry,
                    "the request was not sent because the client's gate is closed; try again later",
                ),
                None,
            ));
        }
        let start = Instant::now();
        let sent = request.send().await;
        if let Some(observer) = &self.inner.observer {
            observer(RequestInfo {
                method: name,
                resource: resource(url),
                status: sent.as_ref().ok().map(|answer| answer.status().as_u16()),
                took: start.elapsed(),
            });
        }
        let response = sent.map_err(|error| at(on_the_way(error, effect), None))?;
        let status = response.status();
        tracing::debug!(
            method = name,
            path = url.path(),
            status = status.as_u16(),
            "request to Wonde"
        );
        let failed = |error| at(error, Some(status.as_u16()));
        if status.is_success() {
            let rate_limit = rate_limit(response.headers());
            let body = collect(response, ANSWER_MAX, effect)
                .await
                .map_err(failed)?;
            return Ok(Answer {
                status: status.as_u16(),
                rate_limit,
                body,
            });
        }
        Err(failed(self.rejected(status, response, effect).await))
    }

    async fn rejected(&self, status: StatusCode, response: Response, effect: Effect) -> Error {
        let headers: HeaderMap = response.headers().clone();
        // The status alone decides; the body only adds an explanation.
        let body = collect(response, REFUSAL_MAX, effect)
            .await
            .unwrap_or_default();
        rejection(
            status.as_u16(),
            &headers,
            &body,
            effect,
            self.inner.token.expose_secret(),
        )
    }
}

fn build(settings: &Settings, proxies: bool, system_roots: bool) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .timeout(settings.timeout)
        .connect_timeout(settings.connect_timeout)
        // A redirect would carry the token to another host.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false);
    if !proxies {
        builder = builder.no_proxy();
    }
    if !system_roots {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        Error::config(
            "the HTTP client cannot be set up; check the user agent, and that the system has CA certificates",
        )
        .with_source(error)
    })
}

/// The header with the token, marked as sensitive so that it is never printed.
fn authorization(token: &SecretString) -> Result<HeaderValue> {
    let token = token.expose_secret();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Error::config(
            "the token is empty or contains blanks; pass it exactly as Wonde issued it",
        ));
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
        Error::config("the token contains invalid characters; pass it exactly as Wonde issued it")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "POST",
    }
}

fn decode<T>(
    answer: &Answer,
    read: fn(&[u8]) -> Result<T, Unreadable>,
    effect: Effect,
) -> Result<T> {
    read(&answer.body).map_err(|why| Error::unreadable(why, effect))
}

/// Reads a body up to a limit, so that a hostile server cannot exhaust memory.
async fn collect(mut response: Response, most: usize, effect: Effect) -> Result<Vec<u8>> {
    let too_large = || {
        let recovery = if effect == Effect::Write {
            Recovery::Unknown
        } else {
            Recovery::Never
        };
        let words =
            format!("the response is larger than {most} bytes; request fewer rows per page");
        Error::new(ErrorKind::Decode, recovery, words)
    };
    if response
        .content_length()
        .is_some_and(|length| length > most as u64)
    {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| on_the_way(error, effect))?
    {
        if body.len() + chunk.len() > most {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Maps a transport failure. A write that was being sent may have taken effect.
fn on_the_way(error: reqwest::Error, effect: Effect) -> Error {
    let after = match effect {
        Effect::Read => (Recovery::Retry, "try again"),
        Effect::Write => (
            Recovery::Unknown,
            "it may have been carried out: check before you repeat it",
        ),
    };
    let (kind, words, (recovery, advice)) = if error.is_builder() {
        (
            ErrorKind::Config,
            "the request cannot be built",
            (Recovery::Never, "check its parameters"),
        )
    } else if error.is_connect() {
        (
            ErrorKind::Connect,
            "no connection",
            (
                Recovery::Retry,
                "check the network, the address and the proxy, and try again",
            ),
        )
    } else if error.is_timeout() {
        (ErrorKind::Timeout, "no response in time", after)
    } else {
        (ErrorKind::Interrupted, "the connection broke", after)
    };
    // The address would include the query, which may hold personal data.
    Error::new(kind, recovery, format!("{words}; {advice}")).with_source(error.without_url())
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::{authorization, collect};
    use crate::{ErrorKind, Recovery, error::Effect};

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(200).set_body_string("0123456789"))
            .mount(&server)
            .await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for (most, effect, outcome) in [
            (10, Effect::Read, None),
            (9, Effect::Read, Some(Recovery::Never)),
            (9, Effect::Write, Some(Recovery::Unknown)),
        ] {
            let response = client.get(server.uri()).send().await.unwrap();
            match (collect(response, most, effect).await, outcome) {
                (Ok(body), None) => assert_eq!(body, b"0123456789"),
                (Err(error), Some(recovery)) => {
                    assert_eq!(
                        (error.kind(), error.recovery()),
                        (ErrorKind::Decode, recovery)
                    );
                }
                (result, _) => panic!("{most} bytes: {result:?}"),
            }
        }
    }

    #[test]
    fn an_invalid_token_is_rejected_and_no_token_is_printed() {
        for token in ["", "two words", "line\nbreak", "\u{7f}"] {
            let error = authorization(&SecretString::from(token)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
        }
        let header = authorization(&SecretString::from("7e76896f9aca")).unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer 7e76896f9aca");
        assert!(!format!("{header:?}").contains("7e76"));
    }
}
