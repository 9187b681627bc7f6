//! Checks a school's settings and permissions at its MIS, without changing anything.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures::StreamExt as _;
use mis_core::{
    Ability, AttendanceCodeId, CodeBook, ConnectContext, DecodeIssue, Descriptor, Issues, Mis,
    PeopleQuery, PersonKind, Registry,
};
use mis_wonde::{
    Connection,
    wonde::{self, Client},
};
use schemars::JsonSchema;
use serde::Serialize;
use writeback::Rules;

use crate::{
    rate::Rates,
    schools::{Schools, token_key},
    settings::{Link, School, Service, Settings},
};

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Finding {
    /// What was checked.
    pub asked: &'static str,
    /// Whether it is in order.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Whether what was checked is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Ok,
    /// It is not, or is not known, and the school works without.
    Warn,
    /// It is not, and the school does not work.
    Fail,
}

/// All results of one school.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Examination {
    /// Whether no check failed.
    pub ok: bool,
    /// Requests to Wonde, including repeated ones.
    pub requests: u32,
    /// The results, in the order of the checks.
    pub findings: Vec<Finding>,
}

/// A school is examined already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the school is being checked already; try again when that has ended")]
pub struct Busy;

impl Schools {
    /// Runs all checks of a school, at the rate that its token allows all nodes together. A node checks a school once at a
    /// time.
    ///
    /// # Errors
    /// Returns an error if this node is checking the school already.
    pub async fn examine(&self, settings: &Settings, school: &School) -> Result<Examination, Busy> {
        let _examining = self.begin_to_examine(&school.id).ok_or(Busy)?;
        let requests = Arc::new(AtomicU32::new(0));
        let mut context = self.context(school, true);
        let (counted, observer) = (requests.clone(), context.observer.clone());
        context.observer = Arc::new(move |request| {
            counted.fetch_add(1, Ordering::Relaxed);
            observer(request);
        });
        let findings = examine(settings, school, self.registry(), context).await;
        Ok(Examination {
            ok: !findings.iter().any(|one| one.verdict == Verdict::Fail),
            requests: requests.load(Ordering::Relaxed),
            findings,
        })
    }
}

/// Runs all checks of this school; checks that depend on a failed one are skipped.
pub async fn examine(
    settings: &Settings,
    school: &School,
    registry: &Registry,
    context: ConnectContext,
) -> Vec<Finding> {
    let mut findings = Findings::default();
    let mis = match &school.link {
        Some(link) => findings.linked(link, registry, context).await,
        None => {
            findings
                .through_wonde(&settings.service, school, registry, context)
                .await
        }
    };
    let Some(mis) = mis else {
        return findings.0;
    };
    findings.capabilities(school, &mis);
    if mis.descriptor().capabilities.has(Ability::Session) {
        findings.codes(school, &mis).await;
    } else {
        findings.ok("codes", "not needed: the MIS does not accept marks");
    }
    findings.people(settings, school, &mis).await;
    findings.0
}

/// The context of a connection that respects the rate limit and counts its requests.
pub fn context(school: &School, rates: &Rates, requests: &Arc<AtomicU32>) -> ConnectContext {
    let requests = requests.clone();
    let mut context = school.context();
    context.gate = rates.gate(&token_key(school));
    context.observer = Arc::new(move |_| {
        requests.fetch_add(1, Ordering::Relaxed);
    });
    context
}

