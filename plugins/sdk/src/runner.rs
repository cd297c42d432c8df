//! A solution runner: runs one program, once. It decides no verdict.

use crate::bindings::solution_runner::exports::hilora::plugin::runner as world;

pub use world::Guest as SolutionRunner;
pub use world::{MissingModule, Outcome, RunnerInfo, Uncaught};

/// Exports a [`SolutionRunner`] from the component; nothing on a native target.
#[macro_export]
macro_rules! export_runner {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::bindings::solution_runner::export_solution_runner_world!(
                $plugin with_types_in $crate::bindings::solution_runner
            );
        };
    };
}
