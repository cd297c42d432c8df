//! A folder of output checkers: where the names that problems give are looked for. Each component is opened once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::plugin_host::PluginHost;
use hilora_contract::plugin::{OutputChecker, OutputCheckers, PluginError};

/// The output checkers of a folder, each as `<name>.wasm`.
pub struct CheckerFolder {
    host: PluginHost,
    folder: PathBuf,
    opened: Mutex<BTreeMap<String, Arc<dyn OutputChecker>>>,
}

impl CheckerFolder {
    /// The checkers that lie in this folder when they are asked for.
    pub fn new(host: PluginHost, folder: PathBuf) -> Self {
        Self { host, folder, opened: Mutex::default() }
    }

    /// The components in a folder, whether they are checkers or not.
    pub fn components(folder: &Path) -> Vec<PathBuf> {
        let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "wasm")).collect()
    }
}

impl OutputCheckers for CheckerFolder {
    fn find(&self, name: &str) -> Result<Option<Arc<dyn OutputChecker>>, PluginError> {
        // The lock is held while opening, so that two threads do not compile the same component.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(checker) = opened.get(name) {
            return Ok(Some(checker.clone()));
        }
        let path = self.folder.join(format!("{name}.wasm"));
        if name.contains(['/', '\\']) || !path.is_file() {
            return Ok(None);
        }
        let checker: Arc<dyn OutputChecker> = self.host.checker(&path)?.into();
        opened.insert(name.to_owned(), checker.clone());
        Ok(Some(checker))
    }
}
