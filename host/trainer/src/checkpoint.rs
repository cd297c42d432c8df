//! Checkpoints: everything a run needs to go on as if it had never stopped.
//!
//! `checkpoints/step-<n>/state.safetensors` holds the trained tensors in f32 and the optimizer's state as it is kept;
//! `state.json` holds the step, what validation has seen, the fingerprint of the run, the hash of the program, the hash of
//! the other file and its own. `state.json` is written last, so a folder without it is an unfinished write and is passed
//! over. A checkpoint that is damaged or of another build of the program is passed over too, with a warning, for the one
//! before it; where there are checkpoints and none can be used, the run is refused, because to begin anew would remove
//! them. The newest and the best are always kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::TrainingError;
use super::learner::Learner;
use super::optimizer::{StateValues, overwrite};
use super::validation::EarlyStopping;
use hilora_contract::artifact::{ContentHash, read_sealed, write_atomic, write_sealed};
use hilora_contract::fault::BadInput;
use hilora_model::ModelError;

const STATE: &str = "state.json";
const TENSORS: &str = "state.safetensors";

/// What `state.json` says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Optimizer steps taken.
    step: usize,
    /// Micro-batches seen.
    micro_batches: u32,
    /// What validation has seen.
    early_stopping: EarlyStopping,
    /// What it belongs to.
    made_by: MadeBy,
    /// Hash of the tensors' file.
    tensors: ContentHash,
}

/// What a checkpoint belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MadeBy {
    /// Hash of everything that decides the run.
    pub(crate) run: ContentHash,
    /// Hash of the program: two builds may add up in another order.
    pub(crate) program: ContentHash,
}

/// Where a run resumed.
pub(crate) struct Resumed {
    /// The step; none if there was no checkpoint.
    pub(crate) step: Option<usize>,
    /// What validation had seen.
    pub(crate) early_stopping: EarlyStopping,
    /// What was wrong with the newer checkpoints that were passed over.
    pub(crate) passed_over: Vec<String>,
}

/// The checkpoints of one run.
pub(crate) struct Checkpoints<'a> {
    folder: &'a Path,
    made_by: MadeBy,
    /// How many are kept.
    limit: usize,
}

fn reading(path: &Path) -> impl Fn(io::Error) -> TrainingError + '_ {
    move |error| ModelError::reading(path, error).into()
}

fn writing(path: &Path) -> impl Fn(io::Error) -> TrainingError + '_ {
    move |error| ModelError::writing(path, error).into()
}

/// Why a checkpoint cannot be used.
enum Unusable {
    /// Its bytes are not those that were written, or another build of the program wrote them.
    PassedOver(String),
    /// It is whole, but nothing can be done with it.
    Error(TrainingError),
}

impl From<TrainingError> for Unusable {
    fn from(error: TrainingError) -> Self {
        Self::Error(error)
    }
}

fn damaged(step: usize, problem: String) -> Unusable {
    Unusable::PassedOver(format!("step-{step:06} is damaged: {problem}"))
}

/// Whether a checkpoint's tensors have the hash that its state tells.
fn check_hash(state: &State, hash: ContentHash) -> Result<(), Unusable> {
    if hash == state.tensors {
        return Ok(());
    }
    let (expected, got) = (state.tensors.short(), hash.short());
    Err(damaged(state.step, format!("{TENSORS}: expected the hash {expected}, got {got}")))
}

impl<'a> Checkpoints<'a> {
    pub(crate) fn new(folder: &'a Path, made_by: MadeBy, limit: usize) -> Self {
        Self { folder, made_by, limit }
    }

    fn path(&self, step: usize) -> PathBuf {
        self.folder.join(format!("step-{step:06}"))
    }

