//! What tests can see and do behind the API: the MIS itself.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::counts::RequestCounts;
use crate::error::Error;
use crate::faults::FaultRule;
use crate::ids::Kind;
use crate::inner::{Inner, WebhookMode, delta, lock};
use crate::mis;
use crate::register::{Entry, Key, Mark, Slot};
use crate::school::{Access, School};
use crate::wire;

/// A school of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SchoolInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The MIS it runs, as the API says it.
    pub mis: String,
    /// Its IANA time zone.
    pub timezone: String,
    /// A token for this school alone.
    pub token: String,
    /// Takes marks from outside.
    pub writes: bool,
    /// How far the token's owner is let in.
    pub access: Access,
    /// The MIS can be reached.
    pub online: bool,
    /// Whether a session's mark is kept as such (`session`) or on the first lesson (`first_lesson`).
    pub register: &'static str,
}

/// A pupil as the MIS has it; also those who are not on roll now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StudentInfo {
    /// Id of this enrolment.
    pub id: String,
    /// Identity across enrolments.
    pub upi: String,
    /// The MIS's own key.
    pub mis_id: String,
    /// The name used.
    pub forename: String,
    /// The family name.
    pub surname: String,
    /// `R` or the national curriculum year.
    pub year: String,
    /// Code of the registration group.
    pub registration: String,
    /// First day on roll.
    pub admission: NaiveDate,
    /// Last day on roll, where it is known.
    pub leaving: Option<NaiveDate>,
    /// On roll today.
    pub on_roll: bool,
}

/// A mark as the MIS holds it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MisMark {
    /// The mark's id in the API.
    pub id: String,
    /// The pupil.
    pub student_id: String,
    /// The day.
    pub date: NaiveDate,
    /// `AM` or `PM`. On a lesson's mark: the session whose first lesson it is for this pupil, if it is.
    pub session: Option<&'static str>,
    /// The lesson, on a lesson's mark.
    pub lesson_id: Option<String>,
    /// The code's letter.
    pub code: String,
    /// The code's id at this school.
    pub code_id: String,
    /// The comment, where the MIS keeps one.
    pub comment: Option<String>,
    /// Minutes late, where the MIS keeps them.
    pub minutes_late: Option<u16>,
    /// Who took the mark, if it says.
    pub employee_id: Option<String>,
    /// The writeback that wrote it last; absent if a teacher did.
    pub writeback_id: Option<String>,
    /// How many writebacks have written this mark so far.
    pub writes: u32,
    /// When its content last changed.
    pub changed_at: DateTime<Utc>,
}

/// A mark that a teacher writes into the MIS, or clears.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherMark {
    /// The pupil.
    pub student_id: String,
    /// The day; needed with `session`.
    #[serde(default)]
    pub date: Option<NaiveDate>,
    /// `AM` or `PM`. Where marks live on lessons, the pupil's first lesson of it is marked.
    #[serde(default)]
    pub session: Option<String>,
    /// A lesson instead of a session.
    #[serde(default)]
    pub lesson_id: Option<String>,
    /// The code's letter; absent clears the mark.
    #[serde(default)]
    pub code: Option<String>,
    /// A comment.
    #[serde(default)]
    pub comment: Option<String>,
    /// Minutes late.
    #[serde(default)]
    pub minutes_late: Option<u16>,
}

/// A way behind the API of a running sandbox; clones lead to the same one.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("options", &self.inner.options)
            .finish()
    }
}

impl Handle {
    /// The API's address with its version, as a client wants it.
    pub fn base_url(&self) -> String {
        self.region_url(0)
    }

    /// The address of another region, where the schools' data are not.
    pub fn wrong_region_url(&self) -> String {
        self.region_url(1)
    }

    fn region_url(&self, region: usize) -> String {
        let domains = self.inner.domains();
        format!(
            "http://{}/v1.0",
            domains.get(region).map_or("", String::as_str)
        )
    }

    /// The control API's address.
    pub fn control_url(&self) -> String {
        self.base_url().replace("/v1.0", "/sandbox")
    }

    /// The made-up token that opens all schools; it comes from the seed.
    pub fn token(&self) -> String {
        self.inner.token()
    }

