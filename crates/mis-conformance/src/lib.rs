//! One conformance suite for every MIS adapter.
