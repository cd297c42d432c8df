//! A defect of this program: a panic, wherever it was, becomes one message and exit code 1. Everything that is written is
//! written atomically, so a panic leaves what a kill would leave.

use std::any::Any;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use hilora_contract::terminal::visible_paragraph;

use super::failure::ExitStatus;

/// Where panics were and what they said, the first ones: others may follow from them, and say less. Some were caught where
/// they are expected of a library.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// How many are kept.
const PANICS_MAX: usize = 5;

/// Runs the program, and tells of a panic as of any other failure.
pub fn catch_defects(program: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(remember));
    panic::catch_unwind(AssertUnwindSafe(program)).unwrap_or_else(|_| {
        let what = PANICS.lock().unwrap_or_else(PoisonError::into_inner).join("; then ");
        let message = format!(
            "error: a defect of hilora-host {}: {what}\nhint: everything that was finished is kept, and the same command \
             goes on from there; please report this message with the command, the config and what \
             `RUST_BACKTRACE=1` adds to it (see SECURITY.md if it came of a file that you do not trust)",
            env!("CARGO_PKG_VERSION")
        );
        // Where even standard error is closed, the exit code says what there is to say.
        let _unread = writeln!(std::io::stderr(), "{message}");
        ExitStatus::InternalError.into()
    })
}

fn remember(panicked: &PanicHookInfo<'_>) {
    let place = panicked.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = match backtrace.status() {
        std::backtrace::BacktraceStatus::Captured => format!("\n{backtrace}"),
        _ => String::new(),
    };
    let thread = std::thread::current().name().map(|name| format!(", thread {name}")).unwrap_or_default();
    let told = format!("{}{place}{thread}{backtrace}", said(panicked.payload()));
    let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    if panics.len() < PANICS_MAX {
        panics.push(told);
    }
}

/// A panic's words, which may repeat what a file said.
fn said(payload: &(dyn Any + Send)) -> String {
    let words = payload.downcast_ref::<&str>().copied();
    let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    visible_paragraph(words.unwrap_or("it panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_anywhere_is_the_exit_code_of_an_internal_error() {
        let exit = |status: ExitStatus| format!("{:?}", ExitCode::from(status));
        let here = catch_defects(|| panic!("index {} is out of range", 3));
        assert_eq!(format!("{here:?}"), exit(ExitStatus::InternalError));
        let elsewhere = catch_defects(|| {
            let thread = std::thread::spawn(|| panic!("in a thread"));
            match thread.join() {
                Err(panicked) => panic::resume_unwind(panicked),
                Ok(()) => ExitStatus::Done.into(),
            }
        });
        assert_eq!(format!("{elsewhere:?}"), exit(ExitStatus::InternalError));
        assert_eq!(format!("{:?}", catch_defects(|| ExitStatus::Done.into())), exit(ExitStatus::Done));
        drop(panic::take_hook());
    }

    #[test]
    fn no_word_of_a_panic_is_obeyed_by_a_terminal() {
        assert!(!said(&"index 3\x1b[2J is out of range").contains('\x1b'));
        assert_eq!(said(&7), "it panicked");
    }
}
