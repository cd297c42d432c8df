//! A component's file, read but not yet compiled: its manifest, its kind, what it imports. Nothing of it has run.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use wasmparser::{Encoding, Parser, Payload};

use super::answer::{shortened, shortened_name};
use super::linker::WASI_INTERFACES;
use hilora_contract::artifact::ContentHash;
use hilora_contract::plugin::{Capability, Manifest, PluginError, PluginIdentity, PluginKind};

/// The custom section that carries a manifest.
pub(super) const MANIFEST_SECTION: &str = "hilora:manifest";

/// The most bytes of a component: eight times the largest that ships with this host.
const BYTES_MAX: u64 = 256 << 20;

/// The package that every interface of ours belongs to.
const PACKAGE: &str = "hilora:plugin";
/// The version of the WIT package that this host speaks.
const WIT_VERSION: &str = "0.2.0";

/// The version of our package that an import or export belongs to; `None` if it is none of ours.
fn version_of(name: &str) -> Option<&str> {
    let interface = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    Some(interface.split_once('@').map_or("", |(_, version)| version))
}

/// The interface that each kind exports.
fn exported_interface(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::DatasetLoader => "loader",
        PluginKind::DomainClassifier => "classifier",
        PluginKind::PromptFormatter => "formatter",
        PluginKind::OutputChecker => "checker",
        PluginKind::SolutionRunner => "runner",
    }
}

/// A component on disk.
pub(super) struct ComponentFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) identity: PluginIdentity,
    pub(super) manifest: Manifest,
    pub(super) imports: Vec<String>,
}

/// What a component's outer layer and its sections tell.
#[derive(Default)]
struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
    manifests: Vec<Vec<u8>>,
}

impl ComponentFile {
    /// Reads a component and checks everything that can be checked without compiling it.
    pub(super) fn read(path: &Path) -> Result<Self, PluginError> {
        let unreadable = |error| PluginError::Unreadable { path: path.to_owned(), error };
        let mut bytes = Vec::new();
        // A byte more than may be is enough to know.
        let file = File::open(path).map_err(unreadable)?;
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(PluginError::NotAPlugin {
                path: path.to_owned(),
                expected: format!("a component of at most {} MiB", BYTES_MAX >> 20),
                got: "a larger file".to_owned(),
            });
        }
        Self::of_bytes(path, bytes)
    }

    /// The same of bytes that were read; messages name `path`.
    pub(super) fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, PluginError> {
        let outline = Outline::read(path, &bytes)?;
        outline.check_version(path)?;
        let kind = outline.kind(path)?;
        let manifest = outline.manifest(path)?;
        let identity = PluginIdentity {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            kind,
            content: ContentHash::of(&bytes),
        };
        let file = Self { path: path.to_owned(), bytes, identity, manifest, imports: outline.imports };
        file.check_imports()?;
        Ok(file)
    }

    /// Refuses what the host does not offer to this kind, and what the manifest does not ask for.
    fn check_imports(&self) -> Result<(), PluginError> {
        let types = format!("{PACKAGE}/types@{WIT_VERSION}");
        let source = format!("{PACKAGE}/source@{WIT_VERSION}");
        for import in &self.imports {
            let name = import.split('@').next().unwrap_or(import);
            let version = import.split_once('@').map_or("", |(_, version)| version);
            let offered = WASI_INTERFACES.contains(&name) && version.starts_with("0.2.");
            if offered || *import == types {
                continue;
            }
            if *import != source {
                return Err(PluginError::UnknownImport { plugin: self.identity.clone(), import: shortened(import) });
            }
            let denied = |denied_by| PluginError::CapabilityDenied {
                plugin: self.identity.clone(),
                capability: Capability::ReadSource,
                denied_by,
            };
            if !self.manifest.capabilities.contains(&Capability::ReadSource) {
                return Err(denied("its manifest does not ask for"));
            }
            if self.identity.kind != PluginKind::DatasetLoader {
                return Err(denied("this host grants to dataset loaders alone"));
            }
        }
        Ok(())
    }
}

impl Outline {
    fn read(path: &Path, bytes: &[u8]) -> Result<Self, PluginError> {
        let not_a_plugin = |got: String| PluginError::NotAPlugin {
            path: path.to_owned(),
            expected: "a WebAssembly component".to_owned(),
            got,
        };
        let damaged = |error: wasmparser::BinaryReaderError| not_a_plugin(format!("a damaged file ({error})"));
        if !bytes.starts_with(b"\0asm") {
            return Err(not_a_plugin("a file of another format".to_owned()));
        }
        let composed = || PluginError::NotAPlugin {
            path: path.to_owned(),
            expected: "a component of one part".to_owned(),
            got: "a composition of several, whose copies to each other nothing would limit".to_owned(),
        };
        let mut outline = Self::default();
        // Modules and components nest; only the outermost layer's imports and exports are the plugin's own.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(damaged)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(not_a_plugin("a core WebAssembly module".to_owned()));
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        outline.imports.push(import.map_err(damaged)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        outline.exports.push(export.map_err(damaged)?.name.name.to_owned());
                    }
                }
                // What one part hands to another is copied by code of the engine's own, which has no meter. Without code to
                // run and without functions to adapt, a nested component only arranges names, as most tools have it do.
                Payload::InstanceSection(_) | Payload::ComponentCanonicalSection(_) if depth > 0 => {
                    return Err(composed());
                }
                Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                    outline.manifests.push(section.data().to_vec());
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    /// Refuses a component that speaks another version of our package, on either side.
    fn check_version(&self, path: &Path) -> Result<(), PluginError> {
        let versions = self.exports.iter().chain(&self.imports).filter_map(|name| version_of(name));
        match versions.into_iter().find(|version| *version != WIT_VERSION) {
            None => Ok(()),
            Some(other) => Err(PluginError::OtherVersion {
                path: path.to_owned(),
                package: PACKAGE,
                expected: WIT_VERSION,
                got: shortened_name(other),
            }),
        }
    }

