//! Families, staff, joiners and leavers, and how the API shows changes to them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wonde_sandbox::{Change, SandboxOptions};

use crate::lab::{Lab, ids, options};

#[tokio::test]
async fn a_large_school_has_the_difficult_cases_of_a_sync() {
    let lab = Lab::with(SandboxOptions {
        pupils_per_school: 2_000,
        schools: 1,
        ..options()
    })
    .await;
    let school = lab.school("SIMS").id;
    let pupils = lab.sandbox.students(&school).unwrap();
    assert!(pupils.iter().filter(|s| s.on_roll).count() >= 1_950);
    assert!(
        pupils
            .iter()
            .any(|s| s.admission > "2026-11-23".parse().unwrap()),
        "future starters"
    );
    assert!(
        pupils.iter().any(|s| s.on_roll && s.leaving.is_some()),
        "leavers to be"
    );
    assert!(
        pupils.iter().any(|s| !s.on_roll && s.leaving.is_some()),
        "leavers"
    );

    let mut names = BTreeMap::new();
    for pupil in &pupils {
        *names.entry((&pupil.forename, &pupil.surname)).or_insert(0) += 1;
    }
    assert!(names.values().any(|n| *n > 1), "namesakes");
    let siblings: BTreeSet<&str> = pupils
        .iter()
        .map(|s| s.contacts[0].contact_id.as_str())
        .collect();
    assert!(siblings.len() < pupils.len(), "siblings share parents");
    assert!(
        pupils.iter().any(|s| s
            .contacts
            .iter()
            .any(|c| c.relationship == "Father" && !c.lives_with)),
        "separated parents"
    );
    let all: String = pupils
        .iter()
        .flat_map(|s| [s.forename.as_str(), s.surname.as_str()])
        .collect();
    for script in ["é", "ł", "ß", "李", "م", "И", "Γ", "ਸ", "'", "’", "\u{301}"] {
        assert!(all.contains(script), "{script}");
    }
    let contacts = lab.sandbox.contacts(&school).unwrap();
    let staff = lab.sandbox.employees(&school).unwrap();
    assert!(
        contacts
            .iter()
            .any(|c| staff.iter().any(|e| e.email.is_some()
                && e.email == c.email
                && e.surname == c.surname
                && e.upi != c.upi)),
        "staff who are parents"
    );
    assert!(staff.iter().any(|e| !e.current), "staff who have left");
    let upis: BTreeSet<&str> = pupils.iter().map(|s| s.upi.as_str()).collect();
    assert_eq!(upis.len(), pupils.len());
}

#[tokio::test]
async fn the_api_and_the_mis_agree_on_people() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let path = format!(
        "schools/{school}/students?per_page=200&include=contacts,registration,education_details"
    );
    let rows = lab.all(&path).await;
    let behind: Vec<_> = lab
        .sandbox
        .students(&school)
        .unwrap()
        .into_iter()
        .filter(|s| s.on_roll)
        .collect();
    assert_eq!(rows.len(), behind.len());
    for (row, pupil) in rows.iter().zip(&behind) {
        assert_eq!(row["id"], pupil.id);
        assert_eq!(row["surname"], pupil.surname);
        assert_eq!(row["registration"]["data"]["code"], pupil.registration);
        assert_eq!(
            row["education_details"]["data"]["current_nc_year"],
            pupil.year
        );
        let contacts = ids(row["contacts"]["data"].as_array().unwrap());
        let linked: Vec<String> = pupil
            .contacts
            .iter()
            .map(|c| c.contact_id.clone())
            .collect();
        assert_eq!(contacts, linked);
    }
}

