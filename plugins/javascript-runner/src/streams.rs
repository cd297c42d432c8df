//! The three standard streams, as programs use them: input is read whole, output is gathered and written in blocks.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write, stderr, stdin, stdout};

/// Bytes of output that wait before they are written.
const BLOCK_BYTES: usize = 1 << 16;

thread_local! {
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static REDIRECTED: Cell<bool> = const { Cell::new(false) };
}

/// What is left of standard input.
pub(crate) fn read() -> Vec<u8> {
    let mut bytes = Vec::new();
    // What cannot be read is not there; the host gives bytes from memory.
    let _ = stdin().lock().read_to_end(&mut bytes);
    bytes
}

/// Writes to standard output (1) or standard error (2).
pub(crate) fn write(stream: i32, bytes: &[u8]) {
    if stream == 2 || REDIRECTED.get() {
        let _ = stderr().write_all(bytes);
        return;
    }
    answer(bytes);
}

/// From now on what a program writes to standard output goes to standard error.
pub(crate) fn redirect() {
    REDIRECTED.set(true);
}

/// Writes to standard output, wherever a program's output goes.
pub(crate) fn answer(bytes: &[u8]) {
    OUTPUT.with_borrow_mut(|output| {
        output.extend_from_slice(bytes);
        if output.len() >= BLOCK_BYTES {
            send(output);
        }
    });
}

/// Writes what waits.
pub(crate) fn flush() {
    OUTPUT.with_borrow_mut(send);
}

/// Where the host takes no more, it ends the run; nothing is left to do here.
fn send(output: &mut Vec<u8>) {
    let mut stdout = stdout().lock();
    let _ = stdout.write_all(output);
    let _ = stdout.flush();
    output.clear();
}
