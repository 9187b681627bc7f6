//! A whole day against the sandbox.

use super::cases;

cases! {}
