//! What `torch.save` makes of a dictionary of tensors: a program for a stack machine. Nothing of it is run. The few steps
//! that make tensors are followed, and what they name must be one of a short list; every other step and every other name is
//! refused.
//!
//! Values are shared, not copied, a tuple holds few others inside each other, and of a dictionary only the tensors are
//! kept: so what is made is never more than the program is long.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use safetensors::Dtype;

/// A tensor as a part of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StorageView<'p> {
    /// The name of its storage in the archive.
    pub(crate) storage: &'p str,
    /// Elements of the storage.
    pub(crate) elements: usize,
    pub(crate) dtype: Dtype,
    /// The first element.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    /// Elements from one place of an axis to the next.
    pub(crate) strides: Vec<usize>,
}

/// Values on the stack at once: a batch of a dictionary's entries is two thousand.
const STACK_MAX: usize = 1 << 16;
/// Values that it remembers: about ten for each tensor.
const MEMO_MAX: usize = 1 << 20;
/// Tuples inside each other.
const DEPTH_MAX: usize = 8;
/// Axes of a tensor.
const AXES_MAX: usize = 16;

/// Storages of torch by the type of their elements.
const STORAGES: [(&str, Dtype); 10] = [
    ("FloatStorage", Dtype::F32),
    ("HalfStorage", Dtype::F16),
    ("BFloat16Storage", Dtype::BF16),
    ("DoubleStorage", Dtype::F64),
    ("ByteStorage", Dtype::U8),
    ("CharStorage", Dtype::I8),
    ("ShortStorage", Dtype::I16),
    ("IntStorage", Dtype::I32),
    ("LongStorage", Dtype::I64),
    ("BoolStorage", Dtype::BOOL),
];

/// What a program may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    fn named(module: &str, name: &str) -> Result<Self, String> {
        let storage = || STORAGES.iter().find(|(storage, _)| module == "torch" && *storage == name);
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Ok(Self::RebuildParameter),
            _ => storage().map(|(_, dtype)| Self::Storage(*dtype)).ok_or_else(|| {
                format!("it names `{}.{}`, which is none of what makes tensors", shown(module), shown(name))
            }),
        }
    }
}

/// A name of a file's, in a line of an error.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[derive(Debug, Clone)]
enum Value<'p> {
    /// What no tensor is made of.
    Nothing,
    Number(i64),
    Text(&'p str),
    Global(Global),
    Tuple(Rc<Tuple<'p>>),
    /// A dictionary by its number.
    Dict(usize),
    Storage(Rc<StorageView<'p>>),
    Tensor(Rc<StorageView<'p>>),
}

#[derive(Debug)]
struct Tuple<'p> {
    values: Vec<Value<'p>>,
    depth: usize,
}

/// The tensors of a dictionary; `None` is an entry that is none.
type Dict<'p> = BTreeMap<&'p str, Option<Rc<StorageView<'p>>>>;

/// The machine.
struct Machine<'p> {
    program: &'p [u8],
    stack: Vec<Value<'p>>,
    /// Where in the stack lists of values begin.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'p>>,
    dicts: Vec<Dict<'p>>,
}

/// The tensors of the dictionary that a program makes; an error says what is wrong with it.
pub(crate) fn tensors(program: &[u8]) -> Result<BTreeMap<&str, StorageView<'_>>, String> {
    let mut machine =
        Machine { program, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), dicts: Vec::new() };
    while !machine.step()? {}
    let Some(Value::Dict(dict)) = machine.stack.pop() else {
        return Err("it makes no dictionary of tensors".to_owned());
    };
    let entries = std::mem::take(&mut machine.dicts[dict]).into_iter();
    entries
        .map(|(name, tensor)| match tensor {
            Some(tensor) => Ok((name, StorageView::clone(&tensor))),
            None => Err(format!("its entry `{}` is no tensor", shown(name))),
        })
        .collect()
}

