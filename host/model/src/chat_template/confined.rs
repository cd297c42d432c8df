//! Confinement: work on what a stranger wrote, on a thread of its own, with a bound of memory and of time.
//!
//! A template of one line can double a text until the machine has no memory left, and its engine counts steps, not
//! bytes. So the allocator counts: what a confined thread allocates and has not freed may not pass a bound. An allocator
//! can neither unwind nor say no without ending the process, so the thread is halted within the allocation, for good, and
//! who waits for it is told. That leaves a thread behind, with what it held; it is meant for a program that ends then.
//!
//! The bound holds in a program whose global allocator is a [`ConfiningAllocator`], as the `hilora-host` binary's is. In
//! any other the bound of time stays.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// What a confined thread may hold, in bytes.
pub(super) const MEMORY_BYTES_MAX: usize = 128 << 20;
/// How long it may take: a rendering takes less than a millisecond.
pub(super) const TIME_MAX: Duration = Duration::from_secs(20);
/// Values that contain each other are let go of in a recursion as deep as the memory allows. Only what is touched is
/// resident.
const STACK_BYTES: usize = 1 << 30;
/// How much of that it may use. A value that contains itself is written out in a recursion without end, which allocates
/// at each level: there the thread is halted before its stack ends, which would end the process.
const STACK_BYTES_MAX: usize = STACK_BYTES / 2;
/// How often it is asked whether the thread was halted.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// No bound: what every other thread has.
const UNBOUNDED: usize = usize::MAX;

thread_local! {
    static BYTES_LEFT: Cell<usize> = const { Cell::new(UNBOUNDED) };
    /// The address that the stack may grow down to.
    static STACK_END: Cell<usize> = const { Cell::new(0) };
    static FLAGS: Cell<*const Flags> = const { Cell::new(ptr::null()) };
}

/// What a confined thread and the one that waits for it tell each other.
#[derive(Default)]
struct Flags {
    /// The thread went beyond its memory and never goes on.
    halted: AtomicBool,
    /// Nobody waits for it any more.
    is_over: AtomicBool,
}

/// Why confined work has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfinementError {
    #[error("it takes more than {MEMORY_BYTES_MAX} bytes of memory")]
    Memory,
    #[error("it takes more than {} s", TIME_MAX.as_secs())]
    Time,
    #[error("it panicked")]
    Panic,
    #[error("no thread can be started for it: {0}")]
    Thread(std::io::Error),
}

/// Does the work on a thread of its own, within the bounds.
pub(super) fn confined<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ConfinementError> {
    let flags = Arc::new(Flags::default());
    let (send, received) = mpsc::sync_channel(1);
    let of_thread = Arc::clone(&flags);
    let spawned = thread::Builder::new().name("confined".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        let done = {
            let _bounds = Bounds::set(&of_thread);
            work()
        };
        // Nobody waits any more if the time was over.
        let _unread = send.send(done);
    });
    spawned.map_err(ConfinementError::Thread)?;
    // Looks are counted, not time: a process that was stopped and goes on has not computed meanwhile.
    let mut looks = 0;
    loop {
        match received.recv_timeout(LOOK_INTERVAL) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Disconnected) => return Err(ConfinementError::Panic),
            Err(RecvTimeoutError::Timeout) if flags.halted.load(Ordering::Acquire) => {
                return Err(ConfinementError::Memory);
            }
            Err(RecvTimeoutError::Timeout) if LOOK_INTERVAL * looks > TIME_MAX => {
                flags.is_over.store(true, Ordering::Release);
                return Err(ConfinementError::Time);
            }
            Err(RecvTimeoutError::Timeout) => looks += 1,
        }
    }
}

/// The bounds of the thread that it was made on, as long as it lives.
struct Bounds<'a>(PhantomData<&'a Flags>);

impl<'a> Bounds<'a> {
    fn set(flags: &'a Flags) -> Self {
        FLAGS.set(flags);
        STACK_END.set(stack_address().saturating_sub(STACK_BYTES_MAX));
        BYTES_LEFT.set(MEMORY_BYTES_MAX);
        Self(PhantomData)
    }
}

