//! Switches of a running sandbox: faults, access, scopes, regions, migration and webhooks.

use std::time::Duration;

use serde_json::Value;

use super::Handle;
use crate::error::Error;
use crate::faults::FaultRule;
use crate::ids::Kind;
use crate::inner::{WebhookMode, delta, lock};
use crate::mis;
use crate::school::{Access, School};
use crate::wire;

impl Handle {
    /// The fault rules in force.
    pub fn faults(&self) -> Vec<FaultRule> {
        lock(&self.inner.faults).list()
    }

    /// Appends a fault rule.
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

    /// Removes all fault rules.
    pub fn clear_faults(&self) {
        lock(&self.inner.faults).clear();
    }

    /// Takes a school's MIS offline for this long, or back online (`None`).
    pub fn set_offline(&self, school: &str, how_long: Option<Duration>) -> Result<(), Error> {
        let now = self.now();
        self.awake(school)?
            .set_offline(now, how_long.map(|d| now + delta(d)));
        Ok(())
    }

    /// Stops extractions of a school's register for this long, or resumes them (`None`).
    pub fn set_stale(&self, school: &str, how_long: Option<Duration>) -> Result<(), Error> {
        let now = self.now();
        self.awake(school)?
            .set_frozen(now, how_long.map(|d| now + delta(d)));
        Ok(())
    }

    /// Sets a school's access and sends the webhook.
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

    /// Revokes a token, so that it fails with 401, or restores it.
    pub fn set_token_revoked(&self, token: &str, revoked: bool) {
        self.inner.set_revoked(token, revoked);
    }

    /// Switches a school to another MIS and sends the webhook: pupils and marks stay, code ids change.
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

    /// Gives all people of a school new ids, `upi`s and MIS keys, as happens on a change of MIS.
    pub fn renumber(&self, school: &str) -> Result<(), Error> {
        let now = self.now();
        let mut school = self.awake(school)?;
        school.people_era += 1;
        let era = school.people_era;
        let world = &mut school.world;
        let people = world
            .students
            .iter_mut()
            .map(|s| &mut s.person)
            .chain(world.contacts.iter_mut().map(|c| &mut c.person))
            .chain(world.employees.iter_mut().map(|e| &mut e.person));
        for person in people {
            person.upi = format!("{}-{era}", person.upi);
            person.mis_id = format!("{era}-{}", person.mis_id);
            person.times.updated = now;
        }
        Ok(())
    }

    /// Makes the API return another value for a property of a record, by JSON pointer: `/date_of_birth`,
    /// `/education_details/data/leaving_date`. For values as real MISs have them.
    pub fn set_value(
        &self,
        school: &str,
        id: &str,
        pointer: &str,
        value: Value,
    ) -> Result<(), Error> {
        let mut school = self.asleep(school)?;
        school
            .overrides
            .push((id.to_owned(), pointer.to_owned(), value));
        Ok(())
    }

    /// Removes all values that were set.
    pub fn clear_values(&self, school: &str) -> Result<(), Error> {
        self.asleep(school)?.overrides.clear();
        Ok(())
    }

    /// Sends a webhook with any payload.
    pub fn send_webhook(&self, payload: Value) {
        self.inner.send(payload);
    }

    /// Changes how webhooks are sent: once, twice, or held back and then newest first.
    pub fn set_webhook_mode(&self, mode: WebhookMode) {
        self.inner.set_webhook_mode(mode);
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
