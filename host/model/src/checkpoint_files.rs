//! The safetensors files of a checkpoint: one file, or shards behind `model.safetensors.index.json`. An adapter's file may
//! be a pickle (`pickled_weights`).
//!
//! A file is opened by its header; tensors are mapped one at a time, so that a checkpoint is never in memory twice.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::tensor_place::TensorPlace;
use super::wrapper::text_name;
use super::{ModelError, pickled_weights};
use hilora_contract::artifact::{FileStamp, map_file};
use hilora_kernels::float8::Float8;

pub(crate) const NOT_THIS_CONFIG: &str = "does config.json belong to this checkpoint?";
pub(crate) const NOT_THIS_GROUP: &str = "does quantization_config.group_size belong to this checkpoint?";
/// Names the shard of every tensor.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// How the name of a pickle ends.
const PICKLED_ENDING: &str = "bin";
/// The files of a base that was pickled.
const PICKLED_BASES: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];

/// One file.
struct OpenFile {
    path: PathBuf,
    file: File,
    /// What the file system said of it before it was opened.
    stamp: FileStamp,
    tensors: BTreeMap<String, TensorPlace>,
}

impl OpenFile {
    fn open(path: &Path) -> Result<Self, ModelError> {
        let io = |e| ModelError::reading(path, e);
        let stamp = FileStamp::of(path).map_err(io)?;
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let tensors = if path.extension().is_some_and(|ending| ending == PICKLED_ENDING) {
            pickled_weights::places(&file, length)
                .map_err(|message| ModelError::Pickle { path: path.to_owned(), message })?
        } else {
            Self::safetensors(path, &mut file, length)?
        };
        Ok(Self { path: path.to_owned(), file, stamp, tensors })
    }

    fn safetensors(path: &Path, file: &mut File, length: u64) -> Result<BTreeMap<String, TensorPlace>, ModelError> {
        let io = |e| ModelError::reading(path, e);
        let broken = |message: String| ModelError::Safetensors { path: path.to_owned(), message };
        let mut size = [0; 8];
        file.read_exact(&mut size)
            .map_err(|_| broken(format!("{length} bytes are fewer than its header's length takes")))?;
        let header_end = u64::from_le_bytes(size).saturating_add(8);
        if header_end > length {
            return Err(broken(format!("its header ends at byte {header_end}, but the file has {length} bytes")));
        }
        let mut header = Vec::new();
        (&*file).take(header_end - 8).read_to_end(&mut header).map_err(io)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|e| broken(format!("its header is not one: {e}")))?;
        for (name, info) in metadata.tensors() {
            // Deserializing checks the order of the tensors, not that their bytes fit their shapes.
            let (start, end) = info.data_offsets;
            let bits = info.shape.iter().try_fold(info.dtype.bitsize(), |bits, size| bits.checked_mul(*size));
            if end < start || bits != (end - start).checked_mul(8) {
                return Err(broken(format!(
                    "tensor `{name}`: its bytes {start}..{end} do not fit its shape {:?}",
                    info.shape
                )));
            }
        }
        let expected = header_end + metadata.data_len() as u64;
        if expected != length {
            return Err(broken(format!("expected {expected} bytes, got {length}")));
        }
        let place = |(name, info): (String, &TensorInfo)| {
            let (start, end) = info.data_offsets;
            let (start, bytes, shape) = (header_end + start as u64, end - start, info.shape.clone());
            (name, TensorPlace { dtype: info.dtype, shape, start, bytes, strides: None })
        };
        Ok(metadata.tensors().into_iter().map(place).collect())
    }

    fn map(&self, place: &TensorPlace) -> Result<Bytes, ModelError> {
        let bytes = map_file(&self.file, place.start, place.bytes).map_err(|e| ModelError::reading(&self.path, e))?;
        Ok(match &place.strides {
            None => bytes,
            Some(strides) => place.gathered(&bytes, strides).into(),
        })
    }
}

/// One tensor of a checkpoint, its bytes mapped.
pub(crate) struct StoredTensor<'a> {
    path: &'a Path,
    pub(crate) name: &'a str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'a [usize],
    pub(crate) bytes: Bytes,
}

impl<'a> StoredTensor<'a> {
    /// The same if the shape is the expected one.
    pub(crate) fn of_shape(self, expected: &[usize], hint: &'static str) -> Result<Self, ModelError> {
        if self.shape == expected {
            return Ok(self);
        }
        Err(ModelError::Shape {
            path: self.path.to_owned(),
            tensor: self.name.to_owned(),
            expected: expected.to_vec(),
            got: self.shape.to_vec(),
            hint,
        })
    }