    /// The folders of checkpoints, oldest first, and whether each was written to its end.
    fn list(&self) -> Result<Vec<(usize, bool)>, TrainingError> {
        if !self.folder.try_exists().map_err(reading(self.folder))? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(self.folder).map_err(reading(self.folder))? {
            let name = entry.map_err(reading(self.folder))?.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix("step-")).and_then(|step| step.parse().ok());
            if let Some(step) = step {
                let state = self.path(step).join(STATE);
                found.push((step, state.try_exists().map_err(reading(&state))?));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn remove(&self, step: usize) -> Result<(), TrainingError> {
        let path = self.path(step);
        // Without its state a checkpoint is unfinished, at whatever moment the removal is interrupted.
        match fs::remove_file(path.join(STATE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(writing(&path)(error)),
            _ => {}
        }
        fs::remove_dir_all(&path).map_err(writing(&path))
    }

    /// Saves a learner, and removes the checkpoints that are no longer kept.
    pub(crate) fn save(&self, learner: &Learner, early_stopping: &EarlyStopping) -> Result<(), TrainingError> {
        let step = learner.steps();
        for (of_lost_future, _) in self.list()?.into_iter().filter(|(found, _)| *found >= step) {
            self.remove(of_lost_future)?;
        }
        let path = self.path(step);
        let tensors_path = path.join(TENSORS);
        let tensors = tensors_of(learner, step)?;
        write_atomic(&tensors_path, &tensors).map_err(|e| writing(&tensors_path)(e.error))?;
        let state = State {
            step,
            micro_batches: learner.micro_batches(),
            early_stopping: *early_stopping,
            made_by: self.made_by,
            tensors: ContentHash::of(&tensors),
        };
        let state_path = path.join(STATE);
        write_sealed(&state_path, &state).map_err(|e| writing(&state_path)(e.error))?;
        self.remove_old(early_stopping.best.map(|best| best.step))
    }

    fn remove_old(&self, best: Option<usize>) -> Result<(), TrainingError> {
        let mut finished = self.list()?;
        finished.retain(|(_, finished)| *finished);
        let newest = finished.last().map(|(step, _)| *step);
        let mut surplus = finished.len().saturating_sub(self.limit);
        for (step, _) in finished {
            if surplus > 0 && Some(step) != best && Some(step) != newest {
                self.remove(step)?;
                surplus -= 1;
            }
        }
        Ok(())
    }

    fn refuse(&self, path: &Path, problem: String) -> TrainingError {
        TrainingError::Checkpoint { path: path.to_owned(), problem: BadInput::new(problem) }
    }

    /// Refuses a checkpoint that is in the way of a new beginning.
    fn refuse_to_go_on(&self, path: &Path, problem: String) -> TrainingError {
        let hint = format!("remove {} to begin anew", self.folder.display());
        TrainingError::Checkpoint { path: path.to_owned(), problem: BadInput::with_hint(problem, hint) }
    }

    /// Puts a learner where the newest checkpoint left off that is whole and of this build, and whose best one is, too: at
    /// its end the run takes the weights of that. A checkpoint of another run, one that cannot be read, and none that can be
    /// used among those that are there are errors.
    pub(crate) fn resume(&self, learner: &mut Learner) -> Result<Resumed, TrainingError> {
        let mut passed_over = Vec::new();
        for (step, finished) in self.list()?.into_iter().rev() {
            if !finished {
                self.remove(step)?;
                continue;
            }
            // Nothing is put into the learner before both are known to be whole.
            let read = self.read(step).and_then(|read| match read.0.early_stopping.best {
                Some(best) if best.step != step => self.check(best.step).map(|()| read),
                _ => Ok(read),
            });
            match read {
                Ok((state, tensors)) => {
                    self.read_tensors(&self.path(step).join(TENSORS), &tensors, learner)?;
                    learner.set_progress(state.step, state.micro_batches);
                    return Ok(Resumed { step: Some(state.step), early_stopping: state.early_stopping, passed_over });
                }
                Err(Unusable::PassedOver(problem)) => passed_over.push(problem),
                Err(Unusable::Error(error)) => return Err(error),
            }
        }
        if passed_over.is_empty() {
            return Ok(Resumed { step: None, early_stopping: EarlyStopping::default(), passed_over });
        }
        // Beginning anew, the first save would remove all of them.
        let problem = format!("no checkpoint here can be gone on from: {}", passed_over.join("; "));
        let hint = "go on with the build of this program that wrote them, or move this folder away to begin anew";
        let problem = BadInput::with_hint(problem, hint);
        Err(TrainingError::Checkpoint { path: self.folder.to_owned(), problem })
    }

    /// Gives a learner the weights of one checkpoint, the run's best.
    pub(crate) fn restore_best(&self, step: usize, learner: &mut Learner) -> Result<(), TrainingError> {
        match self.read(step) {
            Ok((_, tensors)) => self.read_tensors(&self.path(step).join(TENSORS), &tensors, learner),
            Err(Unusable::PassedOver(problem)) => {
                Err(self.refuse_to_go_on(&self.path(step), format!("the run's best step: {problem}")))
            }
            Err(Unusable::Error(error)) => Err(error),
        }
    }

    /// A checkpoint's state as it was written, by this build for this run.
    fn read_state(&self, step: usize) -> Result<State, Unusable> {
        let path = self.path(step);
        let state: Option<State> = read_sealed(&path.join(STATE)).map_err(reading(&path.join(STATE)))?;
        let state = state.ok_or_else(|| damaged(step, format!("{STATE} is not what was written")))?;
        if state.step != step {
            return Err(damaged(step, format!("{STATE} is of step {}", state.step)));
        }
        if state.made_by.run != self.made_by.run {
            let (expected, got) = (self.made_by.run.short(), state.made_by.run.short());
            let problem = BadInput::with_hint(
                format!("a checkpoint of another run: expected fingerprint {expected}, got {got}"),
                format!(
                    "the base, the data, the seed or the configuration has changed; remove the folder {} to begin anew",
                    self.folder.display()
                ),
            );
            return Err(TrainingError::Checkpoint { path: path.join(STATE), problem }.into());
        }
        if state.made_by.program != self.made_by.program {
            let (expected, got) = (self.made_by.program.short(), state.made_by.program.short());
            return Err(Unusable::PassedOver(format!(
                "step-{step:06} is of another build of this program, whose steps may differ in their last bits: expected {expected}, \
                 got {got}"
            )));
        }
        Ok(state)
    }

    /// A checkpoint's state and the bytes of its tensors, both as they were written.
    fn read(&self, step: usize) -> Result<(State, Vec<u8>), Unusable> {
        let state = self.read_state(step)?;
        let bytes = fs::read(self.path(step).join(TENSORS)).map_err(|error| self.unread_tensors(step, error))?;
        check_hash(&state, ContentHash::of(&bytes))?;
        Ok((state, bytes))
    }

    /// Whether both are as they were written; the tensors are read in pieces and not kept.
    fn check(&self, step: usize) -> Result<(), Unusable> {
        let state = self.read_state(step)?;
        let hash = ContentHash::of_file(&self.path(step).join(TENSORS));
        check_hash(&state, hash.map_err(|error| self.unread_tensors(step, error))?)
    }

    fn unread_tensors(&self, step: usize, error: io::Error) -> Unusable {
        match error.kind() {
            io::ErrorKind::NotFound => damaged(step, format!("{TENSORS} is missing")),
            _ => Unusable::Error(reading(&self.path(step).join(TENSORS))(error)),
        }
    }

    fn read_tensors(&self, path: &Path, bytes: &[u8], learner: &mut Learner) -> Result<(), TrainingError> {
        let refuse = |problem: String| self.refuse(path, problem);
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| refuse(e.to_string()))?;
        let read = |name: &str| {
            let tensor = tensors.tensor(name).map_err(|e| refuse(e.to_string()))?;
            let data = tensor.data();
            match tensor.dtype() {
                Dtype::U8 => Ok(StateValues::Codes(data.to_vec())),
                _ => Ok(StateValues::Floats(data.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect())),
            }
        };
        for (name, tensor) in learner.trained() {
            match read(&format!("parameter.{name}"))? {
                StateValues::Floats(values) if values.len() == tensor.elem_count() => overwrite(tensor, values)?,
                _ => return Err(refuse(format!("`parameter.{name}`: expected {} values", tensor.elem_count()))),
            }
        }
        learner.optimizer_mut().restore(&read, &refuse)
    }
}

/// The bytes of `state.safetensors`. A parameter that is NaN or infinite is an error: such a checkpoint would be of no use,
/// and would push out one that is.
fn tensors_of(learner: &Learner, step: usize) -> Result<Vec<u8>, TrainingError> {
    let mut tensors = Vec::new();
    for (name, tensor) in learner.trained() {
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            let (what, value) = (format!("a value of `{name}`"), f64::from(*value));
            return Err(TrainingError::NotFinite { step, what, value, samples: Vec::new() });
        }
        tensors.push((format!("parameter.{name}"), StateValues::Floats(values)));
    }
    tensors.extend(learner.optimizer().state()?);
    let data: Vec<(String, Dtype, usize, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, values)| match values {
            StateValues::Codes(codes) => (name, Dtype::U8, codes.len(), codes),
            StateValues::Floats(values) => {
                let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                (name, Dtype::F32, values.len(), bytes)
            }
        })
        .collect();
    let broken = |e: safetensors::SafeTensorError| TrainingError::Defect(format!("a checkpoint's tensors: {e}"));
    let views = data
        .iter()
        .map(|(name, dtype, length, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, vec![*length], bytes).map_err(broken)?))
        })
        .collect::<Result<Vec<_>, TrainingError>>()?;
    safetensors::serialize(views, None).map_err(broken)
}
