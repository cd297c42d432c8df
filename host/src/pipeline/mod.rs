//! The data path: from the files of a dataset to what one specialist learns from and is measured on.

mod config;

pub use config::{DataConfig, DataFiles};
