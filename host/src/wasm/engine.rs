//! The engine: one wasmtime engine for the whole process, set so that a fresh instance of an interpreter is cheap and
//! an endless loop in C code can be stopped.
//!
//! Instances come from a pool and begin as copy-on-write images of their component. Every instruction costs fuel, and
//! a guest gives control back every `FUEL_BETWEEN_CHECKS` units, where `execution` looks at the clocks.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::plugin::PluginError;

/// Fuel between two looks at the clocks: about two milliseconds of interpreter.
pub(super) const FUEL_BETWEEN_CHECKS: u64 = 20_000_000;

/// Stack for WebAssembly frames. Freeing a chain of 3×10⁵ tuples needs this much; only what is touched is resident.
const WASM_STACK_BYTES: usize = 128 << 20;
/// What host functions may use of the same stack.
const HOST_STACK_BYTES: usize = 2 << 20;
/// Memory that a pooled slot keeps between two instances: resetting a page costs less than faulting it in again.
const RESIDENT_BYTES: usize = 16 << 20;
/// The interpreter's image holds about 30 MB; anything up to this is mapped, not copied.
const IMAGE_BYTES_MAX: u64 = 128 << 20;
/// Core instances in one component; CPython with its libraries has some forty.
const CORE_INSTANCES_PER_COMPONENT: u32 = 96;

fn settings() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(WASM_STACK_BYTES + HOST_STACK_BYTES)
        .memory_guaranteed_dense_image_size(IMAGE_BYTES_MAX)
        // A backtrace of 10⁵ frames says nothing to a person and takes longer than the run.
        .wasm_backtrace_max_frames(None);
    config
}

/// Makes the engine. `instances_max` is how many instances can live at once.
///
/// A pool reserves 4 GiB of address space for each instance. Where there is not that much (a container with a limit
/// on virtual memory), instances are allocated one by one: slower, otherwise the same.
pub(super) fn engine(instances_max: u32) -> Result<Engine, PluginError> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances_max)
        .total_tables(instances_max.saturating_mul(2))
        .total_stacks(instances_max)
        .table_elements(1 << 16)
        .max_tables_per_module(4)
        .linear_memory_keep_resident(RESIDENT_BYTES)
        .table_keep_resident(1 << 20)
        .pagemap_scan(Enabled::Auto);
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    match Engine::new(&config) {
        Ok(engine) => Ok(engine),
        Err(pooling) => {
            tracing::warn!("no pool of instances ({pooling:#}); each is allocated by itself, which is slower");
            Engine::new(&settings())
                .map_err(|error| PluginError::Engine { what: "start".to_owned(), message: format!("{error:#}") })
        }
    }
}
