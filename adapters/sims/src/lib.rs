//! SIMS: session marks.
