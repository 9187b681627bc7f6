//! The words of attendance, and what an adapter for a school MIS must do.
