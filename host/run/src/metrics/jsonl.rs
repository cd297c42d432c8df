//! `metrics.jsonl`: one JSON object a line, each with the `step` it belongs to, in rising order.
//!
//! Appending writes each line at once, so a kill tears at most the last one. Opening for a resumed run keeps the lines
//! up to the checkpoint's step and cuts the rest (a torn line among them), atomically: the steps that follow are
//! written once, as if there had been no interruption. A file that is wrong anywhere but in its last line is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use hilora_contract::artifact::{AtomicFile, FileError, open_in_place};
use hilora_contract::fault::{Blame, Fault};

/// An error of a metrics file.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line in the middle cannot be read.
    #[error("{path}, line {line}: expected a JSON object with a `step`, got `{got}`", path = path.display())]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Its beginning.
        got: String,
    },
    /// A record has no step.
    #[error("{path}: a record must be a JSON object with an integer `step`", path = path.display())]
    NoStep {
        /// The file.
        path: PathBuf,
    },
}

impl Fault for MetricsError {
    fn blame(&self) -> Blame {
        match self {
            Self::File(error) => error.blame(),
            Self::BadLine { .. } => Blame::User,
            Self::NoStep { .. } => Blame::Ours,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::BadLine { .. } | Self::NoStep { .. } => Vec::new(),
        }
    }
}

/// An open metrics file.
pub struct MetricsFile {
    path: PathBuf,
    file: File,
}

/// The part of a line that resuming looks at.
#[derive(Deserialize)]
struct Line {
    step: u64,
}

impl MetricsFile {
    /// Opens `path` for a run that goes on after `step` (0 for a new run), cutting every later line.
    pub fn resume_after(path: &Path, step: u64) -> Result<Self, MetricsError> {
        // Begun first, because it refuses a pipe in the file's place, which reading would wait for.
        let mut anew = AtomicFile::create(path)?;
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(FileError::reading(path, error).into()),
        };
        let kept = kept_lines(path, &text, step)?;
        anew.append(kept.as_bytes())?;
        anew.commit()?;
        let open = open_in_place(path, OpenOptions::new().append(true));
        let file = open.map_err(|error| FileError::writing(path, error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a record, which must serialize to an object with an integer `step`.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), MetricsError> {
        let value = serde_json::to_value(record).map_err(|_| MetricsError::NoStep { path: self.path.clone() })?;
        if value.get("step").and_then(serde_json::Value::as_u64).is_none() {
            return Err(MetricsError::NoStep { path: self.path.clone() });
        }
        // The record itself is written, not the value, which would sort its fields.
        let mut line = serde_json::to_vec(record).map_err(|_| MetricsError::NoStep { path: self.path.clone() })?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| FileError::writing(&self.path, error).into())
    }
}

/// The text's lines up to `step`, without a torn last line.
fn kept_lines(path: &Path, text: &str, step: u64) -> Result<String, MetricsError> {
    let mut kept = String::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let torn = !line.ends_with('\n');
        match serde_json::from_str::<Line>(line) {
            _ if torn => break,
            Ok(parsed) if parsed.step > step => break,
            Ok(_) => kept.push_str(line),
            Err(_) => {
                return Err(MetricsError::BadLine {
                    path: path.to_owned(),
                    line: index + 1,
                    got: line.trim_end().chars().take(60).collect(),
                });
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resuming_cuts_what_followed_the_checkpoint() -> Result<(), MetricsError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("metrics.jsonl");
        let mut file = MetricsFile::resume_after(&path, 0)?;
        (1..=5).try_for_each(|step| file.append(&json!({"step": step, "loss": 2.0})))?;
        let mut resumed = MetricsFile::resume_after(&path, 3)?;
        resumed.append(&json!({"step": 4, "loss": 1.0}))?;
        let text = std::fs::read_to_string(&path).expect("the file is there");
        let steps: Vec<u64> =
            text.lines().map(|line| serde_json::from_str::<Line>(line).expect("a whole line").step).collect();
        assert_eq!(steps, [1, 2, 3, 4]);
        assert!(text.ends_with("\"loss\":1.0,\"step\":4}\n"), "{text}");
        Ok(())
    }

    #[test]
    fn a_torn_line_is_cut_and_a_wrong_one_is_refused() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"st")?;
        assert!(MetricsFile::resume_after(&path, 9).is_ok());
        assert_eq!(std::fs::read_to_string(&path)?, "{\"step\":1}\n{\"step\":2}\n");

        std::fs::write(&path, "{\"step\":1}\nnonsense\n{\"step\":2}\n")?;
        let refused = MetricsFile::resume_after(&path, 9).err().expect("a wrong line in the middle is an error");
        assert!(refused.to_string().ends_with("line 2: expected a JSON object with a `step`, got `nonsense`"));
        assert_eq!(std::fs::read_to_string(&path)?, "{\"step\":1}\nnonsense\n{\"step\":2}\n");
        Ok(())
    }

    #[test]
    fn a_pipe_in_its_place_is_refused_and_not_waited_for() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("metrics.jsonl");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0)?;
        assert!(matches!(MetricsFile::resume_after(&path, 0), Err(MetricsError::File(_))));
        Ok(())
    }

    #[test]
    fn a_record_without_a_step_is_refused() -> Result<(), MetricsError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut file = MetricsFile::resume_after(&folder.path().join("metrics.jsonl"), 0)?;
        assert!(matches!(file.append(&json!({"loss": 1.0})), Err(MetricsError::NoStep { .. })));
        Ok(())
    }
}
