//! Which tables hold data about people.

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holds {
    /// Data about people, which an export has.
    People,
    /// None about the people of a school, for this reason.
    Nobody(&'static str),
}

use Holds::{Nobody, People};

/// All tables of the database.
pub const TABLES: &[(&str, Holds)] = &[
    ("markback_events", People),
    ("markback_audit", People),
    ("markback_snapshots", People),
    ("markback_ledger", People),
    ("markback_register", People),
    ("markback_feed", People),
    ("markback_feed_deliveries", People),
    ("markback_feed_attempts", People),
    ("markback_audit_log_entries", People),
    ("markback_roster_directory", People),
    ("markback_roster_records", People),
    ("markback_roster_keys", People),
    ("markback_roster_members", People),
    ("markback_roster_former", People),
    ("markback_roster_changes", People),
    ("markback_roster_syncs", People),
    ("markback_roster_pulls", People),
    ("outbox_jobs", People),
    (
        "markback_erasure_events",
        Nobody("ids of events whose person is erased"),
    ),
    (
        "markback_erasure_log",
        Nobody("that somebody was erased, by a hash; it proves the erasure"),
    ),
    (
        "markback_snapshot_parts",
        Nobody("settings of groups and codes of MISs that decisions share"),
    ),
    (
        "markback_writebacks",
        Nobody("ids of registers that were sent"),
    ),
    ("markback_notices", Nobody("about schools")),
    ("markback_budget", Nobody("rates of tokens")),
    ("markback_nodes", Nobody("processes")),
    (
        "markback_operator_pauses",
        Nobody("schools and tokens that rest"),
    ),
    ("markback_limits", Nobody("what MISs refuse")),
    (
        "markback_register_readings",
        Nobody("how far registers are read"),
    ),
    ("markback_audit_log_horizon", Nobody("a time")),
    ("markback_calendar_feeds", Nobody("closures of schools")),
    ("markback_calendar_mis", Nobody("closures of schools")),
    ("markback_feed_head", Nobody("a number")),
    (
        "markback_feed_paused",
        Nobody("schools and tokens that rest"),
    ),
    ("markback_feed_endpoints", Nobody("addresses of hosts")),
    ("markback_keys_issued", Nobody("keys of programs")),
    ("markback_keys_generation", Nobody("a number")),
    (
        "markback_roster_schools",
        Nobody("how a school's people were read"),
    ),
    (
        "markback_roster_pauses",
        Nobody("schools that are not read"),
    ),
    ("markback_settings_versions", Nobody("settings")),
    ("markback_settings_active", Nobody("numbers of versions")),
    (
        "markback_settings_activations",
        Nobody("numbers of versions"),
    ),
    ("markback_settings_generation", Nobody("a number")),
    (
        "markback_settings_scheduled",
        Nobody("versions of settings that rule from a date"),
    ),
    ("markback_settings_tokens", Nobody("sealed tokens")),
    (
        "markback_settings_token_log",
        Nobody("what became of tokens"),
    ),
    ("markback_settings_files", Nobody("settings")),
    ("markback_usage_requests", Nobody("numbers of requests")),
    (
        "markback_users_accounts",
        Nobody("users of the pages, by the names that `markback users` manages"),
    ),
    ("markback_users_sessions", Nobody("users of the pages")),
    ("markback_users_browsers", Nobody("users of the pages")),
    ("outbox_numbers", Nobody("a number")),
    ("outbox_pauses", Nobody("schools and tokens that rest")),
];
