//! Intervals against independent computations, and what they cover.
