//! To be written in this slice.