    /// The time in the sandbox.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.now()
    }

    /// Puts the sandbox's time ahead of the clock it was given.
    pub fn advance(&self, by: Duration) {
        self.inner.put_forward(delta(by));
    }

    /// Changes how long writes take from now on.
    pub fn set_write_delay(&self, delay: Duration) {
        self.inner.set_write_delay(delay);
    }

    /// All schools.
    pub fn schools(&self) -> Vec<SchoolInfo> {
        let now = self.now();
        (0..self.inner.school_count())
            .filter_map(|n| self.inner.asleep(n).map(|s| self.info(&s, now)))
            .collect()
    }

    fn info(&self, school: &School, now: DateTime<Utc>) -> SchoolInfo {
        SchoolInfo {
            id: school.id(Kind::School, 0),
            name: school.name.clone(),
            mis: school.shape.name.to_owned(),
            timezone: school.tz.name().to_owned(),
            token: self.inner.school_token(school.n),
            writes: school.shape.writes,
            access: school.access,
            online: school.extraction.online(now),
            register: match school.shape.register {
                mis::Register::Session => "session",
                mis::Register::Lesson => "first_lesson",
            },
        }
    }

    /// Pupils of a school, also those who have left or are yet to come.
    pub fn students(&self, school: &str) -> Result<Vec<StudentInfo>, Error> {
        let school = self.awake(school)?;
        let today = school.day(self.now());
        let students = school.world.students.iter().enumerate();
        Ok(students
            .map(|(n, s)| StudentInfo {
                id: school.id(Kind::Student, n),
                upi: s.person.upi.clone(),
                mis_id: s.person.mis_id.clone(),
                forename: s.person.name.forename.clone(),
                surname: s.person.name.surname.clone(),
                year: crate::world::year_code(s.year),
                registration: school
                    .world
                    .groups
                    .get(s.registration)
                    .map(|g| g.code.clone())
                    .unwrap_or_default(),
                admission: s.admission,
                leaving: s.leaving,
                on_roll: s.on_roll(today),
            })
            .collect())
    }

    /// All marks that a school's MIS holds now, ordered by day, pupil and slot.
    pub fn mis_marks(&self, school: &str) -> Result<Vec<MisMark>, Error> {
        let school = self.awake(school)?;
        let sessions = school
            .sessions
            .marks()
            .map(|(n, m)| (Kind::SessionMark, n, m));
        let lessons = school
            .lessons
            .marks()
            .map(|(n, m)| (Kind::LessonMark, n, m));
        let mut marks: Vec<(Key, MisMark)> = sessions
            .chain(lessons)
            .filter_map(|(kind, n, mark)| mis_mark(&school, kind, n, mark).map(|m| (mark.key, m)))
            .collect();
        marks.sort_by_key(|(key, _)| (key.date, key.student, slot_order(key.slot)));
        Ok(marks.into_iter().map(|(_, mark)| mark).collect())
    }

    /// A teacher writes or clears a mark.
    pub fn set_mark(&self, school: &str, mark: &TeacherMark) -> Result<(), Error> {
        let now = self.now();
        let mut school = self.awake(school)?;
        let student = school
            .find_student(&mark.student_id, now)
            .ok_or_else(|| Error::unknown("student", &mark.student_id))?;
        let (date, slot) = place(&school, student, mark)?;
        let entry = match &mark.code {
            None => None,
            Some(letter) => Some(Entry {
                code: school
                    .find_letter(letter)
                    .and_then(|n| u16::try_from(n).ok())
                    .ok_or_else(|| Error::unknown("attendance code", letter))?,
                comment: mark.comment.as_deref().map(Into::into),
                minutes_late: mark.minutes_late,
                employee: None,
            }),
        };
        let student = u32::try_from(student).unwrap_or(u32::MAX);
        school.teacher_sets(
            Key {
                student,
                date,
                slot,
            },
            entry,
            now,
        );
        Ok(())
    }

    /// Renews the API's copy of a school's register at once. False if the MIS is offline.
    pub fn extract_now(&self, school: &str) -> Result<bool, Error> {
        let now = self.now();
        Ok(self.awake(school)?.extract_now(now))
    }

    /// When the API's copy of a school's register was last renewed.
    pub fn extracted_at(&self, school: &str) -> Result<DateTime<Utc>, Error> {
        Ok(self.awake(school)?.extraction.last)
    }

    /// How many registers a school's MIS has still to be given.
    pub fn waiting(&self, school: &str) -> Result<usize, Error> {
        Ok(self.awake(school)?.writebacks.waiting())
    }

    /// A lesson no longer takes place: it is not listed, and marks for it are refused.
    pub fn cancel_lesson(&self, school: &str, lesson: &str) -> Result<(), Error> {
        let mut school = self.awake(school)?;
        let found = school
            .find_lesson(lesson)
            .ok_or_else(|| Error::unknown("lesson", lesson))?;
        school.cancelled.insert((found.date, found.place));
        Ok(())
    }

    /// What was asked of the API so far.
    pub fn requests(&self) -> RequestCounts {
        self.inner.counts.get()
    }

    /// Starts counting from nothing.
    pub fn reset_requests(&self) {
        self.inner.counts.reset();
    }

    /// The fault rules in force.
    pub fn faults(&self) -> Vec<FaultRule> {
        lock(&self.inner.faults).list()
    }

    /// Adds a fault rule behind those there are.
    pub fn add_fault(&self, rule: FaultRule) -> Result<(), Error> {
        if let Some(problem) = rule.problem() {
            return Err(Error::Option {
                option: "fault",
                problem,
            });
        }
        lock(&self.inner.faults).add([rule]);
        Ok(())
    }

    /// Takes all fault rules away.
    pub fn clear_faults(&self) {
        lock(&self.inner.faults).clear();
    }

    /// Takes a school's MIS off the line for this long, or (`None`) brings it back.
    pub fn set_offline(&self, school: &str, how_long: Option<Duration>) -> Result<(), Error> {
        let now = self.now();
        self.awake(school)?
            .set_offline(now, how_long.map(|d| now + delta(d)));
        Ok(())
    }

    /// Keeps the API's copy of a school's register as it is for this long, or (`None`) lets it be renewed again.
    pub fn set_stale(&self, school: &str, how_long: Option<Duration>) -> Result<(), Error> {
        let now = self.now();
        self.awake(school)?
            .set_frozen(now, how_long.map(|d| now + delta(d)));
        Ok(())
    }

    /// Lets a school approve, decline or revoke access. Tells the webhook, if there is one.
    pub fn set_access(&self, school: &str, access: Access) -> Result<(), Error> {
        let payload = {
            let mut school = self.asleep(school)?;
            school.access = access;
            access_payload(&school, &self.inner.school_token(school.n))
        };
        if let Some(payload) = payload {
            self.inner.send(payload);
        }
        Ok(())
    }

    /// Withdraws or grants a scope at a school: an object (`students`), a property (`students.upi`,
    /// `students.education_details.upn`), or `attendance.write`.
    pub fn set_scope(&self, school: &str, scope: &str, granted: bool) -> Result<(), Error> {
        let mut school = self.asleep(school)?;
        if granted {
            school.withdrawn.remove(scope);
        } else {
            school.withdrawn.insert(scope.to_owned());
        }
        Ok(())
    }

    /// Moves a school to the other region's address, or back.
    pub fn set_other_region(&self, school: &str, other: bool) -> Result<(), Error> {
        self.asleep(school)?.region = usize::from(other);
        Ok(())
    }

    /// Lets a token fail with 401 from now on, or work again.
    pub fn set_token_revoked(&self, token: &str, revoked: bool) {
        self.inner.set_revoked(token, revoked);
    }

    /// The school's new MIS takes over at once: pupils and marks stay, code ids change. Tells the webhook, if there is one.
    pub fn migrate(&self, school: &str, to: &str) -> Result<(), Error> {
        let shape = mis::named(to).ok_or_else(|| Error::unknown("MIS", to))?;
        let now = self.now();
        let payload = {
            let mut school = self.awake(school)?;
            let from = school.shape;
            if from.timetabled() != shape.timetabled() {
                return Err(Error::Impossible(format!(
                    "a school with {} cannot move to {}: only one of them has a timetable",
                    from.name, shape.name
                )));
            }
            school.shape = shape;
            school.code_era += 1;
            serde_json::json!({
                "payload_type": "schoolMigration",
                "school_id": school.id(Kind::School, 0),
                "migrate_from": from.name,
                "migrate_to": shape.name,
                "scheduled_at": wire::php(now, true),
                "completed_at": wire::php(now, true),
            })
        };
        self.inner.send(payload);
        Ok(())
    }

    /// Sends any webhook, as it is.
    pub fn send_webhook(&self, payload: Value) {
        self.inner.send(payload);
    }

    /// Changes how webhooks are sent: once, twice, or held back and then newest first.
    pub fn set_webhook_mode(&self, mode: WebhookMode) {
        self.inner.set_webhook_mode(mode);
    }

    fn number(&self, school: &str) -> Result<u32, Error> {
        self.inner
            .ids
            .read(school, Kind::School)
            .map(|(n, _)| n)
            .ok_or_else(|| Error::unknown("school", school))
    }

    pub(crate) fn awake(&self, school: &str) -> Result<MutexGuard<'_, School>, Error> {
        let n = self.number(school)?;
        self.inner
            .awake(n, self.now())
            .ok_or_else(|| Error::unknown("school", school))
    }

    fn asleep(&self, school: &str) -> Result<MutexGuard<'_, School>, Error> {
        let n = self.number(school)?;
        self.inner
            .asleep(n)
            .ok_or_else(|| Error::unknown("school", school))
    }
}