    fn kind(&self, path: &Path) -> Result<PluginKind, PluginError> {
        let not_a_plugin = |got: String| PluginError::NotAPlugin {
            path: path.to_owned(),
            expected: format!("a component that exports one interface of {PACKAGE}@{WIT_VERSION}"),
            got,
        };
        let ours: Vec<&str> =
            self.exports.iter().map(String::as_str).filter(|name| version_of(name).is_some()).collect();
        let [interface] = ours[..] else {
            let got = match ours.len() {
                0 if self.exports.is_empty() => "no export".to_owned(),
                0 => format!("the exports {}", shortened(&self.exports.join(", "))),
                _ => format!("several: {}", shortened(&ours.join(", "))),
            };
            return Err(not_a_plugin(got));
        };
        PluginKind::ALL
            .into_iter()
            .find(|kind| interface == format!("{PACKAGE}/{}@{WIT_VERSION}", exported_interface(*kind)))
            .ok_or_else(|| not_a_plugin(shortened_name(interface)))
    }

    fn manifest(&self, path: &Path) -> Result<Manifest, PluginError> {
        let wrong = |reason: String| PluginError::Manifest { path: path.to_owned(), reason };
        let [section] = &self.manifests[..] else {
            return Err(wrong(match self.manifests.len() {
                0 => format!(
                    "expected a custom section `{MANIFEST_SECTION}`, which the SDK's `manifest!` or `hilora-host plugin \
                     pack` writes, found none"
                ),
                several => format!("expected one custom section `{MANIFEST_SECTION}`, found {several}"),
            }));
        };
        let text = std::str::from_utf8(section).map_err(|error| wrong(format!("it is not UTF-8: {error}")))?;
        Manifest::parse(text).map_err(|error| PluginError::manifest(path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a component of this text.
    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("plugin.wasm");
        std::fs::write(&path, wat::parse_str(text).expect("the text is a component")).expect("it can be written");
        match ComponentFile::read(&path) {
            Err(error) => error.to_string().replace(&path.display().to_string(), "plugin.wasm"),
            Ok(_) => panic!("it has no manifest"),
        }
    }

    fn exporting(version: &str) -> String {
        format!("(component (instance $empty) (export \"hilora:plugin/loader@{version}\" (instance $empty)))")
    }

    #[test]
    fn a_component_of_another_version_is_refused_by_name() {
        let old =
            "plugin.wasm is a plugin for hilora:plugin@0.1.0, expected hilora:plugin@0.2.0, which this host speaks";
        assert_eq!(refusal(&exporting("0.1.0")), old);
        let imports = "(component (import \"hilora:plugin/source@0.1.0\" (instance)) (instance $empty) \
                       (export \"hilora:plugin/loader@0.2.0\" (instance $empty)))";
        assert_eq!(refusal(imports), old);
        let newer = refusal(&exporting("0.3.0"));
        assert!(newer.starts_with("plugin.wasm is a plugin for hilora:plugin@0.3.0, expected"), "{newer}");
        let right = refusal(&exporting("0.2.0"));
        assert!(right.contains("carries no usable manifest"), "{right}");
        let foreign = refusal("(component (instance $empty) (export \"other:plugin/loader@0.1.0\" (instance $empty)))");
        assert!(foreign.contains("is not a plugin for this host"), "{foreign}");
    }

    #[test]
    fn a_composition_is_refused_however_its_parts_get_their_code() {
        let parts = [
            // A part with a module of its own, and one that is given it.
            "(component (core module $m) (core instance (instantiate $m)))",
            "(component (import \"m\" (core module $m)) (core instance (instantiate $m)))",
            "(component (import \"f\" (func $f)) (core func (canon lower (func $f))))",
            "(component (component (core module $m) (core instance (instantiate $m))))",
        ];
        for part in parts {
            let refused = refusal(&format!("(component {part})"));
            assert!(refused.contains("expected a component of one part, got a composition"), "{part}: {refused}");
        }
        // What only arranges names is a part of most components.
        let arranging = "(component (component (import \"f\" (func $f)) (export \"g\" (func $f))))";
        assert!(refusal(arranging).contains("no export"), "{}", refusal(arranging));
    }
}
