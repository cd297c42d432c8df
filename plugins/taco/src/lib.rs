//! The TACO loader: reads the rows of `BAAI/TACO` from Parquet, Arrow and JSON lines.
//!
//! It runs nothing and repairs nothing: a row that cannot become a problem is handed back with its reason. Every solution
//! counts as Python 3, because the dataset does not tell; running them does.

mod columns;
mod limits;
mod python_list;
mod reader;
mod row;

use hilora_dataset_formats::columns::ColumnSpec;
use hilora_plugin_sdk::loader::{DatasetInfo, DatasetLoader, LoadError, SourceFile, no_options};

use columns::COLUMNS;

pub use reader::Reader;

/// The plugin.
pub struct Taco;

impl DatasetLoader for Taco {
    type Reader = Reader;

    fn describe() -> DatasetInfo {
        DatasetInfo {
            source: "taco".to_owned(),
            licence: "Apache-2.0; the problems and solutions belong to their authors".to_owned(),
            columns: COLUMNS.iter().map(ColumnSpec::describe).collect(),
        }
    }

    fn open(files: Vec<SourceFile>, options: &str) -> Result<Reader, LoadError> {
        no_options(options)?;
        Reader::open(files)
    }
}

hilora_plugin_sdk::export_loader!(Taco);
hilora_plugin_sdk::manifest!("plugin.toml");

#[cfg(test)]
mod tests;
