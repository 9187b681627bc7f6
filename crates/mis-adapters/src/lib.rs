//! Every MIS adapter, registered.
