//! hilora-host trains, proves and serves LoRA domain specialists.
//!
//! The modules stand in reading order: first the nouns every part shares, then the plugin boundary, then the data
//! path, then the model and its trainer, then what measures and keeps the result. `ARCHITECTURE.md` holds the map
//! and the table of who may import whom; a test holds that table against this code.

pub mod dataset;

pub mod artifact;

pub mod plugin;

pub mod wasm;

pub mod judge;

pub mod workers;

pub mod pipeline;

pub mod traces;

pub mod inspection;

pub mod hub;

pub mod kernels;

pub mod model;

pub mod metrics;

pub mod page;

pub mod trainer;

pub mod evaluator;

pub mod registry;

pub mod config;

pub mod cli;
