//! The client: requests at the root of the API, and clients for single schools.

use std::{fmt, sync::Arc, time::Duration};

use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use secrecy::SecretString;
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    AccessChange, AccessList, AttendanceCode, OpenRecord, Permission, School, SchoolClient,
    SchoolContact, SchoolId, SchoolMeta, SchoolQuery, Writeback, WritebackId,
    error::{Effect, Error, Result},
    origin::{Origin, parse_authority},
    pages::{self, OnIssue},
    query::{ListQuery, Pairs},
    records::writeback::WritebackRow,
    transport::{Gate, RawAnswer, RequestObserver, Settings, Transport},
    wire::body::Unreadable,
};

/// The base URL for schools in the UK and most other countries \[D\].
pub const DEFAULT_BASE_URL: &str = "https://api.wonde.com/v1.0";

/// Which schools to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchoolList {
    /// Schools that have approved the application \[D\].
    #[default]
    Approved,
    /// All schools that can be asked for access \[C\].
    All,
    /// Schools that have not answered a request for access \[C\].
    Pending,
    /// Schools that have passed Wonde's audit \[C\].
    Audited,
    /// Schools whose MIS is offline \[C\].
    Offline,
    /// Schools that have revoked access \[C\].
    Revoked,
    /// Schools that have declined access \[C\].
    Declined,
}

impl SchoolList {
    fn path(self) -> &'static [&'static str] {
        match self {
            Self::Approved => &["schools"],
            Self::All => &["schools", "all"],
            Self::Pending => &["schools", "pending"],
            Self::Audited => &["schools", "audited"],
            Self::Offline => &["schools", "offline"],
            Self::Revoked => &["schools", "revoked"],
            Self::Declined => &["schools", "declined"],
        }
    }
}

/// Configures a [`Client`].
#[must_use = "a builder does nothing until it builds"]
pub struct ClientBuilder {
    token: SecretString,
    base_url: String,
    allowed_hosts: Vec<String>,
    settings: Settings,
}

impl ClientBuilder {
    /// Uses another base URL than [`DEFAULT_BASE_URL`], including its path: `http://127.0.0.1:8080/v1.0`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// Appends the name of the caller to the user agent: `markback/0.1`.
    pub fn user_agent_suffix(mut self, suffix: impl AsRef<str>) -> Self {
        self.settings.user_agent = format!("{} {}", user_agent(), suffix.as_ref().trim())
            .trim_end()
            .to_owned();
        self
    }

    /// Limits the time of one request and its response; 30 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Limits the time to connect; 10 seconds by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Sets how often a read is retried before its error is returned; 2 by default. Writes are never retried.
    pub fn read_retries(mut self, times: usize) -> Self {
        self.settings.read_retries = times;
        self
    }

    /// Sets the pause before the first retry of a read; half a second by default. It doubles each time, and jitter
    /// makes it up to twice as long.
    pub fn read_retry_delay(mut self, delay: Duration) -> Self {
        self.settings.read_retry_delay = delay;
        self
    }

    /// Sets a gate that every request waits for before it is sent, including retries. The wait does not count towards
    /// the request's time-out.
    pub fn gate(mut self, gate: Gate) -> Self {
        self.settings.gate = Some(gate);
        self
    }

    /// Sets a function that is called after every request with its status, including retries.
    pub fn observer(mut self, observer: RequestObserver) -> Self {
        self.settings.observer = Some(observer);
        self
    }

    /// Trusts another host with the token, as `host` (any port) or `host:port`.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.allowed_hosts.push(host.into());
        self
    }

    /// Builds the client. Nothing is sent.
    ///
    /// # Errors
    /// Returns [`Config`](crate::ErrorKind::Config) if the base URL, a host, the user agent or the token is invalid, or
    /// the system has no CA certificates.
    pub fn build(self) -> Result<Client> {
        let origin = Origin::parse(&self.base_url)?;
        if self
            .allowed_hosts
            .iter()
            .any(|host| parse_authority(host).is_none())
        {
            return Err(Error::config(
                "an allowed host is invalid; write `host` or `host:port`",
            ));
        }
        let transport = Transport::new(&self.token, &self.settings, &origin)?;
        Ok(Client {
            inner: Arc::new(Inner {
                transport,
                origin,
                allowed_hosts: self.allowed_hosts,
            }),
        })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("allowed_hosts", &self.allowed_hosts)
            .finish_non_exhaustive()
    }
}

