//! A school's line to Wonde: what adapters read and write through, with what the school has granted.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{
    DateTime, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::Tz;
use tokio::sync::Mutex;
use wonde::{AttendanceCodeId, Client, SchoolClient, SchoolId, Session};

use crate::{
    Ability, Capabilities, CodeBook, Descriptor, Error, RegisterQuery, Result, error::ErrorKind,
};

/// Where the time comes from; injected, so that tests and demonstrations set it.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What a host decides about a connection.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The MIS by name, where the host knows better than Wonde.
    pub mis: Option<String>,
    /// The school's own clock, where the host knows better than Wonde.
    pub timezone: Option<Tz>,
    /// The operator's override: capabilities are narrowed to it, never widened.
    pub narrow_to: Option<Capabilities>,
    /// Abilities that the operator takes away, whatever the MIS is.
    pub without: Vec<Ability>,
    /// The local time at which the school's morning session begins. Lessons that are over by then, such as a breakfast
    /// club, bear no session's mark. `None` where all lessons before `afternoon_from` may.
    pub morning_from: Option<NaiveTime>,
    /// The local time at which the school's afternoon session begins: the same for the rules that decide an event's
    /// session, and for the lessons of the MIS. See [`Connection::session_of_lesson`].
    pub afternoon_from: NaiveTime,
    /// How far back before the day itself a mark may have been entered and still be seen by
    /// [`MisAdapter::register`](crate::MisAdapter::register), since registers can be read by time of change only. Offices enter
    /// absences a term ahead.
    pub register_lookback: chrono::Days,
    /// Whether Wonde is asked what the school has granted; not needed by those who only read people and groups.
    pub ask_grants: bool,
    /// How long a code book counts as fresh.
    pub code_book_fresh: Duration,
    /// The clock.
    pub now: Now,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            mis: None,
            timezone: None,
            narrow_to: None,
            without: Vec::new(),
            morning_from: None,
            afternoon_from: NaiveTime::from_hms_opt(12, 0, 0).unwrap_or_default(),
            register_lookback: chrono::Days::new(120),
            ask_grants: true,
            code_book_fresh: Duration::from_secs(60 * 60),
            now: Arc::new(Utc::now),
        }
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("mis", &self.mis)
            .field("timezone", &self.timezone)
            .field("narrow_to", &self.narrow_to)
            .field("without", &self.without)
            .finish_non_exhaustive()
    }
}

/// What Wonde says a school allows. `None` where it does not say; only a plain "no" takes anything away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The school has approved the application.
    pub approved: Option<bool>,
    /// The school lets attendance be written back.
    pub allows_writeback: Option<bool>,
    /// A permission that speaks of writing attendance, and whether it is given.
    pub attendance_write: Option<bool>,
    /// The school's MIS can be reached just now. Takes nothing away: writes wait for it.
    pub online: Option<bool>,
}

impl Grants {
    /// What remains of the declared capabilities.
    pub fn narrow(self, declared: Capabilities) -> Capabilities {
        let refused =
            [self.approved, self.allows_writeback, self.attendance_write].contains(&Some(false));
        if refused {
            declared.without(Ability::Session)
        } else {
            declared
        }
    }
}

/// How long until the code book is read again for an id that it lacked.
const UNKNOWN_CODE_AGAIN: TimeDelta = TimeDelta::minutes(2);

/// One school's line to Wonde. Cheap to clone; clones share what is cached.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    school: SchoolClient,
    name: Option<String>,
    mis: String,
    timezone: Tz,
    grants: Grants,
    options: ConnectOptions,
    codes: Mutex<Option<(DateTime<Utc>, Arc<CodeBook>)>>,
    /// Ids that the code book lacked, and when it was read again for them.
    unknown_codes: Mutex<HashMap<AttendanceCodeId, DateTime<Utc>>>,
    lesson_includes: AtomicBool,
}

