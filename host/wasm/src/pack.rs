//! Packing: a manifest goes into a component as a custom section, so that a plugin is one file. Rust plugins embed
//! theirs when they are compiled; components made by other tools are packed afterwards.

use wasm_encoder::{CustomSection, Section};
use wasmparser::{Parser, Payload};

use super::component_file::MANIFEST_SECTION;
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::plugin::{Manifest, ManifestError};

/// Why a component cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The bytes are no component.
    #[error("expected a WebAssembly component, got {0}")]
    NotAComponent(String),
    /// It has been packed before.
    #[error("the component already carries a manifest")]
    AlreadyPacked,
}

impl Fault for PackError {
    fn blame(&self) -> Blame {
        match self {
            Self::Manifest(error) => error.blame(),
            Self::NotAComponent(_) | Self::AlreadyPacked => Blame::User,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Manifest(error) => error.hints(),
            Self::NotAComponent(_) | Self::AlreadyPacked => Vec::new(),
        }
    }
}

/// The component with the manifest's text embedded.
pub fn pack(component: &[u8], manifest: &str) -> Result<Vec<u8>, PackError> {
    Manifest::parse(manifest)?;
    if !Parser::is_component(component) {
        return Err(PackError::NotAComponent("a file of another format".to_owned()));
    }
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Ok(Payload::CustomSection(section)) if section.name() == MANIFEST_SECTION => {
                return Err(PackError::AlreadyPacked);
            }
            Ok(_) => {}
            Err(error) => return Err(PackError::NotAComponent(format!("a damaged one ({error})"))),
        }
    }
    let mut packed = component.to_vec();
    CustomSection { name: MANIFEST_SECTION.into(), data: manifest.as_bytes().into() }.append_to(&mut packed);
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MANIFEST: &str = "name = \"a\"\nversion = \"1\"";

    #[test]
    fn packs_once() -> Result<(), PackError> {
        let packed = pack(EMPTY_COMPONENT, MANIFEST)?;
        assert!(packed.starts_with(EMPTY_COMPONENT));
        assert!(packed.ends_with(MANIFEST.as_bytes()));
        assert!(matches!(pack(&packed, MANIFEST), Err(PackError::AlreadyPacked)));
        Ok(())
    }

    #[test]
    fn refuses_what_is_not_a_component_and_a_wrong_manifest() {
        assert!(matches!(pack(b"\0asm\x01\0\0\0", MANIFEST), Err(PackError::NotAComponent(_))));
        assert!(matches!(pack(EMPTY_COMPONENT, "name = \"a\""), Err(PackError::Manifest(_))));
    }
}