fn access_payload(school: &School, token: &str) -> Option<Value> {
    let id = school.id(Kind::School, 0);
    let name = &school.name;
    match school.access {
        Access::Approved => Some(serde_json::json!({
            "payload_type": "schoolApproved", "school_id": id, "school_name": name, "school_token": token,
        })),
        Access::Revoked => Some(serde_json::json!({
            "payload_type": "accessRevoked", "school_id": id, "school_name": name, "revoke_reason": "Sandbox",
        })),
        Access::Declined => Some(serde_json::json!({
            "payload_type": "accessDeclined", "school_id": id, "school_name": name, "decline_reason": "Sandbox",
        })),
        Access::Pending | Access::Unasked => None,
    }
}

fn slot_order(slot: Slot) -> (u8, u16) {
    match slot {
        Slot::Morning => (0, 0),
        Slot::Afternoon => (1, 0),
        Slot::Lesson(n) => (2, n),
    }
}

fn mis_mark(school: &School, kind: Kind, number: u32, mark: &Mark) -> Option<MisMark> {
    let entry = mark.entry.as_ref()?;
    let key = &mark.key;
    let student = key.student as usize;
    let (session, lesson_id) = match key.slot {
        Slot::Lesson(place) => {
            let place = usize::from(place);
            let carries = school.carries_session(student, key.date, place);
            (
                carries.and_then(wire::session),
                school.lesson_id(key.date, place),
            )
        }
        slot => (wire::session(slot), None),
    };
    let code = usize::from(entry.code);
    Some(MisMark {
        id: school.id(kind, number as usize),
        student_id: school.id(Kind::Student, student),
        date: key.date,
        session,
        lesson_id,
        code: school
            .codes
            .get(code)
            .map(|c| c.letter.to_owned())
            .unwrap_or_default(),
        code_id: school.code_id(code),
        comment: entry.comment.as_deref().map(str::to_owned),
        minutes_late: entry.minutes_late,
        employee_id: entry
            .employee
            .map(|e| school.id(Kind::Employee, e as usize)),
        writeback_id: mark.writeback.map(|n| wire::writeback_id(school, n)),
        writes: mark.writes,
        changed_at: mark.changed,
    })
}

