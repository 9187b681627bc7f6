//! Connecting to a school: what a host passes to an adapter.

use std::{any::Any, fmt, path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Days, NaiveTime, Utc};
use chrono_tz::Tz;
use futures::future::BoxFuture;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Ability, Capabilities, Descriptor, Error, MisAdapter, Result, SchoolClock, SchoolId,
    error::{ErrorKind, Recovery},
    session::NOON,
};

/// The clock that a host passes to adapters; tests and demonstrations set the time.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The future of [`Descriptor::connect`].
pub type Connecting = BoxFuture<'static, Result<Arc<dyn MisAdapter>>>;

/// Reads a secret of the school's link by its name.
pub type Secrets = Arc<dyn Fn(&str) -> Result<SecretString> + Send + Sync>;

/// Waits until a request may be sent. The host keeps the rate here, and closes the gate on a write that is no longer
/// its own.
pub type RequestGate =
    Arc<dyn Fn() -> BoxFuture<'static, Result<(), RequestHeldBack>> + Send + Sync>;

/// The host does not let the request out. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request was held back before it was sent")]
pub struct RequestHeldBack;

/// Reports each request that was answered or failed.
pub type RequestObserver = Arc<dyn Fn(RequestInfo) + Send + Sync>;

/// What a request to an MIS is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RequestPurpose {
    /// Reading marks.
    RegisterRead,
    /// Writing marks.
    RegisterWrite,
    /// Asking what became of marks that were accepted.
    Outcome,
    /// Reading the code book.
    Codes,
    /// Asking which MIS a school has and what it grants.
    Grants,
    /// Reading people, groups, their timetable, and who has left.
    People,
    /// Anything else.
    Other,
}

impl RequestPurpose {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RegisterRead,
        Self::RegisterWrite,
        Self::Outcome,
        Self::Codes,
        Self::Grants,
        Self::People,
        Self::Other,
    ];

    /// Its name in metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RegisterRead => "register_read",
            Self::RegisterWrite => "register_write",
            Self::Outcome => "outcome",
            Self::Codes => "codes",
            Self::Grants => "grants",
            Self::People => "people",
            Self::Other => "other",
        }
    }
}

/// One request to an MIS and its answer, without any of their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestInfo {
    /// The HTTP method, or the adapter's own word where there is no HTTP: `read`, `write`.
    pub method: &'static str,
    /// What it was for.
    pub purpose: RequestPurpose,
    /// The HTTP status; `None` if there is no answer or no HTTP.
    pub status: Option<u16>,
    /// The time from the request to the head of its answer.
    pub took: Duration,
}

impl RequestInfo {
    /// A request for an unnamed purpose that was answered like this after so long.
    pub const fn new(method: &'static str, status: Option<u16>, took: Duration) -> Self {
        Self {
            method,
            purpose: RequestPurpose::Other,
            status,
            took,
        }
    }

    /// Sets what it was for.
    #[must_use]
    pub const fn with_purpose(mut self, purpose: RequestPurpose) -> Self {
        self.purpose = purpose;
        self
    }
}

/// Everything that an adapter needs to know to connect to one school.
///
/// ```
/// use mis_core::{Ability, ConnectContext};
///
/// let mut context = ConnectContext::new("A1930499544");
/// context.without = vec![Ability::Comment];
/// context.link = serde_json::json!({"folder": "registers"});
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectContext {
    /// The school.
    pub school: SchoolId,
    /// The name of the school's MIS, if the host knows better than the MIS's own API.
    pub mis: Option<String>,
    /// The school's time zone, if the host knows better than the MIS.
    pub timezone: Option<Tz>,
    /// The operator's override: capabilities are narrowed to it, never widened.
    pub narrow_to: Option<Capabilities>,
    /// Abilities that the operator takes away, whatever the MIS is.
    pub without: Vec<Ability>,
    /// See [`SchoolClock::morning_from`].
    pub morning_from: Option<NaiveTime>,
    /// See [`SchoolClock::afternoon_from`]. The rules that decide an event's session use the same time.
    pub afternoon_from: NaiveTime,
    /// How far back before a day a mark may have been entered and still be seen by [`MisAdapter::register`], for MISs
    /// whose registers can be read by time of change only. Offices enter absences a term ahead.
    pub register_lookback: Days,
    /// Whether the adapter asks for what the school has granted. A host that only reads people and groups does not need
    /// it.
    pub ask_grants: bool,
    /// How long a code book counts as fresh.
    pub code_book_fresh: Duration,
    /// The settings of the school's link, as the operator wrote them: an object, or null if there are none.
    pub link: Value,
    /// The folder that relative paths in `link` start from.
    pub folder: PathBuf,
    /// The host's clock.
    pub now: Now,
    /// Reads the secrets of `link`.
    pub secrets: Secrets,
    /// Waits until a request may be sent.
    pub gate: RequestGate,
    /// Reports each request.
    pub observer: RequestObserver,
    client: Option<Arc<dyn Any + Send + Sync>>,
}

