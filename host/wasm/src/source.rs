//! A source file: what a dataset loader sees of a file that the user named. The host opened it; the loader can read
//! at any place and do nothing else with it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use wasmtime::component::Resource;

use super::bindings::dataset_loader::hilora::plugin::{source, types};
use super::guest::GuestState;
use hilora_contract::plugin::{PluginError, PluginIdentity};

/// One opened file.
#[allow(unreachable_pub, reason = "the generated bindings re-export it within their fence")]
#[derive(Debug)]
pub struct SourceFile {
    name: String,
    size: u64,
    file: File,
}

impl SourceFile {
    /// Opens a file that the user named.
    pub(super) fn open(plugin: &PluginIdentity, path: &Path) -> Result<Self, PluginError> {
        let refuse =
            |error: io::Error| PluginError::SourceFile { plugin: plugin.clone(), path: PathBuf::from(path), error };
        let file = File::open(path).map_err(refuse)?;
        let metadata = file.metadata().map_err(refuse)?;
        if !metadata.is_file() {
            return Err(refuse(io::Error::other("expected a file, got a folder or a device")));
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, size: metadata.len(), file })
    }

    fn read_at(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        let length = u64::from(length).min(self.size.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

impl types::Host for GuestState {}

impl source::Host for GuestState {}

impl source::HostFile for GuestState {
    fn name(&mut self, file: Resource<SourceFile>) -> wasmtime::Result<String> {
        Ok(self.table.get(&file)?.name.clone())
    }

    fn size(&mut self, file: Resource<SourceFile>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&file)?.size)
    }

    fn read_at(
        &mut self,
        file: Resource<SourceFile>,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        if u64::from(length) > self.limiter.bytes_max() {
            return Ok(Err(format!("{length} bytes at once are more than the plugin's memory limit")));
        }
        Ok(self.table.get(&file)?.read_at(offset, length).map_err(|error| error.to_string()))
    }

    fn drop(&mut self, file: Resource<SourceFile>) -> wasmtime::Result<()> {
        self.table.delete(file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fewer_bytes_only_at_the_end() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, b"0123456789")?;
        let file = SourceFile { name: "rows.jsonl".to_owned(), size: 10, file: File::open(&path)? };
        assert_eq!(file.read_at(0, 4)?, b"0123");
        assert_eq!(file.read_at(8, 4)?, b"89");
        assert_eq!(file.read_at(10, 4)?, b"");
        assert_eq!(file.read_at(u64::MAX, 4)?, b"");
        Ok(())
    }
}