impl<'p> Machine<'p> {
    fn take(&mut self, bytes: usize) -> Result<&'p [u8], String> {
        let (taken, rest) = self.program.split_at_checked(bytes).ok_or("it ends too early")?;
        self.program = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, String> {
        let bytes = self.take(bytes)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn line(&mut self) -> Result<&'p str, String> {
        let end = self.program.iter().position(|byte| *byte == b'\n').ok_or("it ends too early")?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "it names something in no UTF-8".to_owned())
    }

    fn text(&mut self, bytes: usize) -> Result<Value<'p>, String> {
        let text = std::str::from_utf8(self.take(bytes)?);
        Ok(Value::Text(text.map_err(|_| "a text of it is not UTF-8")?))
    }

    fn push(&mut self, value: Value<'p>) -> Result<(), String> {
        if self.stack.len() >= STACK_MAX {
            return Err(format!("it keeps more than {STACK_MAX} values at once"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value<'p>, String> {
        // Below a mark are the values of somebody else.
        if self.marks.last().is_some_and(|mark| self.stack.len() <= *mark) {
            return Err("it takes a value where there is none".to_owned());
        }
        self.stack.pop().ok_or_else(|| "it takes a value where there is none".to_owned())
    }

    /// The values above the last mark.
    fn marked(&mut self) -> Result<Vec<Value<'p>>, String> {
        let mark = self.marks.pop().ok_or("it ends a list that was not begun")?;
        Ok(self.stack.split_off(mark))
    }

    fn push_tuple(&mut self, values: Vec<Value<'p>>) -> Result<(), String> {
        let depth = |value: &Value<'_>| if let Value::Tuple(tuple) = value { tuple.depth } else { 0 };
        let depth = 1 + values.iter().map(depth).max().unwrap_or(0);
        if depth > DEPTH_MAX {
            return Err(format!("it puts more than {DEPTH_MAX} tuples inside each other"));
        }
        self.push(Value::Tuple(Rc::new(Tuple { values, depth })))
    }

    fn tuple_of(&mut self, count: usize) -> Result<(), String> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        values.reverse();
        self.push_tuple(values)
    }

    fn remember(&mut self, place: usize) -> Result<(), String> {
        let value = self.stack.last().cloned().ok_or("it remembers a value where there is none")?;
        if self.memo.len() >= MEMO_MAX {
            return Err(format!("it remembers more than {MEMO_MAX} values"));
        }
        self.memo.insert(place as u32, value);
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<(), String> {
        let value = self.memo.get(&(place as u32)).cloned().ok_or("it recalls what it does not remember")?;
        self.push(value)
    }

    /// Puts entries into the dictionary on top.
    fn set(&mut self, entries: &[Value<'p>]) -> Result<(), String> {
        let Some(Value::Dict(dict)) = self.stack.last() else {
            return Err("it puts an entry into what is no dictionary".to_owned());
        };
        for entry in entries.chunks(2) {
            let [key, value] = entry else { return Err("an entry of a dictionary has no value".to_owned()) };
            let Value::Text(key) = key else { return Err("the key of an entry is no text".to_owned()) };
            let tensor = if let Value::Tensor(tensor) = value { Some(tensor.clone()) } else { None };
            self.dicts[*dict].insert(key, tensor);
        }
        Ok(())
    }

    fn push_dict(&mut self) -> Result<(), String> {
        if self.dicts.len() >= STACK_MAX {
            return Err(format!("it makes more than {STACK_MAX} dictionaries"));
        }
        self.dicts.push(Dict::new());
        self.push(Value::Dict(self.dicts.len() - 1))
    }

    /// Makes what a name makes of its arguments.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Tuple(arguments) = arguments else { return Err("what it calls has no arguments".to_owned()) };
        match (function, arguments.values.as_slice()) {
            (Value::Global(Global::OrderedDict), []) => self.push_dict(),
            (Value::Global(Global::RebuildTensor), [Value::Storage(storage), offset, shape, strides, ..]) => {
                let tensor = storage.part(offset, shape, strides).ok_or("the shape of a tensor is no shape")?;
                self.push(Value::Tensor(Rc::new(tensor)))
            }
            (Value::Global(Global::RebuildParameter), [tensor @ Value::Tensor(_), ..]) => self.push(tensor.clone()),
            _ => Err("it makes something of arguments that torch.save does not write".to_owned()),
        }
    }

    /// The storage that a persistent id names.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let Value::Tuple(id) = &id else { return Err("a persistent id is no tuple".to_owned()) };
        let [
            Value::Text("storage"),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            _,
            Value::Number(elements),
        ] = id.values.as_slice()
        else {
            return Err("a persistent id names no storage of torch".to_owned());
        };
        let elements = usize::try_from(*elements).map_err(|_| "a storage has a negative length")?;
        self.push(Value::Storage(Rc::new(StorageView {
            storage: key,
            elements,
            dtype: *dtype,
            offset: 0,
            shape: Vec::new(),
            strides: Vec::new(),
        })))
    }

    /// One step; says whether it was the last.
    fn step(&mut self) -> Result<bool, String> {
        let code = self.take(1)?[0];
        match code {
            b'.' => return Ok(true),
            // The version, and the length of a part that is read at once.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(Global::named(module, name)?))?;
            }
            0x93 => {
                let (Value::Text(name), Value::Text(module)) = (self.pop()?, self.pop()?) else {
                    return Err("it names something in no text".to_owned());
                };
                self.push(Value::Global(Global::named(module, name)?))?;
            }
            b'q' => self.number(1).and_then(|place| self.remember(place))?,
            b'r' => self.number(4).and_then(|place| self.remember(place))?,
            0x94 => self.remember(self.memo.len())?,
            b'h' => self.number(1).and_then(|place| self.recall(place))?,
            b'j' => self.number(4).and_then(|place| self.recall(place))?,
            b'(' if self.marks.len() >= STACK_MAX => return Err("it begins too many lists".to_owned()),
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push_tuple(Vec::new())?,
            b't' => self.marked().and_then(|values| self.push_tuple(values))?,
            0x85..=0x87 => self.tuple_of(usize::from(code - 0x84))?,
            b'}' => self.push_dict()?,
            b'X' => self.number(4).and_then(|bytes| self.text(bytes)).and_then(|text| self.push(text))?,
            0x8c => self.number(1).and_then(|bytes| self.text(bytes)).and_then(|text| self.push(text))?,
            b'J' => self.number(4).and_then(|number| self.push(Value::Number(i64::from(number as u32 as i32))))?,
            b'K' => self.number(1).and_then(|number| self.push(Value::Number(number as i64)))?,
            b'M' => self.number(2).and_then(|number| self.push(Value::Number(number as i64)))?,
            0x8a => {
                let bytes = self.number(1)?;
                if bytes > 8 {
                    return Err("a number of it has more than 64 bits".to_owned());
                }
                let sign = 64 - 8 * bytes as u32;
                let number = if bytes == 0 { 0 } else { (self.number(bytes)? as i64) << sign >> sign };
                self.push(Value::Number(number))?;
            }
            b'N' | 0x88 | 0x89 => self.push(Value::Nothing)?,
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => self.marked().and_then(|entries| self.set(&entries))?,
            // What torch keeps beside the entries of a module's state: the versions of its parts.
            b'b' => match (self.pop()?, self.stack.last()) {
                (Value::Dict(_), Some(Value::Dict(_))) => {}
                _ => return Err("it builds what torch.save does not write".to_owned()),
            },
            code => return Err(format!("its step {code:#04x} is none that torch.save writes for tensors")),
        }
        Ok(false)
    }
}