/// Where a teacher's mark goes.
fn place(school: &School, student: usize, mark: &TeacherMark) -> Result<(NaiveDate, Slot), Error> {
    if let Some(id) = &mark.lesson_id {
        let lesson = school
            .find_lesson(id)
            .ok_or_else(|| Error::unknown("lesson", id))?;
        let place = u16::try_from(lesson.place).map_err(|_| Error::unknown("lesson", id))?;
        return Ok((lesson.date, Slot::Lesson(place)));
    }
    let missing =
        || Error::Impossible("give a date with a session AM or PM, or a lesson_id".to_owned());
    let date = mark.date.ok_or_else(missing)?;
    if (date - school.ground.today).abs() > TimeDelta::days(10_000) {
        return Err(Error::Impossible(format!("{date} is too far away")));
    }
    let slot = match mark.session.as_deref() {
        Some("AM") => Slot::Morning,
        Some("PM") => Slot::Afternoon,
        _ => return Err(missing()),
    };
    if school.shape.register == mis::Register::Session {
        return Ok((date, slot));
    }
    school
        .world
        .pupils_lessons(student, date)
        .find(|l| school.carries_session(student, date, l.place) == Some(slot))
        .and_then(|l| u16::try_from(l.place).ok())
        .map(|place| (date, Slot::Lesson(place)))
        .ok_or_else(|| Error::Impossible("the pupil has no lesson in that session".to_owned()))
}