    /// The same if the type is the expected one.
    pub(crate) fn of_type(self, dtype: Dtype, expected: &'static str) -> Result<Self, ModelError> {
        if self.dtype == dtype { Ok(self) } else { Err(self.wrong_type(expected)) }
    }

    /// An error about its type.
    pub(crate) fn wrong_type(&self, expected: &'static str) -> ModelError {
        ModelError::Type {
            path: self.path.to_owned(),
            tensor: self.name.to_owned(),
            expected,
            got: format!("{:?}", self.dtype),
        }
    }

    /// An error about what this tensor holds.
    pub(crate) fn wrong(&self, message: &str) -> ModelError {
        ModelError::config(self.path, format!("tensor `{}`: {message}", self.name))
    }

    /// Its values, which must be floats, to be widened as they are read.
    pub(crate) fn floats(&self) -> Result<StoredFloats<'_>, ModelError> {
        Ok(match self.dtype {
            Dtype::F32 => StoredFloats::F32(self.bytes.as_chunks().0),
            Dtype::BF16 => StoredFloats::Bf16(self.bytes.as_chunks().0),
            Dtype::F16 => StoredFloats::F16(self.bytes.as_chunks().0),
            Dtype::F8_E4M3 => StoredFloats::Float8(Float8::E4m3, &self.bytes),
            Dtype::F8_E5M2 => StoredFloats::Float8(Float8::E5m2, &self.bytes),
            _ => return Err(self.wrong_type("F32, BF16 or F16")),
        })
    }
}

