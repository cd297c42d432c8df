//! SQLite's thread, which sqlx starts for each connection: its name, and whether it has panicked. The panic of such a
//! thread is not printed: it becomes an error that names the file.

use std::collections::BTreeMap;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};

/// How the threads' names begin.
const PREFIX: &str = "registry-sqlite-";

/// What threads panicked with, by their names.
static PANICS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// The thread of one connection.
pub(crate) struct SqliteThread(String);

impl SqliteThread {
    /// A thread that is still to be started, under a name of its own.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(format!("{PREFIX}{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The name to start it under.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Whether it has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&self.0)
    }

    /// What it panicked with, in one line.
    pub(crate) fn panic(&self) -> Option<String> {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).get(&self.0).cloned()
    }
}

/// From here on panics of SQLite's threads are kept; those of all other threads go where they went before.
pub(crate) fn watch_for_panics() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            let thread = std::thread::current();
            let Some(name) = thread.name().filter(|name| name.starts_with(PREFIX)) else { return others(panicked) };
            let words = panicked.payload_as_str().unwrap_or("no words").replace('\n', " ");
            PANICS.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_insert(words);
        }));
    });
}
