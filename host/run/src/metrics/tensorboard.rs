//! TensorBoard: scalars in an event file that the tensorboard package reads.
//!
//! A file is records one behind another, each a length (u64), the masked CRC-32C of those eight bytes, the event's
//! bytes and their masked CRC-32C, all little-endian. An event is a protobuf message: `wall_time` (field 1, double),
//! `step` (2, varint), `file_version` (3, string, only in the first event) or `summary` (5), which holds values (1) of
//! `tag` (1, string) and `simple_value` (2, float). Those few fields are written by hand here.
//!
//! Opening for a resumed run keeps the events up to the checkpoint's step and cuts the rest, a torn record among them:
//! no step is written twice.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hilora_contract::artifact::{AtomicFile, FileError, open_in_place};

/// One file a run: its name sorts first and has the part that the package looks for.
const FILE: &str = "events.out.tfevents.0000000000.hilora-host";
const FILE_VERSION: &str = "brain.Event:2";
const HEADER_BYTES: usize = 12;
const FOOTER_BYTES: usize = 4;

/// An open event file.
pub struct TensorBoardFile {
    path: PathBuf,
    file: File,
}

impl TensorBoardFile {
    /// Opens the event file of a folder for a run that goes on after `step` (0 for a new run), cutting every later
    /// event.
    pub fn resume_after(folder: &Path, step: u64) -> Result<Self, FileError> {
        let path: PathBuf = folder.join(FILE);
        // Begun first, because it refuses a pipe in the file's place, which reading would wait for.
        let mut anew = AtomicFile::create(&path)?;
        let written = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(FileError::reading(&path, error)),
        };
        let mut kept = record(&event(0, |bytes| string_field(bytes, 3, FILE_VERSION)));
        for event in events(&written).skip(1).take_while(|event| step_of(event).is_some_and(|at| at <= step)) {
            kept.extend(record(event));
        }
        anew.append(&kept)?;
        anew.commit()?;
        let open = open_in_place(&path, OpenOptions::new().append(true));
        let file = open.map_err(|error| FileError::writing(&path, error))?;
        Ok(Self { path, file })
    }

    /// Appends scalars of one step by their tags.
    pub fn append(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), FileError> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut one = Vec::new();
            string_field(&mut one, 1, tag);
            key(&mut one, 2, FIXED_32);
            one.extend((*value as f32).to_le_bytes());
            bytes_field(&mut summary, 1, &one);
        }
        let record = record(&event(step, |bytes| bytes_field(bytes, 5, &summary)));
        self.file.write_all(&record).map_err(|error| FileError::writing(&self.path, error))
    }
}

const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED_32: u8 = 5;

/// An event of this moment with one more field.
fn event(step: u64, field: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut bytes = Vec::new();
    key(&mut bytes, 1, FIXED_64);
    bytes.extend(now.to_le_bytes());
    key(&mut bytes, 2, VARINT);
    varint(&mut bytes, step);
    field(&mut bytes);
    bytes
}

fn key(bytes: &mut Vec<u8>, field: u8, wire_type: u8) {
    bytes.push(field << 3 | wire_type);
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn bytes_field(bytes: &mut Vec<u8>, field: u8, value: &[u8]) {
    key(bytes, field, LENGTH_DELIMITED);
    varint(bytes, value.len() as u64);
    bytes.extend(value);
}

fn string_field(bytes: &mut Vec<u8>, field: u8, value: &str) {
    bytes_field(bytes, field, value.as_bytes());
}

/// The checksum as the format stores it: rotated and shifted, because a checksum of a checksum is weak.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(event.len() + HEADER_BYTES + FOOTER_BYTES);
    bytes.extend(length);
    bytes.extend(masked_crc(&length).to_le_bytes());
    bytes.extend(event);
    bytes.extend(masked_crc(event).to_le_bytes());
    bytes
}

/// The events of a file, up to the first record that is torn or damaged.
fn events(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        if u32::from_le_bytes(*checksum) != masked_crc(length) || rest.len() < size {
            return None;
        }
        let (event, rest) = rest.split_at(size);
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        bytes = rest;
        (u32::from_le_bytes(*checksum) == masked_crc(event)).then_some(event)
    })
}

/// The step of an event that this module wrote: the second field, after nine bytes of the first.
fn step_of(event: &[u8]) -> Option<u64> {
    let rest = event.get(9..)?.strip_prefix(&[2 << 3 | VARINT])?;
    let (mut step, mut shift) = (0, 0);
    for byte in rest {
        step |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(step);
        }
        shift += 7;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_writes_no_step_twice_and_drops_a_torn_record() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut file = TensorBoardFile::resume_after(folder.path(), 0)?;
        for step in [1, 2, 300] {
            file.append(step, &[("train/loss", 1.0 / step as f64)])?;
        }
        let path = folder.path().join(FILE);
        let mut torn = std::fs::read(&path)?;
        let steps = |bytes: &[u8]| -> Vec<u64> { events(bytes).filter_map(step_of).collect() };
        assert_eq!(steps(&torn), [0, 1, 2, 300]);
        torn.truncate(torn.len() - 3);
        std::fs::write(&path, &torn)?;
        assert_eq!(steps(&torn), [0, 1, 2]);
        TensorBoardFile::resume_after(folder.path(), 1)?.append(2, &[("train/loss", 0.5), ("eval/loss", 0.25)])?;
        assert_eq!(steps(&std::fs::read(&path)?), [0, 1, 2]);
        Ok(())
    }

    #[test]
    fn a_pipe_in_its_place_is_refused_and_not_waited_for() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        rustix::fs::mknodat(rustix::fs::CWD, folder.path().join(FILE), rustix::fs::FileType::Fifo, 0o600.into(), 0)?;
        assert!(TensorBoardFile::resume_after(folder.path(), 0).is_err());
        Ok(())
    }

    #[test]
    fn the_checksum_is_that_of_the_published_format() {
        // RFC 3720, B.4: CRC-32C of 32 zero bytes is 0x8a9136aa; the mask is that of TensorFlow's record format.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked_crc(&[0; 32]), 0x8a91_36aau32.rotate_right(15).wrapping_add(0xa282_ead8));
    }
}
