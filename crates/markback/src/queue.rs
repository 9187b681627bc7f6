//! The names of the queues, in which all work waits.

/// Events to be decided, in line for each person.
pub const DECIDE: &str = "decide";
/// Marks to be sent, in line for each pupil.
pub const SEND: &str = "send";
/// Registers that Wonde took, to be followed.
pub const CONFIRM: &str = "confirm";
/// Syncs of people and groups, in line for each school.
pub const ROSTER: &str = "roster";

/// All of them, the first three in the order of an event's way.
pub const ALL: [&str; 4] = [DECIDE, SEND, CONFIRM, ROSTER];
