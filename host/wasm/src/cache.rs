//! The cache of compiled code: machine code of components, so that an interpreter is compiled once per machine.
//!
//! An entry is named by the component's hash and by everything the code depends on (wasmtime's version, the engine's
//! settings, the processor's features, the source of metering). It is two files: the code and the code's hash. The code is
//! read once, into a sealed file in memory; that one is held against the hash and mapped, by this process and by its
//! workers, so that nothing that happens to the entry meanwhile reaches what runs. An entry that does not match is
//! compiled anew; the cache never turns into an error, and never into a way to run foreign code.
//!
//! Whoever keeps an entry removes what nobody has used for long, and what was used last where all would take too much room.
//! Other processes may do the same at any moment: one that finds half an entry finds none.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::geteuid;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::compiler::{CompileError, CompileLimits, compile};
use super::metering::METERING_SOURCE;
use super::sealed_file::SealedFile;
use hilora_contract::artifact::{ContentHash, remove_partial_files, write_atomic};

/// What all entries may take: the code of a hundred plugins, or of thirty interpreters.
const BYTES_MAX: u64 = 2 << 30;
/// How long an entry is kept that nobody uses.
const UNUSED_AT_MOST: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// A half of an entry may be one that is just being written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(60 * 60);

/// A component that is compiled.
#[derive(Clone)]
pub(super) struct CompiledComponent {
    pub(super) component: Component,
    /// The file that its code is mapped from, for other processes.
    pub(super) code: SealedFile,
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

    /// The component of this plugin, from the cache, or metered, compiled and then kept.
    pub(super) fn component(
        &self,
        engine: &Engine,
        plugin: &str,
        bytes: &[u8],
        limits: CompileLimits,
    ) -> Result<CompiledComponent, CompileError> {
        let content = ContentHash::of(bytes);
        let entry = self.folder.as_ref().map(|folder| Entry::named(folder, &format!("{content}-{}", self.engine_key)));
        if let Some(component) = entry.as_ref().and_then(|entry| entry.load(engine)) {
            return Ok(component);
        }
        tracing::info!("compiling the plugin {plugin}, {} ({} bytes)", content.short(), bytes.len());
        let code = compile(engine, plugin, bytes, limits)?;
        let component = inherited_component(engine, &code)?;
        if let (Some(entry), Some(folder)) = (entry, &self.folder) {
            if let Err(error) = code.read().and_then(|code| entry.keep(&code)) {
                tracing::warn!("a compiled plugin is not kept: {}: {error}", entry.code.display());
            }
            if let Err(error) = trim(folder, BYTES_MAX, SystemTime::now()) {
                tracing::warn!("the compiled-code cache is not trimmed: {}: {error}", folder.display());
            }
        }
        Ok(CompiledComponent { component, code })
    }
}

/// What `/proc` calls compiled code.
const CODE: &str = "hilora-compiled-code";