fn user_agent() -> &'static str {
    concat!("markback-wonde/", env!("CARGO_PKG_VERSION"))
}

/// A client for one token. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Transport,
    origin: Origin,
    allowed_hosts: Vec<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("origin", &self.inner.origin)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Returns a builder for a client with this token.
    pub fn builder(token: SecretString) -> ClientBuilder {
        ClientBuilder {
            token,
            base_url: DEFAULT_BASE_URL.to_owned(),
            allowed_hosts: Vec::new(),
            settings: Settings {
                user_agent: user_agent().to_owned(),
                timeout: Duration::from_secs(30),
                connect_timeout: Duration::from_secs(10),
                read_retries: 2,
                read_retry_delay: Duration::from_millis(500),
                gate: None,
                observer: None,
            },
        }
    }

    /// Lists schools.
    pub fn schools(&self, list: SchoolList) -> BoxStream<'static, Result<School>> {
        self.find_schools(list, SchoolQuery::new())
    }

    /// Lists the schools of a list that match a query.
    pub fn find_schools(
        &self,
        list: SchoolList,
        query: SchoolQuery,
    ) -> BoxStream<'static, Result<School>> {
        self.root()
            .rows(list.path(), &ListQuery::from(query).pairs())
    }

    /// Returns a school, including its region.
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn school(&self, id: &SchoolId) -> Result<School> {
        self.root().one(&["schools", id.as_str()], &[]).await
    }

    /// Returns the state of a school and its MIS \[T\].
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn meta(&self, id: &SchoolId) -> Result<SchoolMeta> {
        self.root()
            .one(&["meta", "schools", id.as_str()], &[])
            .await
    }

    /// Returns a school's permissions \[T\].
    ///
    /// # Errors
    /// Returns an error if a request fails.
    pub async fn permissions(&self, id: &SchoolId) -> Result<Vec<Permission>> {
        self.root()
            .rows(&["meta", "schools", id.as_str(), "permissions"], &[])
            .try_collect()
            .await
    }

    /// Returns the access control list of a school \[T\].
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn access_list(&self, id: &SchoolId) -> Result<AccessList> {
        let with_type = [("with_user_type".to_owned(), "true".to_owned())];
        self.root()
            .one(&["meta", "schools", id.as_str(), "acl"], &with_type)
            .await
    }

    /// Requests access to a school \[C\].
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn request_access(&self, id: &SchoolId) -> Result<AccessChange> {
        self.request_access_with(id, &[]).await
    }

    /// Requests access to a school and names contacts there \[T\].
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn request_access_with(
        &self,
        id: &SchoolId,
        contacts: &[SchoolContact],
    ) -> Result<AccessChange> {
        let mut content = serde_json::Map::new();
        if !contacts.is_empty() {
            let contacts = serde_json::to_value(contacts);
            let contacts =
                contacts.map_err(|_| Error::config("the contacts cannot be written as JSON"))?;
            content.insert("contacts".to_owned(), contacts);
        }
        self.root()
            .write(
                Method::POST,
                &["schools", id.as_str(), "request-access"],
                Some(&content),
            )
            .await
    }

    /// Revokes access to a school, or withdraws the request for it \[C\].
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn revoke_access(&self, id: &SchoolId) -> Result<AccessChange> {
        self.root()
            .write(
                Method::DELETE,
                &["schools", id.as_str(), "revoke-access"],
                None::<&()>,
            )
            .await
    }

    /// Lists the attendance codes that Wonde knows \[T\]. A write needs the school's own:
    /// [`SchoolClient::attendance_codes`].
    pub fn attendance_codes(&self) -> BoxStream<'static, Result<AttendanceCode>> {
        self.root()
            .rows(&["attendance-codes"], &ListQuery::default().pairs())
    }

    /// Lists submitted registers \[C\], at the base URL. The contents and order of the list are not known \[?\].
    pub fn writebacks(&self) -> BoxStream<'static, Result<Writeback>> {
        self.root().writebacks()
    }

    /// Returns the outcome of a submitted register \[C\], from the base URL. For a school in another region use
    /// [`SchoolClient::writeback`].
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn writeback(&self, id: &WritebackId) -> Result<Writeback> {
        self.root().writeback(id).await
    }

    /// Reads an address below the base URL as it comes, to inspect Wonde's formats. It is not retried.
    ///
    /// # Errors
    /// Returns an error if the request fails or the response is not JSON.
    pub async fn raw(&self, path: &[&str], query: &[(&str, &str)]) -> Result<RawAnswer> {
        self.root().raw(path, query).await
    }

    /// Returns a client for a school at the host of its region. At any other host the school looks empty \[D\].
    ///
    /// # Errors
    /// Returns [`ForeignHost`](crate::ErrorKind::ForeignHost) if that host is neither Wonde's, nor the base URL's, nor
    /// [allowed](ClientBuilder::allow_host), and [`Config`](crate::ErrorKind::Config) if the school names none.
    pub fn at(&self, school: &School) -> Result<SchoolClient> {
        let region = school.region.as_ref();
        let domain = region
            .and_then(|region| region.domain.as_deref().or(region.school_url.as_deref()))
            .ok_or_else(|| {
                Error::config(format!(
                    "school {} names no region, and at the wrong one it would look empty; read it with `school`, or use \
                     `at_base` if the base URL is known to be right",
                    school.id
                ))
            })?;
        let origin = self
            .inner
            .origin
            .region(domain, &self.inner.allowed_hosts)?;
        Ok(SchoolClient::new(
            self.clone(),
            self.root_at(origin),
            school.id.clone(),
        ))
    }

    /// Returns a client for a school at the base URL. Use it only if the school's data is known to be there.
    pub fn at_base(&self, id: &SchoolId) -> SchoolClient {
        SchoolClient::new(self.clone(), self.root(), id.clone())
    }

    fn root(&self) -> Root {
        self.root_at(self.inner.origin.clone())
    }

    fn root_at(&self, origin: Origin) -> Root {
        Root {
            transport: self.inner.transport.clone(),
            origin,
        }
    }
}