impl Connection {
    /// Asks Wonde about a school: its region, its MIS, its clock and what it has granted. Read-only.
    ///
    /// # Errors
    /// Those of the reads; a region that is no host of Wonde's; a time zone that nobody knows.
    pub async fn open(client: &Client, school: &SchoolId, options: ConnectOptions) -> Result<Self> {
        let record = client.school(school).await?;
        let at = client.at(&record)?;
        let (meta, permissions) = if options.ask_grants {
            let meta = optional(client.meta(school).await)?.unwrap_or_default();
            let permissions = optional(client.permissions(school).await)?.unwrap_or_default();
            (meta, permissions)
        } else {
            Default::default()
        };
        let timezone = match (options.timezone, record.timezone.as_deref()) {
            (Some(zone), _) => zone,
            (None, Some(word)) => Tz::from_str(word).map_err(|_| {
                Error::new(
                    ErrorKind::Config,
                    format!("Wonde gives `{word}` as the time zone of school {school}, which is none; set `timezone`"),
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
            // Of several such permissions one that is given is enough: which one Wonde goes by is not known.
            .reduce(|one, other| one || other);
        Ok(Self {
            inner: Arc::new(Inner {
                school: at,
                name: record.name.clone(),
                mis: options
                    .mis
                    .clone()
                    .or(record.mis.clone())
                    .unwrap_or_default(),
                timezone,
                grants: Grants {
                    approved: meta.approved,
                    allows_writeback: record
                        .extended
                        .as_ref()
                        .and_then(|extended| extended.allows_writeback),
                    attendance_write,
                    online: meta.online,
                },
                options,
                codes: Mutex::new(None),
                unknown_codes: Mutex::default(),
                lesson_includes: AtomicBool::new(true),
            }),
        })
    }

    /// The typed client for this school, bound to its region.
    pub fn school(&self) -> &SchoolClient {
        &self.inner.school
    }

    /// The school's name, where it may be read.
    pub fn school_name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// The name of the school's MIS; empty where nobody says.
    pub fn mis(&self) -> &str {
        &self.inner.mis
    }

    /// The school's own clock.
    pub fn timezone(&self) -> Tz {
        self.inner.timezone
    }

    /// What the school has granted, as of the opening.
    pub fn grants(&self) -> Grants {
        self.inner.grants
    }

    /// What holds for this school: declared, granted, and not taken away by the operator.
    pub fn effective(&self, descriptor: &Descriptor) -> Capabilities {
        let options = &self.inner.options;
        let granted = self.inner.grants.narrow(descriptor.capabilities);
        let narrowed = options
            .narrow_to
            .map_or(granted, |limit| granted.narrowed_to(limit));
        options
            .without
            .iter()
            .fold(narrowed, |left, ability| left.without(*ability))
    }

    /// The time by the host's clock.
    pub fn now(&self) -> DateTime<Utc> {
        (self.inner.options.now)()
    }

    /// The local date and session in which an instant falls.
    pub fn session_at(&self, at: DateTime<Utc>) -> (NaiveDate, Session) {
        let local = self.local(at);
        let session = if local.time() < self.inner.options.afternoon_from {
            Session::Am
        } else {
            Session::Pm
        };
        (local.date(), session)
    }

    /// The local date of a lesson, and the session whose register is taken in it.
    ///
    /// A register is taken when a lesson begins. So a lesson belongs to the session in which it begins, however far it
    /// reaches into the next: one from 11:20 to 12:05 is of the morning where the afternoon begins at 12:00. A lesson that
    /// begins before the morning does is of the morning if it goes on after its beginning, such as registration a few
    /// minutes early; one that is over by then bears no session's mark. Where its end is not told, or is not after its
    /// start, its start decides.
    pub fn session_of_lesson(
        &self,
        starts: DateTime<Utc>,
        ends: Option<DateTime<Utc>>,
    ) -> (NaiveDate, Option<Session>) {
        let (date, session) = self.session_at(starts);
        let over_by = |opens: NaiveTime| {
            let opens = date.and_time(opens);
            match ends.filter(|ends| *ends > starts) {
                Some(ends) => self.local(ends) <= opens,
                None => self.local(starts) < opens,
            }
        };
        let too_early = self.inner.options.morning_from.is_some_and(over_by);
        (date, Some(session).filter(|_| !too_early))
    }

    /// The time by the school's own clock. At the ends of the calendar, where there is none, that of UTC.
    fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let utc = at.naive_utc();
        let offset = self.inner.timezone.offset_from_utc_datetime(&utc).fix();
        utc.checked_add_offset(offset).unwrap_or(utc)
    }

    /// The first instant of a local day. Where the clocks change at midnight, the first that exists.
    pub fn start_of_day(&self, date: NaiveDate) -> DateTime<Utc> {
        let midnight = date.and_time(NaiveTime::MIN);
        self.inner
            .timezone
            .from_local_datetime(&midnight)
            .earliest()
            .map_or_else(|| midnight.and_utc(), |local| local.with_timezone(&Utc))
    }

    /// Whether lessons may be asked for along with the marks on them; so until it is refused.
    pub(crate) fn lesson_includes(&self) -> bool {
        self.inner.lesson_includes.load(Ordering::Relaxed)
    }

    /// Lessons are not to be asked for along with the marks on them.
    pub(crate) fn without_lesson_includes(&self) {
        self.inner.lesson_includes.store(false, Ordering::Relaxed);
    }

    /// Which changes are read so that the marks of this day are among them.
    pub(crate) fn register_query(&self, date: NaiveDate) -> RegisterQuery {
        let first = date
            .checked_sub_days(self.inner.options.register_lookback)
            .unwrap_or(date);
        RegisterQuery {
            updated_after: Some(self.start_of_day(first)),
            updated_before: None,
        }
    }

    /// The school's code book; read again when it has grown old, or when `at_least` is later than the last read.
    pub(crate) async fn code_book(&self, at_least: Option<DateTime<Utc>>) -> Result<Arc<CodeBook>> {
        let mut cached = self.inner.codes.lock().await;
        let now = self.now();
        let fresh =
            chrono::TimeDelta::from_std(self.inner.options.code_book_fresh).unwrap_or_default();
        if let Some((read_at, book)) = cached.as_ref()
            && (now - *read_at).abs() < fresh
            && at_least.is_none_or(|at_least| *read_at >= at_least)
        {
            return Ok(book.clone());
        }
        let book = Arc::new(crate::shapes::read::fetch_code_book(self).await?);
        *cached = Some((now, book.clone()));
        Ok(book)
    }

    /// The code book for reading a register that holds these ids. For an id that the remembered book lacks it is read
    /// again, but only once in a while for the same id.
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
            .field("timezone", &self.inner.timezone)
            .field("grants", &self.inner.grants)
            .finish_non_exhaustive()
    }
}

/// What may be asked may be refused: then we know nothing, and nothing is taken away.
fn optional<T>(answer: wonde::Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                wonde::ErrorKind::Forbidden | wonde::ErrorKind::NotFound
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
