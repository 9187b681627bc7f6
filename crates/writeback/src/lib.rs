//! The rules that turn a sign-in or sign-out into a mark.
