//! Schools' people from the sandbox through the database to a client: syncs, groups, changes and crashes, on both
//! databases.
mod crash;
mod feed;
mod http;
mod records;
mod stage;
mod syncing;
