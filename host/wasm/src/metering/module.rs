//! A core module with its meter: a global, a table that is never grown, and a function that reports.
//!
//! Everything is put after what is there, so nothing that the module refers to by number moves. Only its exports
//! change: each function among them becomes one that calls it and then reports.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    BranchHints, CodeSection, ConstExpr, Encode, ExportKind, ExportSection, GlobalType, Module, RawSection, RefType,
    SectionId, TableType, ValType,
};
use wasmparser::{
    BinaryReader, BinaryReaderError, CompositeInnerType, ExportSectionReader, ExternalKind, FunctionBody, Parser,
    Payload, TypeRef,
};

use super::code::{Meter, UNITS_PER_REPORT};

/// How many elements the meter's table may have by its type, by which the host knows a report. A guest's own table of
/// this size would charge the guest, and never be grown.
pub(crate) const METER_TABLE_MAX: u64 = 0x6d65_7465;

/// The type `func()`, in the binary format.
const NOTHING_TO_NOTHING: [u8; 3] = [0x60, 0, 0];

type Result<T> = std::result::Result<T, BinaryReaderError>;

/// What there is in a module before it has a meter.
#[derive(Default)]
struct Inventory<'a> {
    /// How many parameters each type has that is a function's.
    parameters: Vec<u32>,
    /// The type of each function, the imported ones first.
    functions: Vec<u32>,
    imported_functions: usize,
    globals: u32,
    /// Of each memory and of each table, whether it is of 64 bits.
    memories64: Vec<bool>,
    tables64: Vec<bool>,
    bodies: Vec<FunctionBody<'a>>,
    exports: Option<ExportSectionReader<'a>>,
    /// The sections' contents.
    sections: Vec<(SectionId, &'a [u8])>,
}

impl<'a> Inventory<'a> {
    fn of(module: &'a [u8]) -> Result<Self> {
        let mut inventory = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            if let Some((id, range)) = payload.as_section()
                && let Some(id) = section(id)
            {
                inventory.sections.push((id, &module[range.start..range.end]));
            }
            inventory.count(payload)?;
        }
        Ok(inventory)
    }

    fn count(&mut self, payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    self.parameters.extend(group?.into_types().map(|kind| match kind.composite_type.inner {
                        CompositeInnerType::Func(function) => function.params().len() as u32,
                        _ => 0,
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(kind) | TypeRef::FuncExact(kind) => self.functions.push(kind),
                        TypeRef::Table(table) => self.tables64.push(table.table64),
                        TypeRef::Global(_) => self.globals += 1,
                        TypeRef::Memory(memory) => self.memories64.push(memory.memory64),
                        TypeRef::Tag(_) => {}
                    }
                }
                self.imported_functions = self.functions.len();
            }
            Payload::FunctionSection(section) => {
                for kind in section {
                    self.functions.push(kind?);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories64.push(memory?.memory64);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.tables64.push(table?.ty.table64);
                }
            }
            Payload::GlobalSection(section) => self.globals += section.count(),
            Payload::ExportSection(section) => self.exports = Some(section),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            _ => {}
        }
        Ok(())
    }

    fn parameters_of(&self, function: usize) -> u32 {
        let kind = self.functions.get(function).copied().unwrap_or(u32::MAX);
        self.parameters.get(kind as usize).copied().unwrap_or(0)
    }

    fn content(&self, id: SectionId) -> Option<&'a [u8]> {
        self.sections.iter().find(|(found, _)| *found == id).map(|(_, content)| *content)
    }
}