/// The component whose code another process of this program compiled and handed over, or this one compiled.
pub(super) fn inherited_component(engine: &Engine, code: &SealedFile) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize_file` runs whatever machine code the file holds, now and as long as it is mapped, so the file
    // must be what wasmtime's compiler wrote and stay so. It is sealed, so it stays. It came under a descriptor from the
    // process that started this one, which made it (see `Entry::load`), or from one that this process started, which is
    // this very program and wrote what it compiled to a file that nobody else has (see `compiler`); whoever starts this
    // program with a descriptor of his own has this user's rights already, and could as well start another program.
    // wasmtime itself refuses code of another version or of other settings.
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

    /// Removes both; the hash first, without which the code is nothing.
    fn remove(&self) -> io::Result<()> {
        for path in [&self.hash, &self.code] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes both; the hash last, so that it never stands beside code that is not whole.
    fn keep(&self, code: &[u8]) -> io::Result<()> {
        write_atomic(&self.code, code)?;
        Ok(write_atomic(&self.hash, ContentHash::of(code).to_string().as_bytes())?)
    }

    /// Notes that it was used now. Where that fails, it is forgotten sooner.
    fn was_used(&self) {
        drop(File::options().write(true).open(&self.hash).and_then(|hash| hash.set_modified(SystemTime::now())));
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
            Ok(component) => {
                self.was_used();
                Some(CompiledComponent { component, code })
            }
            Err(error) => {
                let entry = self.code.display();
                tracing::warn!("an entry of the compiled-code cache is compiled anew: {entry}: {error:#}");
                None
            }
        }
    }
}

/// Removes entries until those that are left were used lately and have at most `bytes_max`; the last one that was used
/// stays in any case. What another process removes at the same time is gone all the same.
fn trim(folder: &Path, bytes_max: u64, now: SystemTime) -> io::Result<()> {
    let unused_for = |time: SystemTime| now.duration_since(time).unwrap_or_default();
    let mut entries = Vec::new();
    for file in fs::read_dir(folder)? {
        let code = file?.path();
        if code.extension().is_none_or(|extension| extension != "cwasm") {
            continue;
        }
        let entry = Entry { hash: code.with_extension("sha256"), code };
        let Ok(metadata) = entry.code.metadata() else { continue };
        match entry.hash.metadata().and_then(|hash| hash.modified()) {
            Ok(used) => entries.push((used, metadata.len(), entry)),
            Err(_) if unused_for(metadata.modified()?) > WRITTEN_WITHIN => entry.remove()?,
            Err(_) => {}
        }
    }
    entries.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
    let mut bytes = 0_u64;
    for (place, (used, size, entry)) in entries.iter().enumerate() {
        bytes = bytes.saturating_add(*size);
        if place > 0 && (bytes > bytes_max || unused_for(*used) > UNUSED_AT_MOST) {
            entry.remove()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    /// Compiles it, or takes it from the cache.
    fn component(cache: &CompiledCodeCache, engine: &Engine) -> wasmtime::Result<CompiledComponent> {
        let compiled = cache.component(engine, "empty", EMPTY_COMPONENT, CompileLimits::default());
        compiled.map_err(|error| wasmtime::Error::msg(format!("{error:?}")))
    }

    #[test]
    fn what_is_old_or_too_much_is_removed_and_the_last_stays() -> io::Result<()> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let folder = tempfile::tempdir()?;
        let now = SystemTime::now();
        let made = |name: &str, days: u32, bytes: usize| {
            let entry = Entry::named(folder.path(), name);
            entry.keep(&vec![0; bytes])?;
            File::options().write(true).open(&entry.hash)?.set_modified(now - DAY * days)
        };
        let left = || -> io::Result<Vec<String>> {
            let names = fs::read_dir(folder.path())?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
            let mut names: Vec<String> = names.collect::<io::Result<_>>()?;
            names.sort();
            Ok(names)
        };
        made("old", 91, 1)?;
        made("first", 3, 400)?;
        made("second", 2, 400)?;
        made("third", 1, 400)?;
        fs::write(folder.path().join("half.cwasm"), b"code without a hash, which is just being written")?;
        fs::write(folder.path().join("other.txt"), b"nobody's")?;
        trim(folder.path(), 1_000, now)?;
        assert_eq!(
            left()?,
            ["half.cwasm", "other.txt", "second.cwasm", "second.sha256", "third.cwasm", "third.sha256"]
        );
        // A file that was used is the last one to go; code whose hash never came is removed in the end.
        Entry::named(folder.path(), "second").was_used();
        trim(folder.path(), 10, now + 2 * WRITTEN_WITHIN)?;
        assert_eq!(left()?, ["other.txt", "second.cwasm", "second.sha256"]);
        Ok(())
    }

    /// Many at once trim and use the same folder: each finds its component, and none finds an error.
    #[test]
    fn processes_that_trim_disturb_nobody() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let folder = private_folder(&folder.path().join("private"))?;
        let engine = Engine::default();
        std::thread::scope(|scope| {
            let works = (0..4).map(|_| {
                scope.spawn(|| {
                    let cache = CompiledCodeCache::open(&folder, &engine);
                    for round in 0..20 {
                        component(&cache, &engine).expect("it is compiled where it is not found");
                        Entry::named(&folder, &format!("other-{round}")).keep(&[0; 100]).expect("it is kept");
                        trim(&folder, 150, SystemTime::now()).expect("it is trimmed");
                    }
                })
            });
            works.collect::<Vec<_>>().into_iter().for_each(|work| work.join().expect("no panic"));
        });
        Ok(())
    }

    #[test]
    fn a_damaged_entry_is_compiled_anew() -> wasmtime::Result<()> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path().join("private");
        let engine = Engine::default();
        let cache = CompiledCodeCache::open(&folder, &engine);
        let content = ContentHash::of(EMPTY_COMPONENT);
        component(&cache, &engine)?;
        let entry = Entry::named(&folder, &format!("{content}-{}", cache.engine_key));
        assert!(entry.load(&engine).is_some());

        let whole = fs::read(&entry.code)?;
        let mut damaged = whole.clone();
        *damaged.last_mut().expect("an entry is not empty") ^= 1;
        for wrong in [&damaged[..], &whole[..whole.len() - 1], &whole[..10], b""] {
            write_atomic(&entry.code, wrong)?;
            assert!(entry.load(&engine).is_none());
            component(&cache, &engine)?;
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
