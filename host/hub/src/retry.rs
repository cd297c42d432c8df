//! A retry: the same request once more, where it failed for a reason that may pass.

use std::fmt::Display;
use std::time::Duration;

/// How often a request is made again before its call fails.
const RETRIES: u32 = 3;
/// Waited before the first of them; twice this before the second, and so on.
const PAUSE: Duration = Duration::from_millis(300);

/// A failure that may be over in a moment.
pub(crate) trait Passing: Display {
    /// Whether the same request may succeed then.
    fn is_passing(&self) -> bool;
}

/// Asks for what has that name, and again where that may succeed.
pub(crate) fn again<T, E: Passing>(name: &str, mut ask: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let mut retry = 0;
    loop {
        match ask() {
            Err(error) if retry < RETRIES && error.is_passing() => {
                tracing::warn!("{name}: {error}; trying again");
                retry += 1;
                std::thread::sleep(PAUSE * retry);
            }
            result => return result,
        }
    }
}
