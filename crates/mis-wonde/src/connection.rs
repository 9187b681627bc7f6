//! A school's connection to Wonde, with the school's grants.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr as _,
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use mis_core::{
    Ability, AttendanceCodeId, Capabilities, CodeBook, ConnectContext, Descriptor, Error,
    ErrorKind, Mis, RegisterQuery, Registry, Result, SchoolClock,
};
use tokio::sync::Mutex;
use wonde::{Client, SchoolClient};

use crate::{
    convert::error,
    generic,
    strategies::{outcomes::WritebackList, read},
};

/// A school's permissions according to Wonde. `None` if Wonde does not report one; only a clear "no" removes abilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grants {
    /// The school has approved the application.
    pub approved: Option<bool>,
    /// The school allows writeback of attendance.
    pub allows_writeback: Option<bool>,
    /// Whether the permission to write attendance is given.
    pub attendance_write: Option<bool>,
    /// Whether Wonde currently reaches the school's MIS. This removes no abilities, because writes wait.
    pub online: Option<bool>,
}

impl Grants {
    /// Whether the school clearly does not grant what writing marks needs.
    #[must_use]
    pub fn forbid_writing(self) -> bool {
        [self.approved, self.allows_writeback, self.attendance_write].contains(&Some(false))
    }

    /// The declared capabilities that the school grants.
    #[must_use]
    pub fn narrow(self, declared: Capabilities) -> Capabilities {
        if self.forbid_writing() {
            declared.without(Ability::Session)
        } else {
            declared
        }
    }
}

/// The time until the code book is read again for an id that it lacks.
const UNKNOWN_CODE_AGAIN: TimeDelta = TimeDelta::minutes(2);

/// One school's connection to Wonde. Cheap to clone; clones share what is cached.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    school: SchoolClient,
    name: Option<String>,
    mis: String,
    grants: Grants,
    context: ConnectContext,
    clock: SchoolClock,
    codes: Mutex<Option<(DateTime<Utc>, Arc<CodeBook>)>>,
    /// Ids that the code book lacked, and when it was read again for them.
    unknown_codes: Mutex<HashMap<AttendanceCodeId, DateTime<Utc>>>,
    lesson_includes: AtomicBool,
    writeback_list: StdMutex<WritebackList>,
}

