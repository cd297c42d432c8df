//! What a download of the hub tells, file by file, as tasks of an observer.

use std::sync::{Mutex, PoisonError};

use hilora_hub::{HubError, OnBytes};

use super::observer::{RunObserver, Task, TaskProgress};

const MEBIBYTE: u64 = 1 << 20;

/// Downloads, and shows of each file how much of it is there.
pub(crate) fn watched_download<T>(
    observer: &dyn RunObserver,
    download: impl FnOnce(&OnBytes<'_>) -> Result<T, HubError>,
) -> Result<T, HubError> {
    let current: Mutex<Option<(String, Box<dyn TaskProgress>)>> = Mutex::new(None);
    let downloaded = download(&|file, done, total| {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|(name, _)| name != file) {
            let next = (file.to_owned(), observer.begin(Task::counted(file, "MiB", total / MEBIBYTE)));
            if let Some((_, before)) = current.replace(next) {
                before.finish();
            }
        }
        if let Some((_, task)) = &*current {
            task.set_done(done / MEBIBYTE);
        }
    })?;
    if let Some((_, task)) = current.into_inner().unwrap_or_else(PoisonError::into_inner) {
        task.finish();
    }
    Ok(downloaded)
}
