//! A dataset loader: turns the files of one dataset format into problems. It reads what the host opened and writes
//! nothing.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::bindings::dataset_loader::exports::hilora::plugin::loader as world;
use crate::bindings::dataset_loader::hilora::plugin::source::File;

pub use crate::source_file::SourceFile;
pub use world::{Column, ColumnMismatch, DatasetInfo, LoadError, LoadedRow, MalformedFile};

/// A loader. The host makes a fresh instance of the component for every run.
pub trait DatasetLoader: 'static {
    /// What reads the opened files.
    type Reader: DatasetReader;

    /// States what the loader reads. Pure.
    fn describe() -> DatasetInfo;

    /// Checks the files' headers and makes a reader over all of them, in the order given. `options` is the config's
    /// `data.options` as one JSON object; a key that the loader does not know must be refused ([`options`] reads them
    /// into a struct, [`no_options`] refuses all).
    fn open(files: Vec<SourceFile>, options: &str) -> Result<Self::Reader, LoadError>;
}

/// Reads the opened files once, from the first row to the last, keeping no more than a few rows in memory.
pub trait DatasetReader: 'static {
    /// The next rows in file order, one answer for each row consumed; empty at the end and only there. At most
    /// `rows_max`, and fewer where the rows are large, so that memory stays flat.
    fn next_batch(&mut self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError>;

    /// How many rows the files hold in all, where the format tells it before reading.
    fn rows_total(&self) -> Option<u64>;
}

/// The options as a struct of one's own; see [`crate::options()`].
pub fn options<T: serde::de::DeserializeOwned>(options: &str) -> Result<T, LoadError> {
    crate::options(options).map_err(LoadError::Options)
}

/// For a loader that has no options: refuses whatever stands in `options`.
pub fn no_options(options: &str) -> Result<(), LoadError> {
    crate::no_options(options).map_err(LoadError::Options)
}

/// Binds a [`DatasetLoader`] to the generated world.
#[doc(hidden)]
pub struct Exported<L>(PhantomData<L>);

/// Binds a [`DatasetReader`]: a resource's methods take `&self`, a reader changes.
#[doc(hidden)]
pub struct ExportedReader<R>(RefCell<R>);

impl<L: DatasetLoader> world::Guest for Exported<L> {
    type Reader = ExportedReader<L::Reader>;

    fn describe() -> DatasetInfo {
        L::describe()
    }

    fn open(files: Vec<File>, options: String) -> Result<world::Reader, LoadError> {
        let reader = L::open(files.into_iter().map(SourceFile::from_host).collect(), &options)?;
        Ok(world::Reader::new(ExportedReader(RefCell::new(reader))))
    }
}

impl<R: DatasetReader> world::GuestReader for ExportedReader<R> {
    fn next_batch(&self, rows_max: u32) -> Result<Vec<LoadedRow>, LoadError> {
        self.0.borrow_mut().next_batch(rows_max)
    }

    fn rows_total(&self) -> Option<u64> {
        self.0.borrow().rows_total()
    }
}

/// Exports a [`DatasetLoader`] from the component; nothing on a native target.
#[macro_export]
macro_rules! export_loader {
    ($loader:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::loader::Exported<$loader>;
            $crate::bindings::dataset_loader::export_dataset_loader_world!(
                Exported with_types_in $crate::bindings::dataset_loader
            );
        };
    };
}
