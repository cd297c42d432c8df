//! Weights as `torch.save` writes them: a zip archive with a pickle that says which tensor is which part of which storage,
//! and a member for each storage. The pickle is followed, never run (`pickle`).

use std::collections::BTreeMap;
use std::fs::File;

use super::pickle::{self, StorageView, shown};
use super::tensor_place::TensorPlace;
use super::zip_archive::{Member, members};
use hilora_contract::artifact::map_file;

/// The member with the pickle, at the end of its name.
const PICKLE: &str = "/data.pkl";
/// A pickle that is longer is no checkpoint's.
const PICKLE_BYTES_MAX: u64 = 16 << 20;

/// Where the tensors of a file stand; an error says what is wrong with it.
pub(crate) fn places(file: &File, length: u64) -> Result<BTreeMap<String, TensorPlace>, String> {
    let members = members(file, length)?;
    let mut pickles = members.iter().filter(|(name, _)| name.ends_with(PICKLE));
    let (Some((name, member)), None) = (pickles.next(), pickles.next()) else {
        return Err("expected one member `data.pkl` in a folder".to_owned());
    };
    if member.bytes > PICKLE_BYTES_MAX {
        return Err(format!("its pickle has {} bytes, at most {PICKLE_BYTES_MAX} are read", member.bytes));
    }
    let root = name.trim_end_matches(PICKLE);
    if let Some(order) = members.get(&format!("{root}/byteorder"))
        && order.bytes != "little".len() as u64
    {
        return Err("its numbers are not little-endian".to_owned());
    }
    let program = map_file(file, member.start, member.bytes as usize).map_err(|error| error.to_string())?;
    let tensors = pickle::tensors(&program).map_err(|problem| format!("its pickle is refused: {problem}"))?;
    let place = |(name, tensor): (&str, StorageView<'_>)| {
        let storage = members.get(&format!("{root}/data/{}", tensor.storage));
        let place = storage.and_then(|storage| place_of(&tensor, *storage));
        place.map(|place| (name.to_owned(), place)).ok_or_else(|| {
            let (name, storage) = (shown(name), shown(tensor.storage));
            format!("tensor `{name}`: its elements are not all in the storage `{storage}`")
        })
    };
    tensors.into_iter().map(place).collect()
}

fn place_of(tensor: &StorageView<'_>, storage: Member) -> Option<TensorPlace> {
    let element = tensor.dtype.bitsize() / 8;
    let (_, span) = tensor.extent()?;
    if tensor.elements.checked_mul(element)? as u64 > storage.bytes {
        return None;
    }
    Some(TensorPlace {
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
        start: storage.start + (tensor.offset * element) as u64,
        bytes: span * element,
        strides: (!tensor.is_contiguous()).then(|| tensor.strides.clone()),
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use crate::checkpoint_files::CheckpointFiles;
    use crate::{Adapter, ModelError};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// `tests/oracle/pickles.py` made the files with torch.
    fn pickles() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/pickles")
    }

    #[test]
    fn every_kind_of_tensor_is_read_as_torch_saved_it() -> Outcome {
        let expected = CheckpointFiles::open_file(&pickles().join("kinds.safetensors"))?;
        for file in ["kinds.bin", "module.bin"] {
            let got = CheckpointFiles::open_file(&pickles().join(file))?;
            assert!(got.names().count() >= 2);
            for name in got.names() {
                let (tensor, expected) = (got.tensor(name)?, expected.tensor(name)?);
                assert_eq!((tensor.dtype, tensor.shape), (expected.dtype, expected.shape), "{name}");
                assert_eq!(tensor.bytes, expected.bytes, "{name}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_pickled_adapter_is_the_one_in_safetensors() -> Outcome {
        let (pickled, other) = (Adapter::load(&pickles().join("adapter"))?, pickles().join("../qwen2/dora"));
        let other = Adapter::load(&other)?;
        assert_eq!(pickled.config(), other.config());
        let mut count = 0;
        for ((name, got), (expected_name, expected)) in pickled.tensors().zip(other.tensors()) {
            assert_eq!(name, expected_name);
            assert_eq!(got.flatten_all()?.to_vec1::<f32>()?, expected.flatten_all()?.to_vec1::<f32>()?, "{name}");
            count += 1;
        }
        assert_eq!(count, 18);
        Ok(())
    }

    #[test]
    fn a_hostile_or_damaged_pickle_is_one_clear_error() -> Outcome {
        let error =
            |path: &Path| CheckpointFiles::open_file(path).err().map(|error| error.to_string()).unwrap_or_default();
        let said = error(&pickles().join("hostile.bin"));
        let expected = "not weights that torch.save wrote: its pickle is refused: it names `posix.system`";
        assert!(said.contains(expected), "{said}");
        let folder = tempfile::tempdir()?;
        let (path, bytes) = (folder.path().join("damaged.bin"), std::fs::read(pickles().join("kinds.bin"))?);
        for length in (0..bytes.len()).step_by(41).chain([bytes.len() - 1]) {
            std::fs::write(&path, &bytes[..length])?;
            assert!(error(&path).contains("not weights that torch.save wrote"), "{length}");
        }
        // A byte that is another makes an error or a tensor, and nothing worse.
        for at in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, &damaged)?;
            let read = CheckpointFiles::open_file(&path);
            let read = read.and_then(|files| files.names().try_for_each(|name| files.tensor(name).map(|_| ())));
            assert!(matches!(read, Ok(()) | Err(ModelError::Pickle { .. })), "{at}: {read:?}");
        }
        Ok(())
    }
}