#[tokio::test]
async fn pupils_start_and_leave_on_their_dates() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let now: BTreeSet<String> = lab.pupils(&school).await.into_iter().collect();
    let behind = lab.sandbox.students(&school).unwrap();
    let today = "2026-11-23".parse().unwrap();
    let starters: Vec<&str> = behind
        .iter()
        .filter(|s| s.admission > today)
        .map(|s| s.id.as_str())
        .collect();
    let leavers: Vec<&str> = behind
        .iter()
        .filter(|s| s.on_roll && s.leaving.is_some())
        .map(|s| s.id.as_str())
        .collect();
    assert!(!starters.is_empty() && !leavers.is_empty());
    assert!(starters.iter().all(|s| !now.contains(*s)));
    assert!(leavers.iter().all(|s| now.contains(*s)));

    lab.pass(20 * 86_400);
    let later: BTreeSet<String> = lab.pupils(&school).await.into_iter().collect();
    assert!(starters.iter().all(|s| later.contains(*s)));
    assert!(leavers.iter().all(|s| !later.contains(*s)));
    let since = "updated_after=2026-11-23%2007:50:00";
    let changed = ids(&lab.all(&format!("schools/{school}/students?{since}")).await);
    assert!(
        starters.iter().all(|s| changed.contains(&(*s).to_owned())),
        "their coming is a change"
    );
    let deleted = ids(&lab
        .all(&format!("schools/{school}/deletions?{since}"))
        .await);
    assert!(leavers.iter().all(|s| deleted.contains(&(*s).to_owned())));
}

/// A client that reads everything once and then follows changes.
struct Follower {
    pupils: BTreeMap<String, Value>,
}

const PULL: &str = "per_page=200&include=registration,house,education_details,contacts";

impl Follower {
    async fn new(lab: &Lab, school: &str) -> Self {
        let rows = lab.all(&format!("schools/{school}/students?{PULL}")).await;
        let pupils = rows
            .into_iter()
            .map(|r| (r["id"].as_str().unwrap().to_owned(), r))
            .collect();
        Self { pupils }
    }

    async fn follow(&mut self, lab: &Lab, school: &str, since: &str) {
        for gone in lab
            .all(&format!("schools/{school}/deletions?updated_after={since}"))
            .await
        {
            let id = gone["id"].as_str().unwrap();
            self.pupils.remove(id);
            for pupil in self.pupils.values_mut() {
                let contacts = pupil["contacts"]["data"].as_array_mut().unwrap();
                contacts.retain(|c| c["id"] != id);
            }
        }
        for row in lab
            .all(&format!(
                "schools/{school}/students?{PULL}&updated_after={since}"
            ))
            .await
        {
            self.pupils
                .insert(row["id"].as_str().unwrap().to_owned(), row);
        }
    }
}

#[tokio::test]
async fn following_changes_equals_a_full_pull() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let mut follower = Follower::new(&lab, &school).await;
    for day in 0..6 {
        let since = lab.sandbox.now().format("%Y-%m-%d%%20%H:%M:%S").to_string();
        lab.pass(40_000);
        let changes = lab.sandbox.a_day_of_changes(&school, day).unwrap();
        assert!(changes.len() >= 6, "{changes:?}");
        lab.pass(46_400);
        follower.follow(&lab, &school, &since).await;
        let fresh = Follower::new(&lab, &school).await;
        let (have, want): (Vec<_>, Vec<_>) = (
            follower.pupils.keys().collect(),
            fresh.pupils.keys().collect(),
        );
        assert_eq!(have, want, "on day {day}");
        for (id, pupil) in &fresh.pupils {
            let strip = |p: &Value| {
                let links = p["contacts"]["data"].as_array().unwrap();
                let links: Vec<_> = links
                    .iter()
                    .map(|c| (c["id"].clone(), c["relationship"].clone()))
                    .collect();
                (
                    p["surname"].clone(),
                    p["registration"].clone(),
                    p["house"].clone(),
                    links,
                )
            };
            assert_eq!(
                strip(&follower.pupils[id]),
                strip(pupil),
                "pupil {id} on day {day}"
            );
        }
    }
}

#[tokio::test]
async fn a_re_enrolled_pupil_has_a_new_id_and_the_same_upi() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let old = lab.sandbox.students(&school).unwrap()[0].clone();
    let student = old.id.clone();
    let id = lab
        .sandbox
        .change(&school, &Change::ReEnrol { student })
        .unwrap();
    assert_ne!(id, old.id);
    let rows = lab
        .all(&format!("schools/{school}/students?per_page=200"))
        .await;
    let same: Vec<&Value> = rows.iter().filter(|r| r["upi"] == old.upi).collect();
    assert_eq!(same.len(), 1);
    assert_eq!(same[0]["id"], id);
    assert_ne!(same[0]["mis_id"], old.mis_id);
    let deletions = lab.all(&format!("schools/{school}/deletions")).await;
    assert!(
        deletions
            .iter()
            .any(|d| d["id"] == old.id && d["type"] == "student")
    );
}

