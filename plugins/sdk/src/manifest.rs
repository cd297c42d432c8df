//! The manifest: `plugin.toml`, embedded in the component as the custom section `hilora:manifest`.

/// Embeds the plugin's manifest. The path is relative to the plugin's `Cargo.toml`; a missing file is a compile
/// error on every target, and only a WebAssembly target carries the section.
#[macro_export]
macro_rules! manifest {
    ($path:literal) => {
        const _: () = {
            const TEXT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path));
            const LENGTH: usize = TEXT.len();

            // A custom section holds bytes, not a pointer to them, so the text is an array of its exact length.
            const BYTES: [u8; LENGTH] = *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path));

            #[cfg(target_arch = "wasm32")]
            #[used]
            #[unsafe(link_section = "hilora:manifest")]
            static SECTION: [u8; LENGTH] = BYTES;

            #[cfg(not(target_arch = "wasm32"))]
            const _: [u8; LENGTH] = BYTES;
        };
    };
}
