//! The cache of compiled code: machine code of components, so that an interpreter is compiled once per machine.
//!
//! An entry is named by the component's hash and by everything the code depends on (wasmtime's version, the engine's
//! settings, the processor's features). It begins with the hash of the code that follows. An entry that does not
//! match is compiled anew; the cache never turns into an error, and never into a way to run foreign code.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::artifact::{ContentHash, write_atomic};

/// Hexadecimal digits of the hash at an entry's beginning.
const HASH_DIGITS: usize = 64;

/// A folder of compiled components that only this user can write.
pub(super) struct CompiledCodeCache {
    folder: Option<PathBuf>,
    engine_key: String,
}

impl CompiledCodeCache {
    /// Opens the folder, making it where it is missing. Without a private folder everything is compiled anew.
    pub(super) fn open(folder: &Path, engine: &Engine) -> Self {
        let folder = match private_folder(folder) {
            Ok(()) => Some(folder.to_owned()),
            Err(error) => {
                tracing::warn!("compiled plugins are not kept: {}: {error}", folder.display());
                None
            }
        };
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder, engine_key: format!("{:016x}", hasher.finish()) }
    }

    /// The component, from the cache or compiled and then kept.
    pub(super) fn component(&self, engine: &Engine, content: ContentHash, bytes: &[u8]) -> wasmtime::Result<Component> {
        let entry = self.folder.as_ref().map(|folder| folder.join(format!("{content}-{}.cwasm", self.engine_key)));
        if let Some(component) = entry.as_deref().and_then(|entry| load(engine, entry)) {
            return Ok(component);
        }
        tracing::info!("compiling the plugin {} ({} bytes)", content.short(), bytes.len());
        let component = Component::from_binary(engine, bytes)?;
        if let Some(entry) = entry {
            let code = component.serialize()?;
            let mut kept = ContentHash::of(&code).to_string().into_bytes();
            kept.extend_from_slice(&code);
            if let Err(error) = write_atomic(&entry, &kept) {
                tracing::warn!("a compiled plugin is not kept: {}: {error}", entry.display());
            }
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

/// The entry's component, where the entry is whole and made by this engine.
fn load(engine: &Engine, entry: &Path) -> Option<Component> {
    let kept = fs::read(entry).ok()?;
    let (hash, code) = kept.split_at_checked(HASH_DIGITS)?;
    if hash != ContentHash::of(code).to_string().as_bytes() {
        tracing::warn!("a damaged entry of the compiled-code cache is compiled anew: {}", entry.display());
        return None;
    }
    // SAFETY: `deserialize` runs whatever machine code it is given, so the bytes must be what `serialize` wrote.
    // They were read into memory before they were checked, so they cannot change under the check. They equal the hash
    // that stands before them, so they are not damaged; and they come from a folder that `private_folder` found to
    // belong to this user and to be closed to all others, so only a process with this user's own rights can have
    // written both code and hash, and that process could as well replace this binary. wasmtime itself refuses code of
    // another version or of other settings.
    match unsafe { Component::deserialize(engine, code) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!("an entry of the compiled-code cache is compiled anew: {}: {error:#}", entry.display());
            None
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
        cache.component(&engine, content, EMPTY_COMPONENT)?;
        let entry = fs::read_dir(&folder)?.next().expect("the entry was written")?.path();
        assert!(load(&engine, &entry).is_some());

        let whole = fs::read(&entry)?;
        let mut damaged = whole.clone();
        *damaged.last_mut().expect("an entry is not empty") ^= 1;
        for wrong in [&damaged[..], &whole[..whole.len() - 1], &whole[..10], b""] {
            fs::write(&entry, wrong)?;
            assert!(load(&engine, &entry).is_none());
            cache.component(&engine, content, EMPTY_COMPONENT)?;
            assert_eq!(fs::read(&entry)?.len(), whole.len());
        }

        // A well-formed entry of something that is no compiled code at all.
        fs::write(&entry, [ContentHash::of(b"code").to_string().as_bytes(), b"code"].concat())?;
        assert!(load(&engine, &entry).is_none());
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
