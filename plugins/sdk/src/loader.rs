//! A dataset loader: turns the files of one dataset format into problems. It reads what the host opened and writes
//! nothing.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::bindings::dataset_loader::exports::hilora::plugin::loader as world;
use crate::bindings::dataset_loader::hilora::plugin::source::File;

pub use crate::source_file::SourceFile;
pub use world::{Batch, Column, ColumnMismatch, DatasetInfo, LoadError, MalformedFile};

/// A loader. The host makes a fresh instance of the component for every run.
pub trait DatasetLoader: 'static {
    /// What reads the opened files.
    type Reader: DatasetReader;

    /// States what the loader reads. Pure.
    fn describe() -> DatasetInfo;

    /// Checks the files' headers and makes a reader over all of them, in the order given.
    fn open(files: Vec<SourceFile>) -> Result<Self::Reader, LoadError>;
}

/// Reads the opened files once, from the first row to the last, keeping no more than a few rows in memory.
pub trait DatasetReader: 'static {
    /// The next rows, at most `rows_max`; `None` at the end. Problems and skipped rows together are exactly the rows
    /// consumed.
    fn next_batch(&mut self, rows_max: u32) -> Result<Option<Batch>, LoadError>;

    /// How many rows the files hold in all, where the format tells it before reading.
    fn rows_total(&self) -> Option<u64>;
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

    fn open(files: Vec<File>) -> Result<world::Reader, LoadError> {
        let reader = L::open(files.into_iter().map(SourceFile::from_host).collect())?;
        Ok(world::Reader::new(ExportedReader(RefCell::new(reader))))
    }
}

impl<R: DatasetReader> world::GuestReader for ExportedReader<R> {
    fn next_batch(&self, rows_max: u32) -> Result<Option<Batch>, LoadError> {
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
