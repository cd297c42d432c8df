//! A reader of one pickled Python string, protocols 1 to 5. Everything that could make an object, import a module or
//! call a function is refused by its name; nothing is ever executed, because there is nothing here that could.

/// Why a pickle is not one string.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PickleError {
    /// An opcode that does not belong to a pickled string.
    ForbiddenOpcode { name: String, at: usize },
    /// The pickle ends before its end.
    CutOff { at: usize },
    /// A protocol that nobody has defined.
    UnknownProtocol(u8),
    /// It has no string, or several.
    Strings(usize),
    /// Bytes that are not UTF-8, or half of a surrogate pair.
    InvalidUtf8,
    /// Bytes after the end.
    TrailingBytes(usize),
}

impl std::fmt::Display for PickleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ForbiddenOpcode { name, at } => {
                write!(f, "expected a pickled string, got the opcode {name} at byte {at}")
            }
            Self::CutOff { at } => write!(f, "the pickle is cut off after byte {at}"),
            Self::UnknownProtocol(protocol) => {
                write!(f, "expected a pickle of protocol 5 at most, got protocol {protocol}")
            }
            Self::Strings(count) => write!(f, "expected a pickle of one string, got {count} strings"),
            Self::InvalidUtf8 => f.write_str("the pickled string is not UTF-8"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes stand after the end of the pickle"),
        }
    }
}

/// The string of the pickle.
pub(crate) fn read_text(pickle: &[u8]) -> Result<&str, PickleError> {
    let mut pickle = Pickle { bytes: pickle, at: 0 };
    let (mut text, mut strings) = (None, 0);
    loop {
        let at = pickle.at;
        match pickle.take(1)?[0] {
            // PROTO
            0x80 => match pickle.take(1)?[0] {
                0..=5 => {}
                unknown => return Err(PickleError::UnknownProtocol(unknown)),
            },
            // FRAME says how many bytes belong together; they are all here already.
            0x95 => drop(pickle.take(8)?),
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
            opcode @ (0x8c | b'X' | 0x8d) => {
                let length = pickle.length(match opcode {
                    0x8c => 1,
                    b'X' => 4,
                    _ => 8,
                })?;
                text = Some(pickle.take(length)?);
                strings += 1;
            }
            // MEMOIZE, BINPUT, LONG_BINPUT: nothing refers back to a single string.
            0x94 => {}
            b'q' => drop(pickle.take(1)?),
            b'r' => drop(pickle.take(4)?),
            // STOP
            b'.' => break,
            other => return Err(PickleError::ForbiddenOpcode { name: opcode_name(other), at }),
        }
    }
    let trailing = pickle.bytes.len() - pickle.at;
    match text {
        _ if trailing > 0 => Err(PickleError::TrailingBytes(trailing)),
        Some(text) if strings == 1 => std::str::from_utf8(text).map_err(|_| PickleError::InvalidUtf8),
        _ => Err(PickleError::Strings(strings)),
    }
}

struct Pickle<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Pickle<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(PickleError::CutOff { at: self.bytes.len() })?;
        self.at += count;
        Ok(taken)
    }

    /// A length in this many bytes, the lowest first.
    fn length(&mut self, bytes: usize) -> Result<usize, PickleError> {
        let mut wide = [0; 8];
        wide[..bytes].copy_from_slice(self.take(bytes)?);
        // What no memory can hold is certainly not there.
        Ok(usize::try_from(u64::from_le_bytes(wide)).unwrap_or(usize::MAX))
    }
}

fn opcode_name(opcode: u8) -> String {
    let known = FORBIDDEN.iter().find(|(byte, _)| *byte == opcode);
    known.map_or_else(|| format!("0x{opcode:02x}, which no protocol has"), |(_, name)| (*name).to_owned())
}

