//! The proposals of WebAssembly that a guest's code may use: those that are a part of the standard and that the meter, the
//! limits and the host's own copies know. Every other one is refused by its name before anything is compiled.

use wasmparser::{BinaryReaderError, Validator, WasmFeatures};

/// All that is on. What is off, and why:
///
/// - threads and shared memories: what another thread writes when is not the same in every run;
/// - garbage collection, typed function references and exceptions: their heap is no memory that a limit counts;
/// - stack switching: more stacks than the one whose size is bounded;
/// - custom page sizes and wide arithmetic: no language's tools ask for them yet.
pub(super) const PROPOSALS: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::GC_TYPES);

/// Refuses what is not valid, or is so by another proposal only.
pub(super) fn validate(component: &[u8]) -> Result<(), BinaryReaderError> {
    Validator::new_with_features(PROPOSALS).validate_all(component).map(drop)
}