impl ConnectContext {
    /// A context for this school with everything else left to the MIS, the system's clock, no secrets and no rate
    /// limit.
    pub fn new(school: impl Into<SchoolId>) -> Self {
        Self {
            school: school.into(),
            mis: None,
            timezone: None,
            narrow_to: None,
            without: Vec::new(),
            morning_from: None,
            afternoon_from: NOON,
            register_lookback: Days::new(120),
            ask_grants: true,
            code_book_fresh: Duration::from_secs(60 * 60),
            link: Value::Null,
            folder: PathBuf::new(),
            now: Arc::new(Utc::now),
            secrets: Arc::new(|name| {
                Err(Error::new(
                    ErrorKind::Config,
                    format!("the host has no secret `{name}`"),
                ))
            }),
            gate: Arc::new(|| Box::pin(std::future::ready(Ok(())))),
            observer: Arc::new(|_| {}),
            client: None,
        }
    }

    /// Adds the client of a gateway that several adapters share.
    #[must_use]
    pub fn with_client<T: Any + Send + Sync>(mut self, client: T) -> Self {
        self.client = Some(Arc::new(client));
        self
    }

    /// The client of this type, if the host has one for this school.
    pub fn client<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.client.as_deref()?.downcast_ref()
    }

    /// The settings of the school's link as the adapter's own type.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Config`] if they do not fit. The error names a wrong key, and never shows a value.
    pub fn link_settings<T: DeserializeOwned>(&self) -> Result<T> {
        let settings = match &self.link {
            Value::Null => Value::Object(serde_json::Map::new()),
            settings => settings.clone(),
        };
        serde_json::from_value(settings).map_err(|error| {
            let text = error.to_string();
            // Other texts quote the value, which may be a secret in the wrong place.
            let keys = ["unknown field", "missing field", "duplicate field"];
            let why = match keys.iter().any(|key| text.starts_with(key)) {
                true => text.as_str(),
                false => "a value has the wrong type",
            };
            Error::new(
                ErrorKind::Config,
                format!("the link of school {} is not valid: {why}", self.school),
            )
        })
    }

    /// The school's own clock.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Config`] if the context has no time zone.
    pub fn clock(&self) -> Result<SchoolClock> {
        let timezone = self.timezone.ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!("school {} has no time zone; set `timezone`", self.school),
            )
        })?;
        Ok(self.clock_in(timezone))
    }

    /// The school's own clock, in this time zone.
    pub fn clock_in(&self, timezone: Tz) -> SchoolClock {
        SchoolClock {
            timezone,
            morning_from: self.morning_from,
            afternoon_from: self.afternoon_from,
        }
    }

    /// The capabilities that the operator leaves of these.
    #[must_use]
    pub fn narrow(&self, capabilities: Capabilities) -> Capabilities {
        let narrowed = self
            .narrow_to
            .map_or(capabilities, |limit| capabilities.narrowed_to(limit));
        self.without
            .iter()
            .fold(narrowed, |left, ability| left.without(*ability))
    }

    /// The capabilities that the descriptor declares and the operator leaves.
    #[must_use]
    pub fn effective(&self, descriptor: &Descriptor) -> Capabilities {
        self.narrow(descriptor.capabilities)
    }

    /// Waits until a request may be sent. An adapter with a client of its own calls this before each request.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Unavailable`] if the host holds the request back. Nothing may be sent then.
    pub async fn before_request(&self) -> Result<()> {
        (self.gate)().await.map_err(|held_back| {
            Error::with_recovery(
                ErrorKind::Unavailable,
                Recovery::Retry,
                held_back.to_string(),
            )
        })
    }
}

impl fmt::Debug for ConnectContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectContext")
            .field("school", &self.school)
            .field("mis", &self.mis)
            .field("timezone", &self.timezone)
            .field("narrow_to", &self.narrow_to)
            .field("without", &self.without)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Link {
        #[allow(dead_code, reason = "only its type matters")]
        port: u16,
    }

    #[test]
    fn an_error_of_the_link_names_the_key_and_shows_no_value() {
        let error = |link: Value| {
            let mut context = ConnectContext::new("A1");
            context.link = link;
            context.link_settings::<Link>().unwrap_err().to_string()
        };
        assert!(error(Value::Null).contains("`port`"));
        let json = |key: &str, value: &str| serde_json::json!(BTreeMap::from([(key, value)]));
        assert!(error(json("prot", "hush")).contains("`prot`"));
        let text = error(json("port", "hush"));
        assert!(text.contains("A1") && !text.contains("hush"), "{text}");
    }

    #[test]
    fn a_client_is_found_by_its_type() {
        let context = ConnectContext::new("A1").with_client(7_u8);
        assert_eq!(context.client::<u8>(), Some(&7));
        assert_eq!(context.client::<u16>(), None);
    }
}
