//! Compiling plugins: `hilora-host plugin compile`, the process that does it for another one, and the bar that shows it.

use std::os::fd::RawFd;
use std::time::Instant;

use hilora_wasm::{CompileLimits, CompileObserver, CompileRequest, CompilerProcess, set_compiler_process};

use super::console::Console;
use super::failure::Result;
use super::progress::{LateBar, Progress};

/// Arguments of a process that compiles. Nobody types them.
#[derive(Debug, clap::Args)]
pub(super) struct CompileArguments {
    /// The number of the open file that is the component
    #[arg(long)]
    component: RawFd,
    /// The number of the open file that the code is written to
    #[arg(long)]
    code: RawFd,
    /// The limit of processor time
    #[arg(long)]
    cpu_time_ms: u64,
    /// The limit of memory
    #[arg(long)]
    memory_bytes_max: u64,
}

impl CompileArguments {
    /// Compiles, and gives the process's exit code.
    pub(super) fn execute(&self) -> Result<u8> {
        let limits = CompileLimits { cpu_time_ms: self.cpu_time_ms, memory_bytes_max: self.memory_bytes_max };
        let request = CompileRequest { component: self.component, code: self.code, limits };
        Ok(request.execute()?)
    }
}

/// Has plugins compiled in processes of this program, which the console shows.
pub(super) fn compile_in_processes(console: &Console) {
    set_compiler_process(CompilerProcess {
        // The program that is running now, and no other that was put in its place since.
        program: "/proc/self/exe".into(),
        arguments: ["plugin", "compile"].map(Into::into).into(),
        observer: Box::new(Shown(console.progress().clone())),
    });
}

struct Shown(Progress);

impl CompileObserver for Shown {
    fn begin(&self, plugin: &str) -> Box<dyn FnMut() + '_> {
        // A log is told of it by a record.
        let name = format!("compile {plugin}");
        let mut bar = self.0.moves().then(|| Finishing(Some(self.0.late_bar(&name, "s"))));
        let begun = Instant::now();
        Box::new(move || {
            if let Some(Finishing(Some(bar))) = &mut bar {
                bar.set_position(begun.elapsed().as_secs());
            }
        })
    }
}

/// A bar that ends with its task.
struct Finishing(Option<LateBar>);

impl Drop for Finishing {
    fn drop(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish();
        }
    }
}
