//! An output checker: decides whether an answer is right where several are. It never runs the program.
//!
//! ```
//! use hilora_plugin_sdk::checker::{CheckError, Decision, OutputChecker};
//! use serde::Deserialize;
//!
//! /// Any number that is near enough is right.
//! pub struct Near;
//!
//! /// The options that a problem gives it; any other is refused.
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! pub struct Options {
//!     within: f64,
//! }
//!
//! impl OutputChecker for Near {
//!     fn check(_input: String, expected: String, actual: Vec<u8>, options: String) -> Result<Decision, CheckError> {
//!         let options: Options = hilora_plugin_sdk::options(&options).map_err(CheckError::Options)?;
//!         let expected: f64 = expected.trim().parse().map_err(|_| CheckError::BadTest(format!("`{expected}`")))?;
//!         let actual = String::from_utf8_lossy(&actual).trim().parse::<f64>();
//!         Ok(match actual {
//!             Ok(actual) if (actual - expected).abs() <= options.within => Decision::Accepted,
//!             _ => Decision::Rejected(format!("expected {expected} or so")),
//!         })
//!     }
//! }
//!
//! hilora_plugin_sdk::export_checker!(Near);
//!
//! # fn main() {
//! # use hilora_plugin_sdk::harness;
//! assert_eq!(harness::check::<Near>("", "3.14", b"3.1", r#"{"within": 0.1}"#), Ok(Decision::Accepted));
//! assert!(matches!(harness::check::<Near>("", "3", b"3", r#"{"inside": 1}"#), Err(CheckError::Options(_))));
//! # }
//! ```

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
