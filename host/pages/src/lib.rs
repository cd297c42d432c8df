//! Pages: what a person looks at. `page` is the frame of every HTML file that the host writes, `chart` draws figures,
//! `inspection` shows prepared rows and their lengths.
//!
//! It is handed plain values; it reads no file and knows no model.

pub mod page;

pub mod chart;

pub mod inspection;
