//! A typed client for the Wonde API.
