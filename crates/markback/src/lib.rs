//! Writes attendance from a sign-in system back into the school's MIS.
