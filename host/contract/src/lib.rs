//! The contract: what every part of the host and every plugin's adapter agrees on. `fault` says whose an error is,
//! `terminal` what a person is shown of foreign text, `dataset` holds the nouns of the data path, `artifact` the files a
//! run leaves, `plugin` the traits behind which components stand.
//!
//! It knows no WebAssembly, no tensor, no network and no database.

pub mod fault;

pub mod terminal;

pub mod dataset;

pub mod artifact;

pub mod plugin;
