//! An output checker: decides whether an answer is right where several are. It never runs the program.

use crate::bindings::output_checker::exports::hilora::plugin::checker as world;

pub use world::Guest as OutputChecker;
pub use world::{CheckError, Decision};

/// Exports an [`OutputChecker`] from the component; nothing on a native target.
#[macro_export]
macro_rules! export_checker {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::bindings::output_checker::export_output_checker_world!(
                $plugin with_types_in $crate::bindings::output_checker
            );
        };
    };
}
