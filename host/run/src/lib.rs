//! A run: one configuration, one folder, and the stages that fill it.

pub mod config;

pub mod metrics;
