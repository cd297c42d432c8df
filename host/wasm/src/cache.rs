//! The cache of compiled code: machine code of components, so that an interpreter is compiled once per machine.
//!
//! An entry is named by the component's hash and by everything the code depends on (wasmtime's version, the engine's
//! settings, the processor's features, the source of metering). It is two files: the code and the code's hash. The code is
//! read once, into a sealed file in memory; that one is held against the hash and mapped, by this process and by its
//! workers, so that nothing that happens to the entry meanwhile reaches what runs. An entry that does not match is
//! compiled anew; the cache never turns into an error, and never into a way to run foreign code.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::metering::{METERING_SOURCE, metered};
use super::sealed_file::SealedFile;
use hilora_contract::artifact::{ContentHash, remove_partial_files, write_atomic};

/// A component that is compiled.
#[derive(Clone)]
pub(super) struct CompiledComponent {
    pub(super) component: Component,
    /// The file that its code is mapped from; none if it was compiled by this process.
    code: Option<SealedFile>,
}

impl CompiledComponent {
    /// Its code, for other processes. An error is the machine's.
    pub(super) fn code(&self) -> io::Result<SealedFile> {
        match &self.code {
            Some(code) => Ok(code.clone()),
            None => SealedFile::of_bytes(CODE, &self.component.serialize().map_err(io::Error::other)?),
        }
    }
}

/// A folder of compiled components that only this user can write.
pub(super) struct CompiledCodeCache {
    folder: Option<PathBuf>,
    engine_key: String,
}

impl CompiledCodeCache {
    /// Opens the folder, making it where it is missing. Without a private folder everything is compiled anew.
    pub(super) fn open(folder: &Path, engine: &Engine) -> Self {
        let private = private_folder(folder).and_then(|folder| remove_partial_files(&folder).map(|()| folder));
        let folder = match private {
            Ok(folder) => Some(folder),
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
    pub(super) fn component(&self, engine: &Engine, bytes: &[u8]) -> wasmtime::Result<CompiledComponent> {
        let content = ContentHash::of(bytes);
        let entry = self.folder.as_ref().map(|folder| Entry::named(folder, &format!("{content}-{}", self.engine_key)));
        if let Some(component) = entry.as_ref().and_then(|entry| entry.load(engine)) {
            return Ok(component);
        }
        tracing::info!("compiling the plugin {} ({} bytes)", content.short(), bytes.len());
        let component = Component::from_binary(engine, &metered(bytes)?)?;
        if let Some(entry) = entry
            && let Err(error) = component.serialize().map_err(io::Error::other).and_then(|code| entry.keep(&code))
        {
            tracing::warn!("a compiled plugin is not kept: {}: {error}", entry.code.display());
        }
        Ok(CompiledComponent { component, code: None })
    }
}

/// What `/proc` calls compiled code.
const CODE: &str = "hilora-compiled-code";

/// The component whose code another process of this program compiled and handed over.
pub(super) fn inherited_component(engine: &Engine, code: &SealedFile) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize_file` runs whatever machine code the file holds, now and as long as it is mapped, so the file
    // must be what `serialize` wrote and stay so. It is sealed, so it stays. It came under a descriptor from the process
    // that started this one, which made it (see `Entry::load`); whoever starts this program with a descriptor of his own
    // has this user's rights already, and could as well start another program. wasmtime itself refuses code of another
    // version or of other settings.
    unsafe { Component::deserialize_file(engine, code.path()) }
}

/// Makes sure that the folder is there, is ours and is closed to everybody else; gives the path that was checked, without
/// links that others might turn.
fn private_folder(folder: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let folder = fs::canonicalize(folder)?;
    let metadata = fs::symlink_metadata(&folder)?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::other("expected a folder of this user"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        // What others may have written there before is not to be trusted.
        return Err(io::Error::other("expected a folder that only its owner can enter (mode 0700)"));
    }
    // Whoever may write to a folder above can put another one in this one's place.
    for above in folder.ancestors().skip(1) {
        let metadata = fs::symlink_metadata(above)?;
        let mode = metadata.permissions().mode();
        let is_sticky = mode & 0o1000 != 0;
        let is_of_others = metadata.uid() != geteuid().as_raw() && metadata.uid() != 0;
        if is_of_others || (mode & 0o022 != 0 && !is_sticky) {
            let message = format!("expected no folder above it that others may write to, got {}", above.display());
            return Err(io::Error::other(message));
        }
    }
    Ok(folder)
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
    fn load(&self, engine: &Engine) -> Option<CompiledComponent> {
        let hash: ContentHash = fs::read_to_string(&self.hash).ok()?.parse().ok()?;
        let copied = |copy: &mut File| io::copy(&mut File::open(&self.code)?, copy).map(drop);
        let code = SealedFile::of(CODE, copied).ok()?;
        if ContentHash::of_file(&code.path()).ok()? != hash {
            tracing::warn!("a damaged entry of the compiled-code cache is compiled anew: {}", self.code.display());
            return None;
        }
        // SAFETY: `deserialize_file` runs whatever machine code the file holds, now and as long as it is mapped, so the
        // file must be what `serialize` wrote and stay so. It is a sealed copy, so it stays. The copy equals the hash that
        // stood beside the entry, so it is not damaged. The entry is in a folder that `private_folder` found to belong to
        // this user and to be closed to all others, under folders that nobody else can rename, so only a process with this
        // user's own rights can have written the two files, and that process could as well replace this binary. wasmtime
        // itself refuses code of another version or of other settings.
        match unsafe { Component::deserialize_file(engine, code.path()) } {
            Ok(component) => Some(CompiledComponent { component, code: Some(code) }),
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
        let below = folder.path().join("below");
        assert!(CompiledCodeCache::open(&below, &engine).folder.is_none(), "others may put another in its place");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777))?;
        assert!(CompiledCodeCache::open(&below, &engine).folder.is_some(), "as in a system's temporary folder");
        // A link that others could turn leads to a private folder: what is used is what was checked.
        let private = tempfile::tempdir()?;
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(private.path(), &link)?;
        let used = CompiledCodeCache::open(&link.join("cache"), &engine).folder;
        assert_eq!(used, Some(fs::canonicalize(private.path())?.join("cache")));
        Ok(())
    }
}
