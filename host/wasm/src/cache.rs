//! The cache of compiled code: machine code of components, so that an interpreter is compiled once per machine.
//!
//! An entry is named by the component's hash and by everything the code depends on (wasmtime's version, the engine's
//! settings, the processor's features, the source of metering). It is two files: the code, which is mapped, so that
//! start-up copies nothing and only what runs takes memory, and the code's hash. An entry that does not match is compiled
//! anew; the cache never turns into an error, and never into a way to run foreign code.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::metering::{METERING_SOURCE, metered};
use hilora_contract::artifact::{ContentHash, remove_partial_files, write_atomic};

/// A folder of compiled components that only this user can write.
pub(super) struct CompiledCodeCache {
    folder: Option<PathBuf>,
    engine_key: String,
}

impl CompiledCodeCache {
    /// Opens the folder, making it where it is missing. Without a private folder everything is compiled anew.
    pub(super) fn open(folder: &Path, engine: &Engine) -> Self {
        let folder = match private_folder(folder).and_then(|()| remove_partial_files(folder)) {
            Ok(()) => Some(folder.to_owned()),
            Err(error) => {
                tracing::warn!("compiled plugins are not kept: {}: {error}", folder.display());
                None
            }
        };
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        METERING_SOURCE.hash(&mut hasher);
        Self { folder, engine_key: format!("{:016x}", hasher.finish()) }
    }

    /// The component, from the cache, or metered, compiled and then kept.
    pub(super) fn component(&self, engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
        let content = ContentHash::of(bytes);
        let entry = self.folder.as_ref().map(|folder| Entry::named(folder, &format!("{content}-{}", self.engine_key)));
        if let Some(component) = entry.as_ref().and_then(|entry| entry.load(engine)) {
            return Ok(component);
        }
        tracing::info!("compiling the plugin {} ({} bytes)", content.short(), bytes.len());
        let component = Component::from_binary(engine, &metered(bytes)?)?;
        if let Some(entry) = entry
            && let Err(error) = entry.keep(&component.serialize()?)
        {
            tracing::warn!("a compiled plugin is not kept: {}: {error}", entry.code.display());
        }
        Ok(component)
    }
}

/// Makes sure that the folder is there, is ours and is closed to everybody else.
fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::other("expected a folder of this user"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        // What others may have written there before is not to be trusted.
        return Err(io::Error::other("expected a folder that only its owner can enter (mode 0700)"));
    }
    Ok(())
}

/// The two files of one component's code.
struct Entry {
    code: PathBuf,
    hash: PathBuf,
}

impl Entry {
    fn named(folder: &Path, name: &str) -> Self {
        Self { code: folder.join(format!("{name}.cwasm")), hash: folder.join(format!("{name}.sha256")) }
    }

    /// Writes both; the hash last, so that it never stands beside code that is not whole.
    fn keep(&self, code: &[u8]) -> io::Result<()> {
        write_atomic(&self.code, code)?;
        Ok(write_atomic(&self.hash, ContentHash::of(code).to_string().as_bytes())?)
    }

    /// The component, where the entry is whole and made by this engine.
    fn load(&self, engine: &Engine) -> Option<Component> {
        let hash: ContentHash = fs::read_to_string(&self.hash).ok()?.parse().ok()?;
        if ContentHash::of_file(&self.code).ok()? != hash {
            tracing::warn!("a damaged entry of the compiled-code cache is compiled anew: {}", self.code.display());
            return None;
        }
        // SAFETY: `deserialize_file` runs whatever machine code the file holds, now and as long as it is mapped, so the
        // file must be what `serialize` wrote and stay so. It equals the hash that stands beside it, so it is not
        // damaged. It is in a folder that `private_folder` found to belong to this user and to be closed to all
        // others, so only a process with this user's own rights can have written the two files or can change them
        // later, and that process could as well replace this binary, which is mapped in the same way. Our own
        // processes never change a file in place: `write_atomic` puts a new one under the name. wasmtime itself
        // refuses code of another version or of other settings.
        match unsafe { Component::deserialize_file(engine, &self.code) } {
            Ok(component) => Some(component),
            Err(error) => {
                let entry = self.code.display();
                tracing::warn!("an entry of the compiled-code cache is compiled anew: {entry}: {error:#}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_damaged_entry_is_compiled_anew() -> wasmtime::Result<()> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path().join("private");
        let engine = Engine::default();
        let cache = CompiledCodeCache::open(&folder, &engine);
        let content = ContentHash::of(EMPTY_COMPONENT);
        cache.component(&engine, EMPTY_COMPONENT)?;
        let entry = Entry::named(&folder, &format!("{content}-{}", cache.engine_key));
        assert!(entry.load(&engine).is_some());

        let whole = fs::read(&entry.code)?;
        let mut damaged = whole.clone();
        *damaged.last_mut().expect("an entry is not empty") ^= 1;
        for wrong in [&damaged[..], &whole[..whole.len() - 1], &whole[..10], b""] {
            write_atomic(&entry.code, wrong)?;
            assert!(entry.load(&engine).is_none());
            cache.component(&engine, EMPTY_COMPONENT)?;
            assert_eq!(fs::read(&entry.code)?.len(), whole.len());
        }
        fs::write(&entry.hash, b"no hash")?;
        assert!(entry.load(&engine).is_none());

        // A well-formed entry of something that is no compiled code at all.
        entry.keep(b"code")?;
        assert!(entry.load(&engine).is_none());
        Ok(())
    }

    #[test]
    fn a_folder_open_to_others_is_not_used() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
        let engine = Engine::default();
        assert!(CompiledCodeCache::open(folder.path(), &engine).folder.is_none());
        Ok(())
    }
}
