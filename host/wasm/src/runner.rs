//! Solution runners over components: every program gets an instance that nothing has run in, and the host keeps what
//! it wrote, what it used and how it ended.

use wasmtime::Store;

use super::bindings::solution_runner::SolutionRunnerPre;
use super::bindings::solution_runner::exports::hilora::plugin::runner::{Outcome, Uncaught};
use super::execution::Stopwatch;
use super::guest::{Guest, GuestState, Stop};
use super::loaded_plugin::LoadedPlugin;
use hilora_contract::plugin::{
    LimitKind, PluginError, PluginIdentity, RunLimits, RunReport, RunnerInfo, SolutionRunner, Termination,
};

/// The name a program has in its own eyes.
const PROGRAM: &str = "program.py";

/// A solution runner in a component.
pub(super) struct ComponentRunner {
    plugin: LoadedPlugin,
    world: SolutionRunnerPre<GuestState>,
}

impl ComponentRunner {
    pub(super) fn new(plugin: LoadedPlugin) -> wasmtime::Result<Self> {
        Ok(Self { world: SolutionRunnerPre::new(plugin.instance.clone())?, plugin })
    }

    /// How the program ended, as the host sees it. `Raised` and `Unsupported` are the guest's own words.
    fn termination(guest: &Guest, ended: Result<Outcome, Stop>) -> Termination {
        match ended {
            Ok(Outcome::Raised(uncaught)) => {
                if out_of_memory(guest, &uncaught) {
                    return Termination::LimitExceeded(LimitKind::Memory);
                }
                Termination::Raised { exception: uncaught.exception, message: uncaught.message }
            }
            Ok(Outcome::Exited(code)) | Err(Stop::Exit(code)) => {
                if guest.memory_denied() && code != 0 {
                    return Termination::LimitExceeded(LimitKind::Memory);
                }
                Termination::Exited(code)
            }
            Ok(Outcome::Unsupported(module)) => Termination::Unsupported { module: module.name },
            Err(Stop::Limit(limit)) => Termination::LimitExceeded(limit),
            Err(Stop::Output) => Termination::OutputLimitExceeded,
            Err(Stop::Trap(message)) => Termination::Trapped { message },
        }
    }
}

/// Whether the program failed because memory was refused: Python's `MemoryError`, QuickJS's `out of memory`.
///
/// A parser that gives up also raises MemoryError, and says so. Where CPython itself says nothing, growth was refused,
/// or so much was asked for that no instance could have it.
fn out_of_memory(guest: &Guest, uncaught: &Uncaught) -> bool {
    match (uncaught.exception.as_str(), uncaught.message.as_str()) {
        ("MemoryError", "") => true,
        ("MemoryError", _) | ("InternalError", "out of memory") => guest.memory_denied(),
        _ => false,
    }
}

impl SolutionRunner for ComponentRunner {
    fn identity(&self) -> &PluginIdentity {
        &self.plugin.identity
    }

    fn describe(&self) -> Result<RunnerInfo, PluginError> {
        let info = self.plugin.call("describe", None, async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_runner().call_describe(store).await
        })?;
        Ok(RunnerInfo { language: info.language.into(), interpreter: info.interpreter })
    }

    fn run(&self, code: &str, stdin: &[u8], limits: &RunLimits) -> Result<RunReport, PluginError> {
        // The second argument lets `os.fstat(0)` tell the input's size, which some programs read by.
        let arguments = [PROGRAM.to_owned(), stdin.len().to_string()];
        let stopwatch = Stopwatch::start();
        let mut guest = Guest::new(&self.plugin.engine, limits, &arguments, stdin);
        let mut instantiated = Err(None);
        let ended = guest.call(&stopwatch, async |store: &mut Store<GuestState>| {
            let instance = match self.world.instantiate_async(&mut *store).await {
                Ok(instance) => instance,
                Err(error) => {
                    instantiated = Err(Some(format!("{error:#}")));
                    return Err(error);
                }
            };
            instantiated = Ok(());
            instance.hilora_plugin_runner().call_run(store, code).await
        });
        if let (Err(Some(message)), Err(Stop::Trap(_))) = (instantiated, &ended) {
            // Not even the interpreter began: no address space for its memory, say.
            return Err(PluginError::Resources { what: self.plugin.identity.to_string(), message });
        }
        Ok(RunReport {
            termination: Self::termination(&guest, ended),
            stdout: guest.take_stdout(),
            stderr: guest.take_stderr(),
            fuel: guest.fuel_used(),
            cpu_time_us: u64::try_from(stopwatch.cpu_time().as_micros()).unwrap_or(u64::MAX),
            wall_time_us: u64::try_from(stopwatch.wall_time().as_micros()).unwrap_or(u64::MAX),
            memory_bytes: guest.memory_bytes(),
        })
    }
}