impl<'p> StorageView<'p> {
    /// A tensor of a whole storage's elements.
    fn part(&self, offset: &Value<'_>, shape: &Value<'_>, strides: &Value<'_>) -> Option<Self> {
        let number = |value: &Value<'_>| if let Value::Number(n) = value { usize::try_from(*n).ok() } else { None };
        let numbers = |value: &Value<'_>| -> Option<Vec<usize>> {
            let Value::Tuple(tuple) = value else { return None };
            tuple.values.iter().map(number).collect()
        };
        let (shape, strides) = (numbers(shape)?, numbers(strides)?);
        if shape.len() != strides.len() || shape.len() > AXES_MAX {
            return None;
        }
        Some(Self { offset: number(offset)?, shape, strides, ..self.clone() })
    }

    /// The number of its elements, and of those from its first to its last; `None` if they are not all in its storage, or if
    /// it has more of them.
    pub(crate) fn extent(&self) -> Option<(usize, usize)> {
        let count = self.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size))?;
        let span =
            self.shape.iter().zip(&self.strides).try_fold(1usize, |span, (size, stride)| {
                span.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
            })?;
        let span = if count == 0 { 0 } else { span };
        let is_within = self.offset.checked_add(span).is_some_and(|end| end <= self.elements);
        (is_within && count <= self.elements).then_some((count, span))
    }

    /// Whether its elements follow one another.
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(size, stride)| {
            let follows = *size <= 1 || *stride == expected;
            expected = expected.saturating_mul(*size);
            follows
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REBUILD: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n";
    const STORAGE: &[u8] = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x0ctQ";

    fn refused(parts: &[&[u8]]) -> String {
        tensors(&parts.concat()).err().unwrap_or_else(|| "it was read".to_owned())
    }

    /// A dictionary with the entry `a`.
    fn entry<'a>(value: &'a [&'a [u8]]) -> Vec<&'a [u8]> {
        [&[b"\x80\x02}X\x01\0\0\0a".as_slice()], value, &[b"s.".as_slice()]].concat()
    }

    #[test]
    fn a_tensor_is_a_part_of_its_storage() -> Result<(), String> {
        let program = entry(&[REBUILD, b"(", STORAGE, b"K\x01K\x02K\x03\x86K\x01K\x02\x86\x89NtR"]).concat();
        let tensors = tensors(&program)?;
        let tensor = &tensors["a"];
        assert_eq!((tensor.offset, &tensor.shape[..], &tensor.strides[..]), (1, &[2, 3][..], &[1, 2][..]));
        assert_eq!((tensor.extent(), tensor.is_contiguous()), (Some((6, 6)), false));
        Ok(())
    }

    #[test]
    fn a_pickle_that_does_anything_else_is_refused() {
        let called = refused(&[b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."]);
        assert_eq!(called, "it names `os.system`, which is none of what makes tensors");
        let stacked = refused(&[b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."]);
        assert_eq!(stacked, "it names `builtins.eval`, which is none of what makes tensors");
        let inside: Vec<u8> = b")".iter().copied().chain([0x85; 100]).collect();
        let cases: [(&[&[u8]], &str); 15] = [
            (&[b""], "it ends too early"),
            (&[b"\x80\x02}"], "it ends too early"),
            (&[b"."], "it makes no dictionary of tensors"),
            (&entry(&[b"K\x01"]), "its entry `a` is no tensor"),
            (&[b"}K\x01K\x02s."], "the key of an entry is no text"),
            (&[b"}(X\x01\0\0\0au."], "an entry of a dictionary has no value"),
            (&[b"K\x01(R."], "it takes a value where there is none"),
            (&[b"h\x07."], "it recalls what it does not remember"),
            (&[b"t."], "it ends a list that was not begun"),
            (&[&inside], "it puts more than 8 tuples inside each other"),
            (&[&b")".repeat(STACK_MAX + 1)], "it keeps more than 65536 values at once"),
            (&[b")", &b"\x94".repeat(MEMO_MAX + 1)], "it remembers more than 1048576 values"),
            (&[b"]."], "its step 0x5d is none that torch.save writes for tensors"),
            (&[b"\x8a\xff"], "a number of it has more than 64 bits"),
            (&[b"K\x01Q."], "a persistent id is no tuple"),
        ];
        for (program, expected) in cases {
            assert_eq!(refused(program), expected);
        }
        let dicts = refused(&[&b"}}b".repeat(STACK_MAX)]);
        assert!(
            dicts.starts_with("it makes more than 65536 dictionaries") || dicts.contains("values at once"),
            "{dicts}"
        );
    }

    #[test]
    fn a_tensor_that_is_not_within_its_storage_has_no_extent() -> Result<(), String> {
        for (shape, is_within) in [
            (b"K\x0bK\x01\x86K\x01K\x01\x86".as_slice(), true),
            (b"K\x0cK\x01\x86K\x01K\x01\x86", false),
            (b"K\x02K\x02\x86K\xffK\x01\x86", false),
            // No more elements than the storage has, however often each is meant.
            (b"M\xff\xffK\x01\x86K\0K\0\x86", false),
            (
                b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86K\x02K\x02\x86",
                false,
            ),
        ] {
            let program = entry(&[REBUILD, b"(", STORAGE, b"K\x01", shape, b"\x89NtR"]).concat();
            assert_eq!(tensors(&program)?["a"].extent().is_some(), is_within);
        }
        let negative = entry(&[REBUILD, b"(", STORAGE, b"J\xff\xff\xff\xff))\x89NtR"]).concat();
        assert_eq!(tensors(&negative).err().as_deref(), Some("the shape of a tensor is no shape"));
        Ok(())
    }
}