/// Floats as they stand in a file, little-endian.
#[derive(Clone, Copy)]
pub(crate) enum StoredFloats<'a> {
    F32(&'a [[u8; 4]]),
    Bf16(&'a [[u8; 2]]),
    F16(&'a [[u8; 2]]),
    Float8(Float8, &'a [u8]),
}

impl StoredFloats<'_> {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) | Self::F16(values) => values.len(),
            Self::Float8(_, values) => values.len(),
        }
    }

    /// Widens the values from `start` on, as many as the target holds.
    pub(crate) fn read(&self, start: usize, target: &mut [f32]) {
        let range = start..start + target.len();
        match self {
            Self::F32(values) => widen(&values[range], target, f32::from_le_bytes),
            Self::Bf16(values) => widen(&values[range], target, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::F16(values) => widen(&values[range], target, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::Float8(format, values) => {
                target.iter_mut().zip(&values[range]).for_each(|(target, code)| *target = format.widen(*code));
            }
        }
    }

    /// Whether both hold the same numbers; one that is not a number equals itself.
    pub(crate) fn equal(self, other: StoredFloats<'_>) -> bool {
        const STRIP: usize = 1 << 12;
        let strips = self.len().div_ceil(STRIP);
        let equal = |strip: usize| {
            let (start, mut ours, mut theirs) = (strip * STRIP, [0.0f32; STRIP], [0.0f32; STRIP]);
            let length = STRIP.min(self.len() - start);
            self.read(start, &mut ours[..length]);
            other.read(start, &mut theirs[..length]);
            ours.iter().zip(&theirs).all(|(ours, theirs)| ours == theirs || (ours.is_nan() && theirs.is_nan()))
        };
        self.len() == other.len() && (0..strips).into_par_iter().all(equal)
    }

    /// All values, widened.
    pub(crate) fn to_vec(self) -> Vec<f32> {
        const STRIP: usize = 1 << 16;
        let mut values = vec![0.0; self.len()];
        values.par_chunks_mut(STRIP).enumerate().for_each(|(strip, target)| self.read(strip * STRIP, target));
        values
    }
}

fn widen<const N: usize>(values: &[[u8; N]], target: &mut [f32], widen: impl Fn([u8; N]) -> f32) {
    for (target, bytes) in target.iter_mut().zip(values) {
        *target = widen(*bytes);
    }
}

/// All tensors of a checkpoint by name.
pub(crate) struct CheckpointFiles {
    /// What errors about missing tensors name.
    path: PathBuf,
    files: Vec<OpenFile>,
    file_of: BTreeMap<String, usize>,
    /// The stored names of a wrapper's text model, by its own.
    stored_names: BTreeMap<String, String>,
}

impl CheckpointFiles {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    pub(crate) fn open_model(folder: &Path) -> Result<Self, ModelError> {
        let index = folder.join(INDEX);
        if !Self::is_sharded(folder) {
            let pickled = PICKLED_BASES.map(|name| folder.join(name)).into_iter().find(|path| path.exists());
            if let Some(path) = pickled.filter(|_| !folder.join("model.safetensors").exists()) {
                return Err(ModelError::config_with_hint(
                    &path,
                    "expected the weights of a base in model.safetensors, got a pickle; only an adapter's is read",
                    "load it with transformers and write it with `save_pretrained`, which makes safetensors of it",
                ));
            }
            return Self::open_files(folder.join("model.safetensors"), vec![folder.join("model.safetensors")]);
        }
        let text = std::fs::read_to_string(&index).map_err(|e| ModelError::reading(&index, e))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| ModelError::config(&index, format!("not valid JSON: {e}")))?;
        let map = value.get("weight_map").and_then(|map| map.as_object());
        let map = map.ok_or_else(|| ModelError::config(&index, "weight_map: expected an object, got none"))?;
        let mut names: Vec<&str> = map.values().filter_map(|name| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if let Some(name) = names.iter().find(|name| name.contains(['/', '\\'])) {
            return Err(ModelError::config(
                &index,
                format!("weight_map: expected file names of this folder, got `{name}`"),
            ));
        }
        Self::open_files(index.clone(), names.iter().map(|name| folder.join(name)).collect())
    }

    /// Whether a folder's checkpoint has an index.
    pub(crate) fn is_sharded(folder: &Path) -> bool {
        folder.join(INDEX).exists()
    }

    /// Opens one file.
    pub(crate) fn open_file(path: &Path) -> Result<Self, ModelError> {
        Self::open_files(path.to_owned(), vec![path.to_owned()])
    }

    fn open_files(path: PathBuf, paths: Vec<PathBuf>) -> Result<Self, ModelError> {
        let open = |shard: &PathBuf| {
            if *shard != path && !shard.exists() {
                return Err(ModelError::MissingShard { path: path.clone(), shard: shard.clone() });
            }
            OpenFile::open(shard)
        };
        let files = paths.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut file_of = BTreeMap::new();
        for (i, file) in files.iter().enumerate() {
            file_of.extend(file.tensors.keys().map(|name| (name.clone(), i)));
        }
        Ok(Self { path, files, file_of, stored_names: BTreeMap::new() })
    }

    /// The same, whose tensors of a text model are also found by the names that they would have by themselves.
    pub(crate) fn of_wrapper(mut self) -> Self {
        self.stored_names =
            self.file_of.keys().filter_map(|stored| Some((text_name(stored)?, stored.clone()))).collect();
        self
    }

    /// The name by which a tensor is stored, or would be.
    pub(crate) fn stored_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.stored_names.get(name).map_or(name, String::as_str)
    }

    /// The name that a stored tensor would have in a text model by itself.
    pub(crate) fn own_name<'a>(&self, stored: &'a str) -> Cow<'a, str> {
        match text_name(stored) {
            Some(own) if self.stored_names.contains_key(&own) => own.into(),
            _ => stored.into(),
        }
    }

    /// Refuses to go on if one of the files was changed since it was opened: their bytes are mapped.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        self.files.iter().try_for_each(|file| ModelError::of_change(&file.stamp))
    }

    /// Whether a tensor is there.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.file_of.contains_key(self.stored_name(name))
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.file_of.keys().map(String::as_str)
    }

    /// A tensor's shape.
    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>, ModelError> {
        Ok(self.find(name)?.1.shape.clone())
    }

    /// The size of a tensor in bytes.
    pub(crate) fn byte_count(&self, name: &str) -> Result<u64, ModelError> {
        Ok(self.find(name)?.1.bytes as u64)
    }

    fn find(&self, name: &str) -> Result<(&OpenFile, &TensorPlace), ModelError> {
        let name = self.stored_name(name);
        let missing = || ModelError::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let file = &self.files[*self.file_of.get(name).ok_or_else(missing)?];
        Ok((file, file.tensors.get(name).ok_or_else(missing)?))
    }

    /// A tensor, mapped.
    pub(crate) fn tensor<'a>(&'a self, name: &'a str) -> Result<StoredTensor<'a>, ModelError> {
        let name = self.stored_name(name);
        let (file, place) = self.find(name)?;
        Ok(StoredTensor { path: &file.path, name, dtype: place.dtype, shape: &place.shape, bytes: file.map(place)? })
    }

    /// A tensor of floats, widened to f32, whose shape must be the expected one.
    pub(crate) fn floats(&self, name: &str, expected: &[usize], hint: &'static str) -> Result<Vec<f32>, ModelError> {
        Ok(self.tensor(name)?.of_shape(expected, hint)?.floats()?.to_vec())
    }

    /// A tensor of i64.
    pub(crate) fn integers(&self, name: &str) -> Result<Vec<i64>, ModelError> {
        let tensor = self.tensor(name)?.of_type(Dtype::I64, "I64")?;
        Ok(tensor.bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
    }

    /// The files' paths, each with the names of its tensors.
    pub(crate) fn shards(&self) -> impl Iterator<Item = (&Path, Vec<&str>)> {
        self.files.iter().enumerate().map(|(index, file)| {
            let names = self.file_of.iter().filter(move |(_, of)| **of == index).map(|(name, _)| name.as_str());
            (file.path.as_path(), names.collect())
        })
    }
}

