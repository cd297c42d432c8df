//! The tensors of a new safetensors file, each made when its turn comes to be written: only one of them is in memory. A
//! tensor that cannot be made ends the writing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::ModelError;
use super::checkpoint_files::StoredTensor;

/// A header that is longer than this is not read by safetensors.
const HEADER_BYTES_MAX: usize = 100_000_000;

/// A tensor of a new file.
pub(crate) struct NewTensor<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// How many bytes its content has.
    pub(crate) bytes: usize,
    pub(crate) content: Content<'a>,
}

/// Where a tensor's bytes come from.
pub(crate) enum Content<'a> {
    /// Another file, as they stand there.
    Mapped(Bytes),
    /// Memory.
    Made(Vec<u8>),
    /// A computation that runs when they are written.
    Computed(Box<dyn Fn() -> Result<Vec<u8>, ModelError> + 'a>),
}

impl NewTensor<'_> {
    /// The very tensor of another file.
    pub(crate) fn copy_of(tensor: StoredTensor<'_>) -> Self {
        let (dtype, shape) = (tensor.dtype, tensor.shape.to_vec());
        Self { dtype, shape, bytes: tensor.bytes.len(), content: Content::Mapped(tensor.bytes) }
    }
}

/// Writes a safetensors file with Hugging Face's `format=pt`: the bytes that the library's own writer makes. `shown` is the
/// path that errors name.
pub(crate) fn write_tensors(
    path: &Path,
    shown: &Path,
    tensors: BTreeMap<String, NewTensor<'_>>,
) -> Result<(), ModelError> {
    let unserializable = |message: String| ModelError::Unserializable { path: shown.to_owned(), message };
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    // Types of greater alignment come first; within a type names are in order already.
    tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype));
    let mut end = 0;
    let infos = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.bytes;
        let info = TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets: (start, end) };
        (name.clone(), info)
    });
    let format = [("format".to_owned(), "pt".to_owned())].into();
    let metadata = Metadata::new(Some(format), infos.collect()).map_err(|e| unserializable(e.to_string()))?;
    let mut header = serde_json::to_vec(&metadata).map_err(|e| unserializable(e.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() > HEADER_BYTES_MAX {
        return Err(unserializable(format!("its header would have {} bytes", header.len())));
    }
    let unwritable = |error: io::Error| ModelError::writing(shown, error);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(unwritable)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(unwritable)?;
    file.write_all(&header).map_err(unwritable)?;
    for (name, tensor) in &tensors {
        let computed;
        let bytes: &[u8] = match &tensor.content {
            Content::Mapped(bytes) => bytes,
            Content::Made(bytes) => bytes,
            Content::Computed(compute) => {
                computed = compute()?;
                &computed
            }
        };
        if bytes.len() != tensor.bytes {
            let (expected, got) = (tensor.bytes, bytes.len());
            return Err(unserializable(format!("tensor `{name}`: expected {expected} bytes, got {got}")));
        }
        file.write_all(bytes).map_err(unwritable)?;
    }
    file.flush().map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    fn tensor(dtype: Dtype, bytes: Vec<u8>, content: Content<'_>) -> NewTensor<'_> {
        let shape = vec![bytes.len() * 8 / dtype.bitsize()];
        NewTensor { dtype, shape, bytes: bytes.len(), content }
    }

    #[test]
    fn writes_the_bytes_of_the_librarys_writer() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("model.safetensors");
        let parts = [
            ("b", Dtype::U8, vec![7; 3]),
            ("a", Dtype::BF16, vec![1; 4]),
            ("d", Dtype::F32, vec![2; 8]),
            ("c", Dtype::F32, vec![3; 4]),
        ];
        let mut tensors = BTreeMap::new();
        for (name, dtype, bytes) in &parts {
            let content = match *name {
                "a" => Content::Mapped(bytes.clone().into()),
                "b" => Content::Made(bytes.clone()),
                _ => Content::Computed(Box::new(|| Ok(bytes.clone()))),
            };
            tensors.insert((*name).to_owned(), tensor(*dtype, bytes.clone(), content));
        }
        write_tensors(&path, &path, tensors)?;
        let views = parts.iter().map(|(name, dtype, bytes)| {
            TensorView::new(*dtype, vec![bytes.len() * 8 / dtype.bitsize()], bytes).map(|view| (*name, view))
        });
        let format = [("format".to_owned(), "pt".to_owned())].into();
        let expected = safetensors::serialize(views.collect::<Result<Vec<_>, _>>()?, Some(format))?;
        assert_eq!(std::fs::read(&path)?, expected);
        Ok(())
    }

    #[test]
    fn a_tensor_that_cannot_be_made_ends_the_writing() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("model.safetensors");
        let failing = Content::Computed(Box::new(|| Err(ModelError::Defect("not a weight".to_owned()))));
        let after = Content::Computed(Box::new(|| panic!("a tensor is made after one that could not be")));
        let tensors = [
            ("a".to_owned(), tensor(Dtype::F32, vec![0; 4], failing)),
            ("b".to_owned(), tensor(Dtype::F32, vec![0; 4], after)),
        ];
        let error = write_tensors(&path, &path, tensors.into()).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("not a weight"));
        Ok(())
    }
}