/// The other opcodes of all protocols, by the names that Python gives them.
#[rustfmt::skip]
const FORBIDDEN: [(u8, &str); 59] = [
    (0x28, "MARK"), (0x29, "EMPTY_TUPLE"), (0x30, "POP"), (0x31, "POP_MARK"),
    (0x32, "DUP"), (0x42, "BINBYTES"), (0x43, "SHORT_BINBYTES"), (0x46, "FLOAT"),
    (0x47, "BINFLOAT"), (0x49, "INT"), (0x4a, "BININT"), (0x4b, "BININT1"),
    (0x4c, "LONG"), (0x4d, "BININT2"), (0x4e, "NONE"), (0x50, "PERSID"),
    (0x51, "BINPERSID"), (0x52, "REDUCE"), (0x53, "STRING"), (0x54, "BINSTRING"),
    (0x55, "SHORT_BINSTRING"), (0x56, "UNICODE"), (0x5d, "EMPTY_LIST"), (0x61, "APPEND"),
    (0x62, "BUILD"), (0x63, "GLOBAL"), (0x64, "DICT"), (0x65, "APPENDS"),
    (0x67, "GET"), (0x68, "BINGET"), (0x69, "INST"), (0x6a, "LONG_BINGET"),
    (0x6c, "LIST"), (0x6f, "OBJ"), (0x70, "PUT"), (0x73, "SETITEM"),
    (0x74, "TUPLE"), (0x75, "SETITEMS"), (0x7d, "EMPTY_DICT"), (0x81, "NEWOBJ"),
    (0x82, "EXT1"), (0x83, "EXT2"), (0x84, "EXT4"), (0x85, "TUPLE1"),
    (0x86, "TUPLE2"), (0x87, "TUPLE3"), (0x88, "NEWTRUE"), (0x89, "NEWFALSE"),
    (0x8a, "LONG1"), (0x8b, "LONG4"), (0x8e, "BINBYTES8"), (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"), (0x91, "FROZENSET"), (0x92, "NEWOBJ_EX"), (0x93, "STACK_GLOBAL"),
    (0x96, "BYTEARRAY8"), (0x97, "NEXT_BUFFER"), (0x98, "READONLY_BUFFER"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_every_protocol_makes_of_a_string() {
        // `pickle.dumps("[]", protocol)` of CPython 3.11 for the protocols 1 to 5.
        for pickle in [
            &b"X\x02\0\0\0[]q\0."[..],
            b"\x80\x02X\x02\0\0\0[]q\0.",
            b"\x80\x03X\x02\0\0\0[]q\0.",
            b"\x80\x04\x95\x06\0\0\0\0\0\0\0\x8c\x02[]\x94.",
            b"\x80\x05\x95\x06\0\0\0\0\0\0\0\x8c\x02[]\x94.",
            b"\x80\x04\x8d\x02\0\0\0\0\0\0\0[]\x94.",
            b"\x80\x02X\x02\0\0\0[]r\0\x01\0\0.",
        ] {
            assert_eq!(read_text(pickle), Ok("[]"), "{pickle:?}");
        }
    }

    #[test]
    fn whatever_could_run_is_refused_by_name() {
        for (pickle, name, at) in [
            (&b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R."[..], "STACK_GLOBAL", 14),
            (b"cos\nsystem\n(S'ls'\ntR.", "GLOBAL", 0),
            (b"\x80\x02]q\0.", "EMPTY_LIST", 2),
            (b"V[]\np0\n.", "UNICODE", 0),
            (b"\x80\x04B\x02\0\0\0[].", "BINBYTES", 2),
            (b"\x80\x04\x8c\x01a\x94h\0.", "BINGET", 6),
            (b"\xff.", "0xff, which no protocol has", 0),
        ] {
            assert_eq!(read_text(pickle), Err(PickleError::ForbiddenOpcode { name: name.to_owned(), at }));
        }
        for opcode in 0..=255_u8 {
            let known = matches!(opcode, 0x80 | 0x95 | 0x8c | b'X' | 0x8d | 0x94 | b'q' | b'r' | b'.');
            let forbidden = matches!(read_text(&[opcode]), Err(PickleError::ForbiddenOpcode { .. }));
            assert_eq!(forbidden, !known, "{opcode:#x}");
        }
    }

    #[test]
    fn a_pickle_that_is_not_one_whole_string_is_refused() {
        for (pickle, error) in [
            (&b""[..], PickleError::CutOff { at: 0 }),
            (b"\x80", PickleError::CutOff { at: 1 }),
            (b"\x80\x04\x8c\x05[]", PickleError::CutOff { at: 6 }),
            (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff[].", PickleError::CutOff { at: 12 }),
            (b"\x80\x06.", PickleError::UnknownProtocol(6)),
            (b"\x80\x04.", PickleError::Strings(0)),
            (b"\x8c\x01a\x8c\x01b.", PickleError::Strings(2)),
            (b"\x8c\x01\xff.", PickleError::InvalidUtf8),
            (b"\x8c\x03\xed\xa0\x80.", PickleError::InvalidUtf8),
            (b"\x8c\x01a..", PickleError::TrailingBytes(1)),
        ] {
            assert_eq!(read_text(pickle), Err(error), "{pickle:?}");
        }
    }
}