impl Connection {
    /// Asks Wonde for a school's region, MIS, time zone and grants. Read-only.
    ///
    /// # Errors
    /// Returns an error if a request fails, the region is not a host of Wonde's, or the time zone is not known.
    pub async fn open(client: &Client, context: ConnectContext) -> Result<Self> {
        let school = wonde::SchoolId::new(context.school.as_str());
        let record = client.school(&school).await.map_err(error)?;
        let at = client.at(&record).map_err(error)?;
        let (meta, permissions) = if context.ask_grants {
            let meta = optional(client.meta(&school).await)?.unwrap_or_default();
            let permissions = optional(client.permissions(&school).await)?.unwrap_or_default();
            (meta, permissions)
        } else {
            Default::default()
        };
        let timezone = match (context.timezone, record.timezone.as_deref()) {
            (Some(zone), _) => zone,
            (None, Some(name)) => Tz::from_str(name).map_err(|_| {
                Error::new(
                    ErrorKind::Config,
                    format!("Wonde gives `{name}` as the time zone of school {school}, which does not exist; set `timezone`"),
                )
            })?,
            (None, None) => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("Wonde gives no time zone for school {school}; set `timezone`"),
                ));
            }
        };
        let attendance_write = permissions
            .iter()
            .filter(|permission| permission.is_attendance_write())
            .filter_map(|permission| permission.approved)
            // If there are several such permissions, one is enough, because it is not known which one Wonde uses.
            .reduce(|one, other| one || other);
        Ok(Self {
            inner: Arc::new(Inner {
                school: at,
                name: record.name.clone(),
                mis: context
                    .mis
                    .clone()
                    .or(record.mis.clone())
                    .unwrap_or_default(),
                grants: Grants {
                    approved: meta.approved,
                    allows_writeback: record
                        .extended
                        .as_ref()
                        .and_then(|extended| extended.allows_writeback),
                    attendance_write,
                    online: meta.online,
                },
                clock: context.clock_in(timezone),
                context,
                codes: Mutex::new(None),
                unknown_codes: Mutex::default(),
                lesson_includes: AtomicBool::new(true),
                writeback_list: StdMutex::default(),
            }),
        })
    }

    /// Connects the adapter for the school's MIS, or the [generic one](crate::GENERIC) if the registry has none.
    ///
    /// # Errors
    /// Returns the adapter's error if it cannot connect.
    pub async fn connect(self, registry: &Registry) -> Result<Mis> {
        let descriptor = generic::for_mis(registry, self.mis());
        descriptor.connect(self.into_context()).await
    }

    /// The context with this connection, for [`Descriptor::connect`].
    pub fn into_context(self) -> ConnectContext {
        let context = self.inner.context.clone();
        context.with_client(self)
    }

    /// Takes over what an earlier connection to the same school and MIS has shown to be reliable, so that it is not checked
    /// again. What failed on the earlier one is tried again.
    #[must_use]
    pub fn succeeding(self, earlier: &Self) -> Self {
        let is_same = self.inner.school.id() == earlier.inner.school.id()
            && self.inner.mis == earlier.inner.mis;
        if is_same && earlier.writeback_list() == WritebackList::Proven {
            self.judge_writeback_list(WritebackList::Proven);
        }
        self
    }

    /// The client for this school, bound to its region.
    pub fn school(&self) -> &SchoolClient {
        &self.inner.school
    }

    /// The school's name, if it may be read.
    pub fn school_name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// The name of the school's MIS; empty if it is not known.
    pub fn mis(&self) -> &str {
        &self.inner.mis
    }

    /// The school's own clock.
    pub fn clock(&self) -> &SchoolClock {
        &self.inner.clock
    }

    /// The school's grants at the time of opening.
    pub fn grants(&self) -> Grants {
        self.inner.grants
    }

    /// The capabilities at this school: declared, granted, and not taken away by the operator.
    #[must_use]
    pub fn effective(&self, descriptor: &Descriptor) -> Capabilities {
        let granted = self.inner.grants.narrow(descriptor.capabilities);
        self.inner.context.narrow(granted)
    }

    /// The time by the host's clock.
    pub fn now(&self) -> DateTime<Utc> {
        (self.inner.context.now)()
    }

    /// Whether lessons are included with the marks on them. They are until a request with them is rejected.
    pub(crate) fn lesson_includes(&self) -> bool {
        self.inner.lesson_includes.load(Ordering::Relaxed)
    }

    /// Stops requesting lessons along with the marks on them.
    pub(crate) fn without_lesson_includes(&self) {
        self.inner.lesson_includes.store(false, Ordering::Relaxed);
    }

    /// What is known of the list of submitted registers.
    pub(crate) fn writeback_list(&self) -> WritebackList {
        let list = self.inner.writeback_list.lock();
        *list.unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what is known of the list of submitted registers.
    pub(crate) fn judge_writeback_list(&self, verdict: WritebackList) {
        let list = self.inner.writeback_list.lock();
        *list.unwrap_or_else(PoisonError::into_inner) = verdict;
    }

    /// The range of changes that contains the marks of this day.
    pub(crate) fn register_query(&self, date: NaiveDate) -> RegisterQuery {
        let first = date
            .checked_sub_days(self.inner.context.register_lookback)
            .unwrap_or(date);
        RegisterQuery {
            updated_after: Some(self.inner.clock.start_of_day(first)),
            updated_before: None,
        }
    }

    /// The school's code book. It is read again when it is outdated or older than `at_least`.
    pub(crate) async fn code_book(&self, at_least: Option<DateTime<Utc>>) -> Result<Arc<CodeBook>> {
        let mut cached = self.inner.codes.lock().await;
        let now = self.now();
        let fresh = TimeDelta::from_std(self.inner.context.code_book_fresh).unwrap_or_default();
        if let Some((read_at, book)) = cached.as_ref()
            && (now - *read_at).abs() < fresh
            && at_least.is_none_or(|at_least| *read_at >= at_least)
        {
            return Ok(book.clone());
        }
        let book = Arc::new(read::fetch_code_book(self).await?);
        *cached = Some((now, book.clone()));
        Ok(book)
    }

    /// The code book for a register with these ids. If the cached book lacks an id, it is read again, but only at
    /// intervals for the same id.
    pub(crate) async fn code_book_for(
        &self,
        ids: impl Iterator<Item = &AttendanceCodeId> + Send,
    ) -> Result<Arc<CodeBook>> {
        let began = self.now();
        let book = self.code_book(None).await?;
        let unknown: HashSet<_> = ids.filter(|id| book.by_id(id).is_none()).collect();
        if unknown.is_empty() {
            return Ok(book);
        }
        let mut looked_for = self.inner.unknown_codes.lock().await;
        looked_for.retain(|_, at| (began - *at).abs() < UNKNOWN_CODE_AGAIN);
        if unknown.iter().all(|id| looked_for.contains_key(*id)) {
            return Ok(book);
        }
        let book = self.code_book(Some(began)).await?;
        looked_for.extend(unknown.into_iter().map(|id| (id.clone(), began)));
        Ok(book)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("school", self.inner.school.id())
            .field("mis", &self.inner.mis)
            .field("timezone", &self.inner.clock.timezone)
            .field("grants", &self.inner.grants)
            .finish_non_exhaustive()
    }
}

/// Treats a failed request for grants as unknown, which removes no abilities.
fn optional<T>(answer: wonde::Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(failed)
            if matches!(
                failed.kind(),
                wonde::ErrorKind::Forbidden | wonde::ErrorKind::NotFound
            ) =>
        {
            Ok(None)
        }
        Err(failed) => Err(error(failed)),
    }
}
