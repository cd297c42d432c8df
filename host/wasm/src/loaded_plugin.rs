//! A loaded plugin: a compiled component that is ready to be instantiated, and the words for what goes wrong in it.
//!
//! Every call gets an instance of its own, so that no answer depends on what was asked before.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use super::answer::{ending, shortened};
use super::execution::Stopwatch;
use super::guest::{Guest, GuestState, Stop};
use super::plugin_log::log;
use hilora_contract::plugin::{LimitKind, PluginError, PluginIdentity, RunLimits};

/// What one call used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallUsage {
    /// Fuel.
    pub fuel: u64,
    /// Processor time of the calling thread, in microseconds.
    pub cpu_time_us: u64,
    /// The most linear memory of its instance until then, in bytes.
    pub memory_bytes: u64,
}

/// Is told of every call.
pub(super) type CallObserver = Arc<dyn Fn(CallUsage) + Send + Sync>;

/// A component of a known kind with the limits of its calls.
pub(super) struct LoadedPlugin {
    pub(super) identity: PluginIdentity,
    pub(super) engine: Engine,
    pub(super) instance: InstancePre<GuestState>,
    pub(super) limits: RunLimits,
    /// The most items that one call is about.
    pub(super) items_per_call_max: u32,
    pub(super) observer: Option<CallObserver>,
}

impl LoadedPlugin {
    /// A guest without an instance in it.
    pub(super) fn guest(&self) -> Guest {
        Guest::new(&self.engine, &self.limits, &[], &[])
    }

    /// One call in an instance of its own, whose answer has at most `answer_bytes_max`.
    pub(super) fn call<T>(
        &self,
        function: &'static str,
        row: Option<String>,
        answer_bytes_max: u64,
        call: impl AsyncFnOnce(&mut Store<GuestState>) -> wasmtime::Result<T>,
    ) -> Result<T, PluginError> {
        self.call_in(&mut self.guest(), function, row, answer_bytes_max, call)
    }

    /// One call in this guest.
    pub(super) fn call_in<T>(
        &self,
        guest: &mut Guest,
        function: &'static str,
        row: Option<String>,
        answer_bytes_max: u64,
        call: impl AsyncFnOnce(&mut Store<GuestState>) -> wasmtime::Result<T>,
    ) -> Result<T, PluginError> {
        let (fuel_before, stopwatch) = (guest.fuel_used(), Stopwatch::start());
        let called = guest.call(&stopwatch, answer_bytes_max, call);
        if let Some(observer) = &self.observer {
            observer(CallUsage {
                fuel: guest.fuel_used().saturating_sub(fuel_before),
                cpu_time_us: u64::try_from(stopwatch.cpu_time().as_micros()).unwrap_or(u64::MAX),
                memory_bytes: guest.memory_bytes(),
            });
        }
        let (stdout, stderr) = (guest.take_stdout(), guest.take_stderr());
        log(&self.identity, function, &stdout, &stderr);
        called.map_err(|stop| self.event(&stderr, stop, function, row))
    }

    /// The answers of as many calls as these items ask for.
    pub(super) fn in_calls<I, T>(
        &self,
        items: &[I],
        ask: impl Fn(&[I]) -> Result<Vec<T>, PluginError>,
    ) -> Result<Vec<T>, PluginError> {
        let parts = items.chunks(self.items_per_call_max as usize).map(ask);
        Ok(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Whether the item that a batch failed on is still looked for.
    pub(super) fn is_sought(&self, since: &Stopwatch) -> bool {
        since.cpu_time() <= Duration::from_millis(self.limits.cpu_time_ms)
    }

    /// Names the item that a batch failed on: where the batch as a whole trapped or went over a limit, each item is
    /// tried alone, and the first that fails alone is the one to tell of. That takes no longer than about two calls.
    pub(super) fn locate<I, T>(
        &self,
        items: &[I],
        batch: Result<T, PluginError>,
        alone: impl Fn(&I) -> Result<T, PluginError>,
    ) -> Result<T, PluginError> {
        match batch {
            Err(event @ (PluginError::Trap { .. } | PluginError::Limit { .. })) if items.len() > 1 => {
                let since = Stopwatch::start();
                let mut tried = items.iter().take_while(|_| self.is_sought(&since));
                Err(tried.find_map(|item| alone(item).err()).unwrap_or(event))
            }
            answer => answer,
        }
    }

    /// The plugin answered something its interface forbids.
    pub(super) fn contract(&self, call: &'static str, row: Option<String>, message: String) -> PluginError {
        PluginError::Contract { plugin: self.identity.clone(), call, row, message: shortened(&message) }
    }

    /// The plugin said, in its interface's own way, that it cannot.
    pub(super) fn refused(&self, message: &str) -> PluginError {
        PluginError::Refused { plugin: self.identity.clone(), message: shortened(message) }
    }

    /// Refuses an answer with another number of items than were asked about.
    pub(super) fn check_count(&self, call: &'static str, expected: usize, got: usize) -> Result<(), PluginError> {
        if expected == got {
            return Ok(());
        }
        Err(self.contract(call, None, format!("expected {expected} answers, got {got}")))
    }

    fn event(&self, stderr: &[u8], stop: Stop, call: &'static str, row: Option<String>) -> PluginError {
        let plugin = self.identity.clone();
        let message = match stop {
            Stop::Limit(limit) => {
                let allowed = match limit {
                    LimitKind::Fuel => format!("{} units", self.limits.fuel),
                    LimitKind::CpuTime => format!("{} ms", self.limits.cpu_time_ms),
                    LimitKind::WallClock | LimitKind::VirtualClock => format!("{} ms", self.limits.wall_time_ms),
                    LimitKind::Memory => format!("{} bytes", self.limits.memory_bytes_max),
                };
                return PluginError::Limit { plugin, call, row, limit, allowed };
            }
            Stop::Output => format!("it wrote more than {} bytes to an output", self.limits.output_bytes_max),
            Stop::Answer(bytes_max) => {
                let message = format!("expected an answer of at most {bytes_max} bytes, got a larger one");
                return self.contract(call, row, message);
            }
            Stop::Exit(code) => format!("it ended itself with exit code {code}"),
            Stop::Trap(message) => shortened(&message),
        };
        // A Rust guest's panic message stands on its standard error.
        let said = String::from_utf8_lossy(stderr).trim().to_owned();
        let message = if said.is_empty() { message } else { format!("{message}; it wrote: {}", ending(&said)) };
        PluginError::Trap { plugin, call, row, message }
    }
}