impl Drop for Bounds<'_> {
    fn drop(&mut self) {
        BYTES_LEFT.set(UNBOUNDED);
        FLAGS.set(ptr::null());
    }
}

/// An allocator that holds confined threads to their bound of memory. All others get what the inner one gives.
pub struct ConfiningAllocator<A>(pub A);

/// Counts an allocation; does not return if it is beyond the bound of this thread.
fn take(bytes: usize) {
    // Where a thread is at its end it has no such value any more, and nothing of a stranger's runs.
    let fits = BYTES_LEFT.try_with(|left| match left.get() {
        UNBOUNDED => true,
        some => match some.checked_sub(bytes) {
            Some(rest) => {
                left.set(rest);
                stack_address() > STACK_END.get() && !is_over()
            }
            None => false,
        },
    });
    if fits == Ok(false) {
        halt();
    }
}

/// About where the stack ends now.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    ptr::from_ref(std::hint::black_box(&here)).addr()
}

fn give_back(bytes: usize) {
    let _at_its_end = BYTES_LEFT.try_with(|left| match left.get() {
        UNBOUNDED => {}
        // What was allocated before is given back as well; the bound is never passed by it.
        some => left.set(some.saturating_add(bytes).min(MEMORY_BYTES_MAX)),
    });
}

/// What this thread and the one that waits for it tell each other; nothing outside of confinement.
fn flags<'a>() -> Option<&'a Flags> {
    // SAFETY: the pointer is null or was set by the `Bounds` of this thread, which borrows the flags and sets the pointer
    // to null when it is dropped; they are alive, because only while it is does the thread have a bound. The callers use
    // what they get before they return.
    unsafe { FLAGS.get().as_ref() }
}

/// Whether nobody waits for this thread any more.
fn is_over() -> bool {
    flags().is_some_and(|flags| flags.is_over.load(Ordering::Acquire))
}

/// Tells who waits, and never goes on. Nothing here allocates.
fn halt() -> ! {
    if let Some(flags) = flags() {
        flags.halted.store(true, Ordering::Release);
    }
    loop {
        thread::sleep(Duration::from_secs(3_600));
    }
}

// SAFETY: every call is handed on as it is to an allocator that keeps the contract, and what is given back is what that
// one gave. Counting neither allocates nor unwinds; a call that is beyond the bound does not return, which is allowed.
unsafe impl<A: GlobalAlloc> GlobalAlloc for ConfiningAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: as above.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // For a moment both are there.
        take(new_size);
        give_back(layout.size());
        // SAFETY: as above.
        unsafe { self.0.realloc(pointer, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_within_the_bounds_is_done_and_its_result_is_the_callers() {
        let texts = confined(|| (0..100).map(|i| i.to_string().repeat(1_000)).collect::<Vec<String>>());
        assert_eq!(texts.ok().map(|texts| texts.len()), Some(100));
        // What was freed does not count.
        let freed = confined(|| (0..1_000).map(|i| vec![1_u8; 1 << 20][i]).map(usize::from).sum::<usize>());
        assert_eq!(freed.ok(), Some(1_000));
    }

    #[test]
    fn work_that_takes_more_memory_is_halted_and_no_other_thread_is_bounded() {
        let grows = confined(|| {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 20]);
                if kept.len() > 10_000 {
                    return kept.len();
                }
            }
        });
        assert!(matches!(grows, Err(ConfinementError::Memory)), "{grows:?}");
        assert!(matches!(confined(|| vec![0_u8; 1 << 40].len()), Err(ConfinementError::Memory)));
        assert_eq!(vec![1_u8; 2 * MEMORY_BYTES_MAX].len(), 2 * MEMORY_BYTES_MAX);
    }

    #[test]
    fn a_recursion_without_end_is_halted_before_the_stack_is() {
        fn deeper(level: u64) -> u64 {
            let one = std::hint::black_box(Box::new(level));
            if *one == u64::MAX { 0 } else { deeper(*one + 1) + 1 + *one % 2 }
        }
        assert!(matches!(confined(|| deeper(0)), Err(ConfinementError::Memory)));
    }

    #[test]
    fn a_panic_is_an_error() {
        assert!(matches!(confined(|| panic!("in a test")), Err::<(), _>(ConfinementError::Panic)));
    }
}
