//! A checkpoint: everything a run needs to go on as if it had never stopped.
//!
//! `checkpoints/step-<n>/state.safetensors` holds the trained tensors and both moments in f32; `state.json` holds the
//! step, the fingerprint of the run and the hash of the other file. `state.json` is written last, so a folder without
//! it is an unfinished write and is passed over. The two newest checkpoints are kept.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::TrainingError;
use super::learner::{Learner, overwrite};
use crate::artifact::{ContentHash, write_atomic};
use crate::model::{CheckpointFiles, ModelError, NamedFloats, write_floats};

const STATE: &str = "state.json";
const TENSORS: &str = "state.safetensors";
const KEPT: usize = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Optimizer steps taken.
    step: usize,
    /// Micro-batches seen.
    micro_batches: u32,
    /// Hash of everything that decides the run.
    run: ContentHash,
    /// Hash of the tensors' file.
    tensors: ContentHash,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> TrainingError + '_ {
    move |e| TrainingError::Model(ModelError::File { path: path.to_owned(), source: e })
}

/// The finished checkpoints of a folder, oldest first.
fn finished(folder: &Path) -> Result<Vec<(usize, PathBuf)>, TrainingError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let step = name.strip_prefix("step-").and_then(|step| step.parse().ok());
        if let Some(step) = step.filter(|_| path.join(STATE).exists()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Saves a learner and removes all but the newest checkpoints.
pub(crate) fn save(folder: &Path, learner: &Learner, run: ContentHash) -> Result<(), TrainingError> {
    let path = folder.join(format!("step-{:06}", learner.steps()));
    let [first, second] = learner.moments();
    let mut tensors = Vec::new();
    for (kind, list) in [("parameter", learner.trained()), ("first_moment", first), ("second_moment", second)] {
        for (name, tensor) in list {
            let values = tensor.flatten_all()?.to_vec1()?;
            tensors.push(NamedFloats { name: format!("{kind}.{name}"), shape: tensor.dims().to_vec(), values });
        }
    }
    let tensors_path = path.join(TENSORS);
    write_floats(&tensors_path, &tensors, Dtype::F32)?;
    let state = State {
        step: learner.steps(),
        micro_batches: learner.micro_batches(),
        run,
        tensors: ContentHash::of_file(&tensors_path).map_err(io(&tensors_path))?,
    };
    let state_path = path.join(STATE);
    let text = serde_json::to_vec_pretty(&state).map_err(|e| damaged(&state_path, e.to_string()))?;
    write_atomic(&state_path, &text).map_err(io(&state_path))?;
    let old = finished(folder)?;
    for (_, path) in &old[..old.len().saturating_sub(KEPT)] {
        fs::remove_dir_all(path).map_err(io(path))?;
    }
    Ok(())
}

fn damaged(path: &Path, problem: String) -> TrainingError {
    TrainingError::Checkpoint { path: path.to_owned(), problem }
}

/// Puts a learner where the newest checkpoint left off; returns its step. A checkpoint of another run is an error.
pub(crate) fn resume(folder: &Path, learner: &mut Learner, run: ContentHash) -> Result<Option<usize>, TrainingError> {
    let Some((_, path)) = finished(folder)?.pop() else { return Ok(None) };
    let state_path = path.join(STATE);
    let text = fs::read_to_string(&state_path).map_err(io(&state_path))?;
    let state: State = serde_json::from_str(&text).map_err(|e| damaged(&state_path, e.to_string()))?;
    if state.run != run {
        let problem = format!(
            "a checkpoint of another run: expected fingerprint {}, got {}\nhint: the base, the data, the seed or the \
             configuration has changed; remove the folder {} to begin anew",
            run.short(),
            state.run.short(),
            folder.display()
        );
        return Err(damaged(&state_path, problem));
    }
    let tensors_path = path.join(TENSORS);
    let hash = ContentHash::of_file(&tensors_path).map_err(io(&tensors_path))?;
    if hash != state.tensors {
        let problem = format!(
            "damaged: expected the hash {}, got {}\nhint: remove {} to resume from the checkpoint before it",
            state.tensors.short(),
            hash.short(),
            path.display()
        );
        return Err(damaged(&tensors_path, problem));
    }
    let files = CheckpointFiles::open_file(&tensors_path)?;
    let [first, second] = learner.moments();
    for (kind, list) in [("parameter", learner.trained()), ("first_moment", first), ("second_moment", second)] {
        for (name, tensor) in list {
            let values =
                files.floats(&format!("{kind}.{name}"), tensor.dims(), "the checkpoint is of another model")?;
            overwrite(tensor, values)?;
        }
    }
    learner.set_progress(state.step, state.micro_batches);
    Ok(Some(state.step))
}
