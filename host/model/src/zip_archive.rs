//! The members of a zip archive that are stored as they are, by name: where in the file their bytes stand. It is what
//! `torch.save` writes; a member that is compressed or encrypted is refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A directory that is longer is no checkpoint's.
const DIRECTORY_BYTES_MAX: u64 = 64 << 20;
/// The longest end of a directory: its record and a comment.
const END_BYTES_MAX: u64 = 22 + (1 << 16);

const END: [u8; 4] = *b"PK\x05\x06";
const LARGE_END_LOCATOR: [u8; 4] = *b"PK\x06\x07";
const LARGE_END: [u8; 4] = *b"PK\x06\x06";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const MEMBER: [u8; 4] = *b"PK\x03\x04";

/// Where a member's bytes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

/// Little-endian numbers of a record that is long enough, or nothing.
fn number<const N: usize>(record: &[u8], at: usize) -> Option<u64> {
    let bytes: [u8; N] = record.get(at..at.checked_add(N)?)?.try_into().ok()?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn read(file: &File, at: u64, bytes: u64) -> Option<Vec<u8>> {
    let mut record = vec![0; usize::try_from(bytes).ok()?];
    file.read_exact_at(&mut record, at).ok()?;
    Some(record)
}

/// The members of an archive; an error says what is wrong with it.
pub(crate) fn members(file: &File, length: u64) -> Result<BTreeMap<String, Member>, String> {
    let (at, bytes) = directory(file, length).ok_or(
        "it does not end as a zip archive does; torch.save before 1.6 wrote none, and a copy may be cut short",
    )?;
    if bytes > DIRECTORY_BYTES_MAX || at.checked_add(bytes).is_none_or(|end| end > length) {
        return Err(format!("its directory of {bytes} bytes at byte {at} is not within {length} bytes"));
    }
    let directory = read(file, at, bytes).ok_or("its directory cannot be read")?;
    let (mut rest, mut members) = (directory.as_slice(), BTreeMap::new());
    while !rest.is_empty() {
        let entry = Entry::read(rest).ok_or("its directory is damaged")?;
        rest = &rest[entry.bytes..];
        let name = String::from_utf8(entry.name).map_err(|_| "the name of a member is not UTF-8")?;
        if entry.is_encrypted || entry.method != 0 {
            return Err(format!("the member `{name}` is compressed or encrypted; torch.save stores them as they are"));
        }
        let local = read(file, entry.offset, 30).filter(|local| local.starts_with(&MEMBER));
        let start = local.and_then(|local| {
            let names = number::<2>(&local, 26)? + number::<2>(&local, 28)?;
            entry.offset.checked_add(30 + names)
        });
        let start = start.filter(|start| start.checked_add(entry.content).is_some_and(|end| end <= length));
        let start = start.ok_or_else(|| format!("the member `{name}` is not within {length} bytes"))?;
        if members.insert(name.clone(), Member { start, bytes: entry.content }).is_some() {
            return Err(format!("the member `{name}` is there twice"));
        }
    }
    Ok(members)
}

/// Where the directory begins, and its length.
fn directory(file: &File, length: u64) -> Option<(u64, u64)> {
    let tail_at = length.saturating_sub(END_BYTES_MAX);
    let tail = read(file, tail_at, length - tail_at)?;
    // The last record whose comment ends with the file.
    let end = (0..=tail.len().checked_sub(22)?).rev().find(|at| {
        tail[*at..].starts_with(&END)
            && number::<2>(&tail, at + 20).is_some_and(|comment| at + 22 + comment as usize == tail.len())
    })?;
    let (bytes, at) = (number::<4>(&tail, end + 12)?, number::<4>(&tail, end + 16)?);
    let locator = (tail_at + end as u64).checked_sub(20).and_then(|at| read(file, at, 20));
    let Some(locator) = locator.filter(|locator| locator.starts_with(&LARGE_END_LOCATOR)) else {
        return Some((at, bytes));
    };
    let large = read(file, number::<8>(&locator, 8)?, 56).filter(|large| large.starts_with(&LARGE_END))?;
    Some((number::<8>(&large, 48)?, number::<8>(&large, 40)?))
}

/// An entry of the directory.
struct Entry {
    name: Vec<u8>,
    method: u64,
    is_encrypted: bool,
    content: u64,
    /// Where the member's own header stands.
    offset: u64,
    /// What the entry itself takes.
    bytes: usize,
}

impl Entry {
    fn read(record: &[u8]) -> Option<Self> {
        let header = record.get(..46).filter(|header| header.starts_with(&ENTRY))?;
        let lengths = [28, 30, 32].map(|at| number::<2>(header, at).unwrap_or(0) as usize);
        let bytes = 46 + lengths.iter().sum::<usize>();
        let (name, extra) = record.get(46..bytes)?.split_at(lengths[0]);
        let mut sizes = [number::<4>(header, 24)?, number::<4>(header, 20)?, number::<4>(header, 42)?];
        // What is too large for 32 bits stands behind the name, in this order.
        let mut large = Self::large(&extra[..lengths[1]]).unwrap_or_default();
        for size in sizes.iter_mut().filter(|size| **size == u64::from(u32::MAX)) {
            *size = number::<8>(large, 0)?;
            large = &large[8..];
        }
        Some(Self {
            name: name.to_vec(),
            method: number::<2>(header, 10)?,
            is_encrypted: number::<2>(header, 8)? & 1 != 0,
            content: sizes[0],
            offset: sizes[2],
            bytes,
        })
    }

    /// The extra field of large sizes.
    fn large(mut extra: &[u8]) -> Option<&[u8]> {
        loop {
            let (kind, bytes) = (number::<2>(extra, 0)?, number::<2>(extra, 2)? as usize);
            let content = extra.get(4..4 + bytes)?;
            if kind == 1 {
                return Some(content);
            }
            extra = &extra[4 + bytes..];
        }
    }
}
