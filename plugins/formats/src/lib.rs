//! The file formats and field layouts that several dataset loaders share.
//!
//! Every reader here streams: what it holds in memory does not grow with the file. A bad row is a [`skip::Skip`] that
//! costs that row only; a file that cannot be read on is a `LoadError`. Nothing here knows one dataset's columns.

pub mod skip;

pub mod identifier;

pub mod json;

pub mod records;

pub mod input_output;

pub mod function_calls;

pub mod asserts;

pub mod columns;

pub mod cell;

pub mod rows;

pub mod parquet;

pub mod arrow;

pub mod batch;

mod watched;