/// Results as they are gathered.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    fn ok(&mut self, asked: &'static str, found: impl Into<String>) {
        self.add(asked, Verdict::Ok, found, None);
    }

    fn warn(&mut self, asked: &'static str, found: impl Into<String>, help: impl Into<String>) {
        self.add(asked, Verdict::Warn, found, Some(help.into()));
    }

    /// Adds a check that failed.
    pub fn fail(&mut self, asked: &'static str, found: impl Into<String>, help: impl Into<String>) {
        self.add(asked, Verdict::Fail, found, Some(help.into()));
    }

    fn add(
        &mut self,
        asked: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        help: Option<String>,
    ) {
        self.0.push(Finding {
            asked,
            verdict,
            found: found.into(),
            help,
        });
    }

    /// A school with an adapter that does not use Wonde.
    async fn linked(
        &mut self,
        link: &Link,
        registry: &Registry,
        context: ConnectContext,
    ) -> Option<Mis> {
        let connected = match registry.get(&link.adapter) {
            Ok(descriptor) => descriptor.connect(context).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(mis) => {
                let adapter = mis.descriptor();
                let found = format!("{}, with the adapter `{}`", adapter.name, adapter.id);
                self.ok("link", found);
                Some(mis)
            }
            Err(error) => {
                self.fail("link", error.to_string(), "correct the school's `link`");
                None
            }
        }
    }

    async fn through_wonde(
        &mut self,
        service: &Service,
        school: &School,
        registry: &Registry,
        context: ConnectContext,
    ) -> Option<Mis> {
        let client = self.client(service, school, &context)?;
        let record = self.record(&client, school).await?;
        let connection = self.connection(&client, &record, context).await?;
        let mis = match connection.clone().connect(registry).await {
            Ok(mis) => mis,
            Err(error) => {
                self.fail("MIS", error.to_string(), "see `markback adapters`");
                return None;
            }
        };
        self.region(&record, &mis).await;
        let takes_marks = mis.descriptor().capabilities.has(Ability::Session);
        self.grants(&connection, takes_marks);
        self.timezone(school, &record);
        self.mis(school, &record, mis.descriptor(), registry);
        Some(mis)
    }

    /// The client with the school's token; adds why there is none.
    pub fn client(
        &mut self,
        service: &Service,
        school: &School,
        context: &ConnectContext,
    ) -> Option<Client> {
        let token = match school.token() {
            Ok(token) => token,
            Err(error) => {
                self.fail(
                    "token",
                    error.to_string(),
                    "set the token, and run the check again",
                );
                return None;
            }
        };
        let client = Client::builder(token)
            .base_url(service.wonde_url.as_str())
            .gate(mis_wonde::gate(context.gate.clone()))
            .observer(mis_wonde::observer(context.observer.clone()))
            .user_agent_suffix(concat!("markback-doctor/", env!("CARGO_PKG_VERSION")))
            .build();
        match client {
            Ok(client) => Some(client),
            Err(error) => {
                self.fail(
                    "token",
                    error.to_string(),
                    "correct the token or `wonde_url`",
                );
                None
            }
        }
    }

    /// The school's record at Wonde; adds whether the token opens it.
    pub async fn record(&mut self, client: &Client, school: &School) -> Option<wonde::School> {
        let id = wonde::SchoolId::new(school.id.as_str());
        match client.school(&id).await {
            Ok(record) => {
                let name = record.name.as_deref().unwrap_or("a school without a name");
                self.ok("token", format!("it can access {name}"));
                Some(record)
            }
            Err(error) => {
                self.fail("token", error.to_string(), cure_of(&error, school));
                None
            }
        }
    }

    async fn connection(
        &mut self,
        client: &Client,
        record: &wonde::School,
        context: ConnectContext,
    ) -> Option<Connection> {
        if let Err(error) = client.at(record) {
            self.fail(
                "region",
                error.to_string(),
                "ask Wonde for the region of the school",
            );
            return None;
        }
        match Connection::open(client, context).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.fail(
                    "approved",
                    error.to_string(),
                    "try again later, or ask Wonde",
                );
                None
            }
        }
    }

    /// The wrong region does not fail: it returns empty lists.
    async fn region(&mut self, record: &wonde::School, mis: &Mis) {
        let domain = record
            .region
            .as_ref()
            .and_then(|region| region.domain.as_deref());
        let place = domain.unwrap_or("the address in `wonde_url` (Wonde does not name a region)");
        match students(mis).await {
            Ok(Some(0)) => self.fail(
                "region",
                format!("{place} has no students of this school"),
                "if the school has students, this is the wrong region, or they are not in the token's scope: ask Wonde",
            ),
            Ok(Some(count)) => self.ok("region", format!("{place} has {count} students")),
            Ok(None) => self.ok("region", format!("{place} has students")),
            Err(error) => self.fail("region", error.to_string(), "ask the school to grant reading its students"),
        }
    }

    fn grants(&mut self, connection: &Connection, takes_marks: bool) {
        let grants = connection.grants();
        match grants.approved {
            Some(true) => self.ok("approved", "the school has approved the application"),
            Some(false) => self.fail(
                "approved",
                "the school has not approved the application",
                "ask the school to approve it at Wonde",
            ),
            None => self.warn(
                "approved",
                "Wonde does not report it",
                "check Wonde's portal",
            ),
        }
        match grants.online {
            Some(false) => self.warn(
                "online",
                "Wonde cannot reach the school's MIS at the moment",
                "writes wait until it is back; if this lasts, ask the school",
            ),
            Some(true) => self.ok("online", "Wonde reaches the school's MIS"),
            None => {}
        }
        if !takes_marks {
            self.ok(
                "writing",
                "the MIS does not accept marks, so none are written",
            );
            return;
        }
        match (grants.allows_writeback, grants.attendance_write) {
            (Some(false), _) => self.fail(
                "writing",
                "Wonde cannot write into this school's MIS",
                "ask Wonde to set up writeback for the school",
            ),
            (_, Some(false)) => self.fail(
                "writing",
                "the school has not granted writing attendance",
                "ask the school to grant it at Wonde",
            ),
            (Some(true), Some(true)) => self.ok("writing", "the school allows writing attendance"),
            (_, Some(true)) => self.ok("writing", "the school has granted writing attendance"),
            (Some(true), None) => self.warn(
                "writing",
                "Wonde can write into this MIS, but does not report whether the school allows writing attendance",
                "check the school's permissions at Wonde",
            ),
            (None, None) => self.warn("writing", "Wonde does not report it", "check the school's permissions at Wonde"),
        }
    }

    fn timezone(&mut self, school: &School, record: &wonde::School) {
        match record.timezone.as_deref() {
            Some(zone) if zone != school.timezone.name() => self.warn(
                "time zone",
                format!(
                    "Wonde says {zone}, but the settings say {}; the settings apply",
                    school.timezone
                ),
                "correct whichever is wrong: all times of the rules use it",
            ),
            _ => self.ok("time zone", school.timezone.name()),
        }
    }

    fn mis(
        &mut self,
        school: &School,
        record: &wonde::School,
        adapter: &Descriptor,
        registry: &Registry,
    ) {
        let Some(name) = school.mis.as_deref().or(record.mis.as_deref()) else {
            self.fail(
                "MIS",
                "neither Wonde nor the settings name one",
                "add `mis = \"…\"` to the school, with a name from `markback adapters`",
            );
            return;
        };
        if let (Some(ours), Some(theirs)) = (school.mis.as_deref(), record.mis.as_deref())
            && mis_wonde::for_mis(registry, ours).id != mis_wonde::for_mis(registry, theirs).id
        {
            self.warn(
                "MIS",
                format!("Wonde says {theirs}, but the settings say {ours}; the settings apply"),
                "if the school has changed its MIS, remove `mis` from the settings",
            );
        } else if registry.iter().any(|known| known.id == adapter.id) {
            self.ok("MIS", format!("{name}, with the adapter `{}`", adapter.id));
        } else {
            self.warn(
                "MIS",
                format!(
                    "there is no adapter for {name}: people and groups are read, marks are not written"
                ),
                "see `markback adapters` for the available ones",
            );
        }
    }

    fn capabilities(&mut self, school: &School, mis: &Mis) {
        let (declared, left) = (mis.descriptor().capabilities, mis.capabilities());
        let words = |wanted: &dyn Fn(Ability) -> bool| {
            let words: Vec<_> = Ability::ALL
                .into_iter()
                .filter(|a| wanted(*a))
                .map(Ability::as_str)
                .collect();
            words.join(", ")
        };
        let kept = words(&|ability| left.has(ability));
        let lost = words(&|ability| {
            declared.has(ability) && !left.has(ability) && !school.without.contains(&ability)
        });
        if lost.is_empty() {
            self.ok(
                "capabilities",
                match kept.as_str() {
                    "" => "none".to_owned(),
                    kept if left.has(Ability::Session) => kept.to_owned(),
                    kept => format!("{kept}; no marks are written"),
                },
            );
        } else {
            let kept = if kept.is_empty() {
                "nothing"
            } else {
                kept.as_str()
            };
            self.warn(
                "capabilities",
                format!(
                    "{kept} is available; {} could also store {lost}",
                    mis.descriptor().name
                ),
                "check what the school has granted, above, and `without` in the settings",
            );
        }
    }

    async fn codes(&mut self, school: &School, mis: &Mis) {
        match mis.code_book().await {
            Ok(book) => {
                self.repeated_codes(&book);
                self.configured_codes(school, &book);
            }
            Err(error) => self.fail(
                "codes",
                error.to_string(),
                "ask the school to grant reading its attendance codes",
            ),
        }
    }

    /// Codes that the list has more than once. If they are in the settings, an error is reported with the setting.
    fn repeated_codes(&mut self, book: &CodeBook) {
        let (mut written, mut unclear) = (Vec::new(), Vec::new());
        for one in book.repeated() {
            match one.to_write {
                Some((line, why)) => {
                    let id = line.id.as_ref().map_or("", AttendanceCodeId::as_str);
                    written.push(format!("{} ({id}, {why})", one.code));
                }
                None => unclear.push(one.code.as_str()),
            }
        }
        if !written.is_empty() {
            self.warn(
                "codes",
                format!(
                    "the list has some codes more than once; marks use {}",
                    written.join(", ")
                ),
                "nothing to do if these are the right ones; otherwise ask the school to remove them",
            );
        }
        if !unclear.is_empty() {
            self.warn(
                "codes",
                format!(
                    "the list has {} more than once without a single active one: they are read but never written",
                    unclear.join(", ")
                ),
                "ask the school to remove those that it does not use",
            );
        }
    }

    /// Checks that all data of people that the groups need can be read. A sync skips what cannot.
    async fn people(&mut self, settings: &Settings, school: &School, mis: &Mis) {
        for (kind, properties) in settings.roster(school).needs() {
            let issues = Issues::default();
            let query = PeopleQuery::new(kind).with(properties).noting(&issues);
            let mut rows = mis.people(query);
            let (mut read, mut failed) = (0_usize, None);
            while let Some(row) = rows.next().await {
                match row {
                    Ok(_) => read += 1,
                    Err(error) => failed = Some(error),
                }
            }
            let whom = match kind {
                PersonKind::Student => "students",
                PersonKind::Staff => "staff",
                PersonKind::Parent => "contacts",
            };
            let issues = issues.take();
            if let Some(error) = failed {
                self.warn(
                    "people",
                    format!("the list of {whom} cannot be read as the groups need it: {error}"),
                    "ask the school to grant it; a sync reads the rest without it",
                );
            } else if issues.is_empty() {
                self.ok(
                    "people",
                    format!("all {read} records of {whom} can be read"),
                );
            } else {
                let named: Vec<_> = issues.iter().take(UNREAD_SHOWN).map(named_issue).collect();
                let more = if issues.len() > UNREAD_SHOWN {
                    ", …"
                } else {
                    ""
                };
                self.warn(
                    "people",
                    format!(
                        "of {read} records of {whom}, {} values or records cannot be read: {}{more}",
                        issues.len(),
                        named.join(", ")
                    ),
                    "syncs skip them; have them corrected in the MIS, or ask Wonde",
                );
            }
        }
    }

    fn configured_codes(&mut self, school: &School, book: &CodeBook) {
        let mut groups = 0_usize;
        let mut wrong = false;
        for group in school.groups.iter() {
            let Some(settings) = &group.writeback else {
                continue;
            };
            groups += 1;
            for problem in Rules::check(group.kind, &group.fields, settings, Some(book)).problems {
                wrong = true;
                let found = format!(
                    "{}: {} = {}: {}",
                    group.name, problem.key, problem.value, problem.message
                );
                self.fail("codes", found, problem.help);
            }
        }
        if groups == 0 {
            self.warn(
                "codes",
                "no group in the settings writes back",
                "add `[school.group.writeback]` to one",
            );
        } else if !wrong {
            self.ok(
                "codes",
                format!(
                    "the code book has {} codes, including all codes in the settings",
                    book.letters().count()
                ),
            );
        }
    }
}

