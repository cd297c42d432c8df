//! Solution runners over components: every program gets an instance that nothing has run in, and the host keeps what
//! it wrote, what it used and how it ended.

use std::sync::OnceLock;

use wasmtime::Store;

use super::answer::{WORDS_BYTES_MAX, shortened, shortened_name};
use super::bindings::solution_runner::SolutionRunnerPre;
use super::bindings::solution_runner::exports::hilora::plugin::runner::{Outcome, Uncaught};
use super::execution::Stopwatch;
use super::guest::{Guest, GuestState, Stop};
use super::loaded_plugin::LoadedPlugin;
use hilora_contract::dataset::Language;
use hilora_contract::plugin::{
    LimitKind, PluginError, PluginIdentity, RunLimits, RunReport, RunnerInfo, SolutionRunner, Termination,
};

/// The most characters of a file's extension.
const EXTENSION_CHARACTERS_MAX: usize = 16;

/// A solution runner in a component.
pub(super) struct ComponentRunner {
    plugin: LoadedPlugin,
    world: SolutionRunnerPre<GuestState>,
    info: OnceLock<RunnerInfo>,
}

impl ComponentRunner {
    pub(super) fn new(plugin: LoadedPlugin) -> wasmtime::Result<Self> {
        Ok(Self { world: SolutionRunnerPre::new(plugin.instance.clone())?, plugin, info: OnceLock::new() })
    }

    fn ask(&self) -> Result<RunnerInfo, PluginError> {
        let info = self.plugin.call("describe", None, WORDS_BYTES_MAX, async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_runner().call_describe(store).await
        })?;
        let wrong = |message: String| self.plugin.contract("describe", None, message);
        let extension = info.file_extension;
        if !(1..=EXTENSION_CHARACTERS_MAX).contains(&extension.len())
            || !extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(wrong(format!("expected a file extension of letters and digits, got `{extension}`")));
        }
        Ok(RunnerInfo {
            language: Language::try_from(info.language).map_err(|error| wrong(error.to_string()))?,
            file_extension: extension,
            interpreter: shortened_name(&info.interpreter),
            calls_functions: info.calls_functions,
        })
    }

    /// What it says of itself; it is asked once.
    fn info(&self) -> Result<&RunnerInfo, PluginError> {
        match self.info.get() {
            Some(info) => Ok(info),
            None => self.ask().map(|info| self.info.get_or_init(|| info)),
        }
    }

    /// How the program ended, as the host sees it. `Raised`, `Unsupported` and `OutOfMemory` are the guest's own words.
    fn termination(guest: &Guest, ended: Result<Outcome, Stop>) -> Termination {
        match ended {
            // A library that gives up for want of memory says so in its own words, which the runner takes for an exception
            // like any other. That memory was refused is the host's to know.
            Ok(Outcome::Raised(uncaught))
                if guest.memory_denied() && names_memory(&uncaught)
                    || guest.memory_exhausted() && is_no_object(&uncaught) =>
            {
                Termination::LimitExceeded(LimitKind::Memory)
            }
            Ok(Outcome::Raised(uncaught)) => Termination::Raised {
                exception: shortened_name(&uncaught.exception),
                message: shortened(&uncaught.message),
            },
            Ok(Outcome::OutOfMemory) => Termination::LimitExceeded(LimitKind::Memory),
            Ok(Outcome::Exited(code)) | Err(Stop::Exit(code)) => {
                if guest.memory_denied() && code != 0 {
                    return Termination::LimitExceeded(LimitKind::Memory);
                }
                Termination::Exited(code)
            }
            Ok(Outcome::Unsupported(module)) => Termination::Unsupported { module: shortened_name(&module.name) },
            Err(Stop::Limit(limit)) if limit.is_of_machine() => {
                Termination::Unfinished { message: format!("the machine's limit of {limit} ended it") }
            }
            Err(Stop::Limit(limit)) => Termination::LimitExceeded(limit),
            Err(Stop::Output) => Termination::OutputLimitExceeded,
            // The runner cuts what it tells; only a program that broke into it can tell more.
            Err(Stop::Answer(bytes_max)) => {
                Termination::Trapped { message: format!("its outcome is larger than {bytes_max} bytes") }
            }
            // Of a program, which is one call, the host knows no more than that memory was refused to it.
            Err(Stop::Trap(_)) if guest.memory_denied() => Termination::LimitExceeded(LimitKind::Memory),
            Err(Stop::Trap(message)) => Termination::Trapped { message: shortened(&message) },
        }
    }
}

/// Whether an exception's type says that it comes of refused memory (`MemoryError`, `OutOfMemoryError`).
fn names_memory(uncaught: &Uncaught) -> bool {
    uncaught.exception.to_ascii_lowercase().contains("memory")
}

/// Whether it is no object at all: QuickJS throws `null` where it has no memory left to make an error. A program may throw
/// `null`, too, also after it was refused one large array and went on, which is no want of memory.
fn is_no_object(uncaught: &Uncaught) -> bool {
    uncaught.message == "null"
}

impl SolutionRunner for ComponentRunner {
    fn identity(&self) -> &PluginIdentity {
        &self.plugin.identity
    }

    fn describe(&self) -> Result<RunnerInfo, PluginError> {
        self.info().cloned()
    }

    fn run(
        &self,
        code: &str,
        entry_point: Option<&str>,
        stdin: &[u8],
        limits: &RunLimits,
    ) -> Result<RunReport, PluginError> {
        // The name that a program has in its own eyes; the second argument lets `os.fstat(0)` tell the input's size,
        // which some programs read by.
        let arguments = [format!("program.{}", self.info()?.file_extension), stdin.len().to_string()];
        let stopwatch = Stopwatch::start();
        let mut guest = Guest::new(&self.plugin.engine, limits, &arguments, stdin);
        let mut instantiated = Err(None);
        let ended = guest.call(&stopwatch, WORDS_BYTES_MAX, async |store: &mut Store<GuestState>| {
            let instance = match self.world.instantiate_async(&mut *store).await {
                Ok(instance) => instance,
                Err(error) => {
                    instantiated = Err(Some(format!("{error:#}")));
                    return Err(error);
                }
            };
            instantiated = Ok(());
            instance.hilora_plugin_runner().call_run(store, code, entry_point).await
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
