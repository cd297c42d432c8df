//! The engine: one wasmtime engine for each component, set so that a fresh instance of an interpreter is cheap and an
//! endless loop in C code can be stopped.
//!
//! Memory and stacks come from `memory`, which knows what the component's memory begins with. What a guest runs is
//! counted by `metering`.

use std::sync::Arc;

use wasmtime::{Config, Engine, InstanceAllocationStrategy};

use super::memory::{MemoryImage, MemoryPool, StackPool};
use super::proposals::PROPOSALS;
use hilora_contract::plugin::PluginError;

/// Stack for WebAssembly frames: eight times the C stack of the Python runner, of which its calls through C take a half or
/// a quarter as much, so that CPython ends a recursion before this does. Only what is touched is resident.
const WASM_STACK_BYTES: usize = 384 << 20;
/// What host functions may use of the same stack.
const HOST_STACK_BYTES: usize = 2 << 20;

fn settings() -> Config {
    let mut config = Config::new();
    config
        .wasm_features(!PROPOSALS, false)
        .wasm_features(PROPOSALS, true)
        // Metering's slow path is seldom taken, and says so.
        .wasm_branch_hinting(true)
        // A product and a sum rounded once, on every processor, and no number but one means "not a number": the digits of a
        // result are the same everywhere.
        .relaxed_simd_deterministic(true)
        .cranelift_nan_canonicalization(true)
        // What a memory begins with is `memory`'s to map, where it can be. wasmtime would map the rest over memory that it
        // made itself, and ends the process where it did not.
        .memory_init_cow(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(WASM_STACK_BYTES + HOST_STACK_BYTES)
        // A backtrace of 10⁵ frames says nothing to a person and takes longer than the run.
        .wasm_backtrace_max_frames(None);
    config
}

/// Makes the engine of one component, whose memory begins as `image`.
pub(super) fn engine(image: Option<MemoryImage>) -> Result<Engine, PluginError> {
    let mut config = settings();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .with_host_memory(Arc::new(MemoryPool::new(image)))
        .with_host_stack(Arc::new(StackPool::default()));
    Engine::new(&config)
        .map_err(|error| PluginError::Engine { what: "start".to_owned(), message: format!("{error:#}") })
}
