//! A base model as it is named: a folder, or an id of the hub whose folder is downloaded where it is not there.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Console;
use hilora_hub::{Hub, ModelFiles, ModelId};
use hilora_model::{Model, ModelError};
use hilora_run::metrics::Stage;

/// The folder of a model. A folder that exists goes before an id of the same spelling.
pub(super) fn base_folder(named: &Path, hub: &Hub, console: Console) -> Result<PathBuf> {
    folder_with(ModelFiles::All, named, hub, console)
}

/// The folder of a model, in which its weights may be missing.
pub(super) fn base_description(named: &Path, hub: &Hub, console: Console) -> Result<PathBuf> {
    folder_with(ModelFiles::WithoutWeights, named, hub, console)
}

/// Loads a base; where that takes long it is seen.
pub(super) fn loaded(
    console: Console,
    load: impl FnOnce(&mut dyn FnMut(usize, usize)) -> Result<Model, ModelError>,
) -> Result<Model, ModelError> {
    let progress = console.progress();
    let mut stage = progress.late_stage("load the base", "matrices");
    let model = load(&mut |done, total| stage.set(done as u64, total as u64))?;
    stage.finish();
    Ok(model)
}

fn folder_with(files: ModelFiles, named: &Path, hub: &Hub, console: Console) -> Result<PathBuf> {
    const MEBIBYTE: u64 = 1 << 20;
    let id = match named.to_str().and_then(ModelId::parse) {
        Some(id) if !named.exists() => id,
        // What is wrong with a folder is told by those who read it.
        _ => return Ok(named.to_owned()),
    };
    let progress = console.progress();
    let current = RefCell::new(None);
    let folder = hub.folder(&id, files, &|file, done, total| {
        let mut current = current.borrow_mut();
        if current.as_ref().is_none_or(|(name, _)| name != file) {
            let next = (file.to_owned(), progress.stage(file, total / MEBIBYTE, "MiB"));
            current.replace(next).into_iter().for_each(|(_, stage): (String, Stage)| stage.finish());
        }
        if let Some((_, stage)) = &*current {
            stage.set_position(done / MEBIBYTE);
        }
    })?;
    if let Some((_, stage)) = current.into_inner() {
        stage.finish();
    }
    Ok(folder)
}
