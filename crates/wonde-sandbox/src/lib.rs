//! A stateful stand-in for the Wonde API, for tests and demos.