/// A tensor to write.
pub(crate) struct NamedFloats {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// Writes a safetensors file atomically, in f32 or bf16, with Hugging Face's `format=pt`.
pub(crate) fn write_floats(path: &Path, tensors: &[NamedFloats], dtype: Dtype) -> Result<(), ModelError> {
    write_each(path, tensors.iter().map(|tensor| (tensor, dtype)))
}

/// The same with a type for each tensor.
pub(crate) fn write_floats_of(path: &Path, tensors: &[(NamedFloats, Dtype)]) -> Result<(), ModelError> {
    write_each(path, tensors.iter().map(|(tensor, dtype)| (tensor, *dtype)))
}

fn write_each<'a>(path: &Path, tensors: impl Iterator<Item = (&'a NamedFloats, Dtype)>) -> Result<(), ModelError> {
    let narrowed = |(tensor, dtype): (&'a NamedFloats, Dtype)| {
        let values = tensor.values.iter();
        match dtype {
            Dtype::BF16 => (tensor, dtype, values.flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect::<Vec<u8>>()),
            Dtype::F16 => (tensor, dtype, values.flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()),
            _ => (tensor, Dtype::F32, values.flat_map(|x| x.to_le_bytes()).collect()),
        }
    };
    let data: Vec<_> = tensors.map(narrowed).collect();
    let broken =
        |e: safetensors::SafeTensorError| ModelError::Unserializable { path: path.to_owned(), message: e.to_string() };
    let views = data
        .iter()
        .map(|(tensor, dtype, data)| {
            let view = safetensors::tensor::TensorView::new(*dtype, tensor.shape.clone(), data).map_err(broken)?;
            Ok((tensor.name.as_str(), view))
        })
        .collect::<Result<Vec<_>, ModelError>>()?;
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(broken)?;
    hilora_contract::artifact::write_atomic(path, &bytes).map_err(|e| ModelError::writing(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilora_contract::fault::{Blame, Fault};

    fn file(folder: &Path) -> Result<PathBuf, ModelError> {
        let path = folder.join("model.safetensors");
        let tensor =
            NamedFloats { name: "w".to_owned(), shape: vec![2, 3], values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.5] };
        write_floats(&path, &[tensor], Dtype::BF16)?;
        Ok(path)
    }

    #[test]
    fn reads_back_what_it_wrote() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        file(folder.path())?;
        let files = CheckpointFiles::open_model(folder.path())?;
        assert_eq!(files.floats("w", &[2, 3], "")?, [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]);
        let error = files.floats("w", &[3, 2], "x").unwrap_err();
        assert!(error.to_string().ends_with("tensor `w`: expected shape [3, 2], got [2, 3]"), "{error}");
        assert_eq!((error.blame(), error.hints()), (Blame::User, vec!["x".to_owned()]));
        let error = files.floats("v", &[1], "").unwrap_err().to_string();
        assert!(error.contains("the tensor `v` is missing"), "{error}");
        Ok(())
    }

    #[test]
    fn refuses_a_truncated_file() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = file(folder.path())?;
        let bytes = std::fs::read(&path)?;
        for length in [0, 5, 40, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length])?;
            let error = CheckpointFiles::open_file(&path).err().ok_or("a truncated file was opened")?.to_string();
            assert!(error.contains("not a readable safetensors file"), "{error}");
        }
        Ok(())
    }
}
