//! A guest: one instance's store with everything the host holds of it, and the calls made into it.
//!
//! A guest that trapped or went over a limit is not used again; the adapters drop it.

use std::sync::LazyLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{Deterministic, I32Exit, WasiCtx, WasiCtxView, WasiView};

use super::answer::{hostcall_fuel, is_too_large};
use super::clock::VirtualClock;
use super::execution::{Stopwatch, drive};
use super::limits::InstanceLimiter;
use super::metering::LimitReached;
use super::stdio::OutputPipe;
use hilora_contract::plugin::{LimitKind, RunLimits};

/// What WASI's randomness repeats: 4 KiB of SHA-256 in counter mode, the same for every guest.
static RANDOM_BYTES: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..128_u64).flat_map(|counter| Sha256::digest(counter.to_le_bytes())).collect());

/// What a guest may hold of the host's at once: streams, pollables, source files.
const HANDLES_MAX: usize = 10_000;

/// What a guest's host functions work on.
pub(super) struct GuestState {
    context: WasiCtx,
    pub(super) table: ResourceTable,
    pub(super) limiter: InstanceLimiter,
    pub(super) clock: VirtualClock,
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

/// Why a call did not return.
#[derive(Debug)]
pub(super) enum Stop {
    /// A limit of fuel, time or memory.
    Limit(LimitKind),
    /// It wrote more than it may.
    Output,
    /// It answered more than this many bytes.
    Answer(u64),
    /// It ended the instance with this code.
    Exit(u8),
    /// It trapped; the engine's words.
    Trap(String),
}

/// One instance's surroundings.
pub(super) struct Guest {
    pub(super) store: Store<GuestState>,
    limits: RunLimits,
    stdout: OutputPipe,
    stderr: OutputPipe,
}

impl Guest {
    /// A store with nothing in it yet. `arguments` and `stdin` are all that the guest will find.
    pub(super) fn new(engine: &Engine, limits: &RunLimits, arguments: &[String], stdin: &[u8]) -> Self {
        let stdout = OutputPipe::new(limits.output_bytes_max);
        let stderr = OutputPipe::new(limits.output_bytes_max);
        let context = WasiCtx::builder()
            .args(arguments)
            .stdin(MemoryInputPipe::new(Bytes::copy_from_slice(stdin)))
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .secure_random(Deterministic::new(RANDOM_BYTES.clone()))
            .insecure_random(Deterministic::new(RANDOM_BYTES.clone()))
            .insecure_random_seed(0)
            .max_random_size(1 << 20)
            .allow_tcp(false)
            .allow_udp(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let state = GuestState {
            context,
            table,
            limiter: InstanceLimiter::new(limits),
            clock: VirtualClock::new(limits.wall_time_ms),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_max_component_handles(HANDLES_MAX);
        Self { store, limits: *limits, stdout, stderr }
    }

    /// Makes one call under the limits, each of which begins anew: that of output where what was written before is taken,
    /// and memory is the instance's. The host takes over an answer of at most `answer_bytes_max`.
    pub(super) fn call<T>(
        &mut self,
        stopwatch: &Stopwatch,
        answer_bytes_max: u64,
        call: impl AsyncFnOnce(&mut Store<GuestState>) -> wasmtime::Result<T>,
    ) -> Result<T, Stop> {
        self.store.data_mut().limiter.begin(stopwatch);
        self.store.set_hostcall_fuel(hostcall_fuel(answer_bytes_max, &self.limits));
        let clock = self.store.data().clock.clone();
        match drive(call(&mut self.store), &self.limits, stopwatch, &clock) {
            Err(limit) => Err(Stop::Limit(limit)),
            Ok(Err(error)) if is_too_large(&error) => Err(Stop::Answer(answer_bytes_max)),
            Ok(Err(error)) => Err(self.why(&error)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    fn why(&self, error: &wasmtime::Error) -> Stop {
        if let Some(LimitReached(limit)) = error.downcast_ref() {
            return Stop::Limit(*limit);
        }
        if self.stdout.exceeded() || self.stderr.exceeded() {
            return Stop::Output;
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return Stop::Exit(code.to_le_bytes()[0]);
        }
        if self.store.data().limiter.refused_lately() {
            return Stop::Limit(LimitKind::Memory);
        }
        Stop::Trap(error.root_cause().to_string())
    }

    /// All fuel used so far.
    pub(super) fn fuel_used(&self) -> u64 {
        self.store.data().limiter.allowance.used()
    }

    /// The most linear memory there was.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.store.data().limiter.bytes()
    }

    /// Whether the instance asked for more memory than it may have.
    pub(super) fn memory_denied(&self) -> bool {
        self.store.data().limiter.denied()
    }

    /// Whether there was no memory left for even a small object.
    pub(super) fn memory_exhausted(&self) -> bool {
        self.store.data().limiter.exhausted()
    }

    /// Takes what was written to standard output.
    pub(super) fn take_stdout(&self) -> Vec<u8> {
        self.stdout.take()
    }

    /// Takes what was written to standard error.
    pub(super) fn take_stderr(&self) -> Vec<u8> {
        self.stderr.take()
    }
}