/// The maximum number of listed unreadable values.
const UNREAD_SHOWN: usize = 5;

/// The place of an unreadable value, without the value.
fn named_issue(issue: &DecodeIssue) -> String {
    let id = issue.id.as_deref().unwrap_or("a record without an id");
    match issue.field.as_str() {
        "" => format!("{id} on page {}", issue.page),
        field => format!("`{field}` of {id} on page {}", issue.page),
    }
}

/// The number of students at the school; `None` if there are some but Wonde gives no count.
async fn students(mis: &Mis) -> mis_core::Result<Option<u64>> {
    if let Some(count) = mis.people_count(PersonKind::Student).await? {
        return Ok(Some(count));
    }
    let query = PeopleQuery {
        page_size: Some(1),
        ..PeopleQuery::new(PersonKind::Student).noting(&Issues::default())
    };
    match mis.people(query).next().await {
        None => Ok(Some(0)),
        Some(first) => first.map(|_| None),
    }
}

fn cure_of(error: &wonde::Error, school: &School) -> String {
    use wonde::ErrorKind;
    match error.kind() {
        ErrorKind::Unauthorized => match &school.token {
            Some(place) => format!("put the right token into {place}"),
            None => "set the right token".to_owned(),
        },
        ErrorKind::Forbidden => "ask the school to approve the application at Wonde".to_owned(),
        ErrorKind::NotFound => format!("check that `{}` is the school's id at Wonde", school.id),
        ErrorKind::Connect | ErrorKind::Timeout => {
            "check that this machine can reach the address in `wonde_url`".to_owned()
        }
        _ => "try again later; if this lasts, ask Wonde".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use outbox::SystemClock;

    use super::*;
    use crate::settings::LiveSettings;

    #[test]
    fn a_school_is_examined_once_at_a_time() {
        let schools = Schools::new(
            LiveSettings::new(Settings::default()),
            Registry::from_descriptors([]).unwrap(),
            Arc::new(SystemClock),
            Rates::alone(std::num::NonZeroU32::MIN),
        );
        let (one, other) = ("A1".into(), "A2".into());
        let first = schools.begin_to_examine(&one);
        assert!(first.is_some() && schools.begin_to_examine(&other).is_some());
        assert!(schools.begin_to_examine(&one).is_none());
        drop(first);
        assert!(schools.begin_to_examine(&one).is_some());
    }
}