/// The API at one host.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    transport: Transport,
    origin: Origin,
}

impl Root {
    fn url(&self, path: &[&str], query: &[(String, String)]) -> Result<Url> {
        let mut url = self.origin.endpoint(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    pub(crate) fn rows<T>(
        &self,
        path: &[&str],
        query: &[(String, String)],
    ) -> BoxStream<'static, Result<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.rows_with(path, query, None)
    }

    /// Like `rows`, but skips and reports what cannot be read.
    pub(crate) fn rows_with<T>(
        &self,
        path: &[&str],
        query: &[(String, String)],
        on_issue: Option<OnIssue>,
    ) -> BoxStream<'static, Result<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        pages::rows(
            self.transport.clone(),
            self.origin.clone(),
            self.url(path, query),
            on_issue,
        )
    }

    pub(crate) async fn one<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(String, String)],
    ) -> Result<T> {
        self.transport
            .get_one(&self.origin, &self.url(path, query)?)
            .await
    }

    pub(crate) async fn raw(&self, path: &[&str], query: &[(&str, &str)]) -> Result<RawAnswer> {
        let query: Pairs = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.transport
            .get_raw(&self.origin, &self.url(path, &query)?)
            .await
    }

    pub(crate) async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        content: Option<&impl Serialize>,
    ) -> Result<T> {
        self.transport
            .write(&self.origin, method, &self.url(path, &[])?, content)
            .await
    }

    pub(crate) async fn write_open(
        &self,
        method: Method,
        path: &[&str],
        content: Option<&impl Serialize>,
    ) -> Result<OpenRecord> {
        self.transport
            .write_open(&self.origin, method, &self.url(path, &[])?, content)
            .await
    }

    pub(crate) fn writebacks(&self) -> BoxStream<'static, Result<Writeback>> {
        let rows = self.rows(&["writebacks"], &ListQuery::default().pairs());
        rows.and_then(|row: WritebackRow| async move {
            let misfit = Unreadable::Misfit("`data`: expected an id in each row".to_owned());
            let id = row
                .id()
                .ok_or_else(|| Error::unreadable(misfit, Effect::Read))?;
            Ok(row.into_writeback(&id))
        })
        .boxed()
    }

    pub(crate) async fn writeback(&self, id: &WritebackId) -> Result<Writeback> {
        let row: WritebackRow = self
            .one(&["writebacks", id.as_str()], &Pairs::new())
            .await?;
        Ok(row.into_writeback(id))
    }
}
