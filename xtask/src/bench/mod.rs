//! `cargo xtask bench`: how fast the product is, measured on data that the task makes itself.

pub(crate) mod generate;
pub(crate) mod judge;
pub(crate) mod prepare;
pub(crate) mod train;

mod measure;
mod processor;