#[tokio::test]
async fn each_change_is_visible_in_its_list() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let pupil = lab.sandbox.students(&school).unwrap()[1].clone();
    let student = pupil.id.clone();
    let make = |change: Change| lab.sandbox.change(&school, &change).unwrap();
    let one = async || {
        let path = format!(
            "schools/{school}/students/{}?include=house,contacts",
            pupil.id
        );
        lab.get(&path).await
    };
    lab.pass(60);
    let groups = lab.all(&format!("schools/{school}/groups")).await;
    let group = groups
        .iter()
        .find(|g| g["type"] == "HOUSE" && g["code"] != pupil.house)
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    make(Change::Move {
        student: student.clone(),
        group: group.clone(),
    });
    let contact = pupil.contacts[0].contact_id.clone();
    make(Change::Relationship {
        student: student.clone(),
        contact: contact.clone(),
        lives_with: Some(false),
        parental_responsibility: None,
        priority: Some(9),
    });
    let row = one().await.json()["data"].clone();
    assert_eq!(row["house"]["data"]["id"], group);
    assert_eq!(row["updated_at"]["date"], "2026-11-23 07:51:00.000000");
    let relationship = &row["contacts"]["data"][0]["relationship"];
    assert_eq!(
        (&relationship["priority"], &relationship["lives_with_pupil"]),
        (&9.into(), &false.into())
    );

    make(Change::DeleteContact {
        contact: contact.clone(),
    });
    assert_eq!(
        lab.get(&format!("schools/{school}/contacts/{contact}"))
            .await
            .status,
        404
    );
    let left = one().await.json()["data"]["contacts"]["data"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(left, pupil.contacts.len() - 1);
    make(Change::RenameGroup {
        group: group.clone(),
        name: "Seacole".to_owned(),
    });
    assert_eq!(
        one().await.json()["data"]["house"]["data"]["name"],
        "Seacole"
    );
    make(Change::Remove {
        student: student.clone(),
    });
    assert_eq!(one().await.status, 404);
    make(Change::Restore { student });
    assert_eq!(one().await.status, 200);
    let deletions = lab.all(&format!("schools/{school}/deletions")).await;
    let own = deletions.iter().find(|d| d["id"] == pupil.id).unwrap();
    assert!(own["restored_at"]["date"].is_string());

    let joined = make(Change::Join {
        on: None,
        year: Some("9".to_owned()),
        forename: Some("Zed".to_owned()),
        surname: None,
        sibling_of: Some(pupil.id.clone()),
    });
    let behind = lab.sandbox.students(&school).unwrap();
    let new = behind.iter().find(|s| s.id == joined).unwrap();
    assert_eq!((new.forename.as_str(), new.year.as_str()), ("Zed", "9"));
    assert!(new.registration.starts_with('9'));
    assert_eq!(new.surname, pupil.surname);

    let hired = make(Change::Hire {
        teaching: true,
        forename: None,
        surname: Some("Neu".to_owned()),
    });
    make(Change::Dismiss {
        employee: hired.clone(),
        on: None,
    });
    let path = format!("schools/{school}/employees/{hired}?include=employment_details");
    let row = lab.get(&path).await.json();
    assert_eq!(row["data"]["employment_details"]["data"]["current"], false);
    let nobody = Change::Remove {
        student: "A1".to_owned(),
    };
    assert!(lab.sandbox.change(&school, &nobody).is_err());
}

#[tokio::test]
async fn every_mis_supports_days_of_changes() {
    let lab = Lab::of_every_mis().await;
    for school in lab.sandbox.schools() {
        for seed in 0..5 {
            lab.sandbox
                .a_day_of_changes(&school.id, seed)
                .unwrap_or_else(|e| panic!("{} on day {seed}: {e}", school.mis));
            lab.pass(60);
        }
        let since = "updated_after=2026-11-23%2007:50:00";
        let changed = lab
            .all(&format!("schools/{}/students?{since}", school.id))
            .await;
        assert!(changed.len() >= 5, "{}", school.mis);
    }
}