/// The module with its meter; the module itself where it has no code.
pub(super) fn metered_module(module: &[u8]) -> Result<Vec<u8>> {
    let inventory = Inventory::of(module)?;
    if inventory.bodies.is_empty() {
        return Ok(module.to_vec());
    }
    let functions = inventory.functions.len() as u32;
    let meter = Meter {
        left: inventory.globals,
        table: inventory.tables64.len() as u32,
        report: functions,
        memories64: inventory.memories64.clone(),
        tables64: inventory.tables64.clone(),
    };

    // The functions that are put after the module's own: the report, and one for each exported function.
    let mut added_types = vec![inventory.parameters.len() as u32];
    let mut added_bodies = vec![meter.report_body()];
    let mut exports = ExportSection::new();
    for export in inventory.exports.iter().flat_map(|section| section.clone()) {
        let export = export?;
        let mut index = export.index;
        let kind = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                let exported = index as usize;
                // A function that is imported and exported again is another module's to meter.
                if exported >= inventory.imported_functions
                    && let Some(kind) = inventory.functions.get(exported)
                {
                    index = functions + added_types.len() as u32;
                    added_types.push(*kind);
                    added_bodies.push(meter.export_body(export.index, inventory.parameters_of(exported)));
                }
                ExportKind::Func
            }
            other => RoundtripReencoder.export_kind(other).expect("a kind that is kept has no other form"),
        };
        exports.export(export.name, kind, index);
    }

    let mut code = CodeSection::new();
    let mut hints = BranchHints::new();
    for (place, body) in inventory.bodies.iter().enumerate() {
        let function = inventory.imported_functions + place;
        let (body, seldom) = meter.metered_body(body, inventory.parameters_of(function))?;
        code.function(&body);
        if !seldom.is_empty() {
            hints.function_hints(function as u32, seldom);
        }
    }
    for body in &added_bodies {
        code.function(body);
    }

    let mut written = Module::new();
    for id in ORDER {
        let content = inventory.content(id);
        let data = match id {
            SectionId::Type => appended(content, 1, &NOTHING_TO_NOTHING)?,
            SectionId::Function => appended(content, added_types.len() as u32, &leb128(&added_types))?,
            SectionId::Table => appended(content, 1, &encoded(&meter_table()))?,
            SectionId::Global => appended(content, 1, &meter_global())?,
            SectionId::Export => {
                written.section(&exports);
                continue;
            }
            SectionId::Code => {
                written.section(&hints).section(&code);
                continue;
            }
            _ => match content {
                Some(content) => content.to_vec(),
                None => continue,
            },
        };
        written.section(&RawSection { id: id.into(), data: &data });
    }
    Ok(written.finish())
}

/// The order that sections stand in. What custom sections say, the engine does not need.
const ORDER: [SectionId; 13] = [
    SectionId::Type,
    SectionId::Import,
    SectionId::Function,
    SectionId::Table,
    SectionId::Memory,
    SectionId::Tag,
    SectionId::Global,
    SectionId::Export,
    SectionId::Start,
    SectionId::Element,
    SectionId::DataCount,
    SectionId::Code,
    SectionId::Data,
];

fn section(id: u8) -> Option<SectionId> {
    ORDER.into_iter().find(|section| u8::from(*section) == id)
}

fn meter_table() -> TableType {
    TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 0,
        maximum: Some(METER_TABLE_MAX),
        shared: false,
    }
}

fn meter_global() -> Vec<u8> {
    let mut global = encoded(&GlobalType { val_type: ValType::I64, mutable: true, shared: false });
    ConstExpr::i64_const(UNITS_PER_REPORT).encode(&mut global);
    global
}

fn encoded(item: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    item.encode(&mut bytes);
    bytes
}

fn leb128(numbers: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        number.encode(&mut bytes);
    }
    bytes
}

/// A section with so many more items in it, which are encoded in `items`.
fn appended(section: Option<&[u8]>, count: u32, items: &[u8]) -> Result<Vec<u8>> {
    let mut reader = BinaryReader::new(section.unwrap_or(&[0]), 0);
    let items_before = reader.read_var_u32()?;
    let rest = reader.read_bytes(reader.bytes_remaining())?;
    let mut written = encoded(&(items_before + count));
    written.extend_from_slice(rest);
    written.extend_from_slice(items);
    Ok(written)
}
