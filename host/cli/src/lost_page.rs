//! A lost page: memory that stands for a part of a file which is no longer there. Bases, adapters and datasets are mapped;
//! where somebody cuts such a file or the disk cannot read it, the kernel answers the next look at it with SIGBUS.
//!
//! There is no way to go on: the number that was to be read does not exist. So the process says so in one message and ends
//! with the exit code of a failed machine. Nothing half-written stays behind, because every write is atomic.

use std::os::fd::AsFd;

use signal_hook::consts::SIGBUS;
use signal_hook::low_level;

use super::failure::{ExitStatus, Result, StreamError};

const MESSAGE: &[u8] =
    b"error: a file that is in use was cut, or its disk cannot read it any more (SIGBUS): weights and \
datasets are mapped into memory, and a page of one is gone\n\
hint: leave a base as it is while it is used, or replace its files by renaming; run this again, what was saved before \
stands\n";

/// From here on a lost page ends the process with a message.
pub(crate) fn watch_for_lost_pages() -> Result<()> {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().map_err(StreamError::Signals)?;
    let action = move || {
        let _unread = rustix::io::write(&stderr, MESSAGE);
        low_level::exit(ExitStatus::InternalError.code().into());
    };
    // SAFETY: the action runs in a signal handler, where only what POSIX calls async-signal-safe may be done. It makes two
    // system calls, `write` and `_exit`, on a descriptor that it owns and a constant: it takes no lock, allocates nothing
    // and cannot panic.
    let registered = unsafe { low_level::register(SIGBUS, action) };
    registered.map_err(StreamError::Signals)?;
    Ok(())
}
