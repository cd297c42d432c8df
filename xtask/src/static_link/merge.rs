//! Many modules with one memory and one table as one module.
//!
//! Each definition keeps its meaning, only its number changes. Two facts make it faster: a global that
//! nothing sets is its value; the table is never changed, so a function that only forwards to a slot is the function in
//! that slot.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use anyhow::{Context, Result, anyhow, bail, ensure};
use wasm_encoder::reencode::{self, Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, ImportSection, Instruction, MemorySection, Module, NameMap, NameSection,
    TableSection, TypeSection,
};
use wasmparser::{ElementItems, ElementKind, ExternalKind, FuncType, Operator};

use super::constants::Constants;
use super::layout::{Layout, Target};
use super::reachable;
use super::stack::Stack;

type Error = reencode::Error<anyhow::Error>;

/// The name of the import module of the merged module.
pub(super) const OUTSIDE: &str = "outside";

/// The one module, and how the component's core definitions are named in it.
pub(super) struct Merged {
    pub(super) module: Vec<u8>,
    /// The component's core functions that it imports, in order; each is imported under its place.
    pub(super) imports: Vec<u32>,
    /// Its exports: what the component's other definitions use.
    pub(super) exports: Exports,
}

/// The name that each definition is exported by, found by its kind's key.
type Exports = BTreeMap<(u8, Target), String>;

/// The key of a kind in `Merged::exports`.
pub(super) fn kind_key(kind: ExternalKind) -> u8 {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => 0,
        ExternalKind::Table => 1,
        ExternalKind::Memory => 2,
        ExternalKind::Global => 3,
        ExternalKind::Tag => 4,
    }
}

/// The numbers that definitions have in the merged module.
struct Numbers<'a> {
    layout: &'a Layout<'a>,
    reachable: BTreeSet<Target>,
    constants: Constants,
    types: BTreeMap<Vec<u8>, u32>,
    functions: BTreeMap<Target, u32>,
    globals: BTreeMap<Target, u32>,
    /// For each linked instance: what its local function numbers stand for.
    local_functions: BTreeMap<u32, Vec<Target>>,
    local_globals: BTreeMap<u32, Vec<Target>>,
    local_types: BTreeMap<u32, Vec<u32>>,
}

/// `stack` says how large the C stack is to be, if not as it is, and which instance has its memory where the stack was.
pub(super) fn merge(layout: &Layout<'_>, stack: Option<(u32, u32)>) -> Result<Merged> {
    let memories: usize = layout.linked.iter().map(|(_, module)| module.memories.len()).sum();
    let tables: usize = layout.linked.iter().map(|(_, module)| module.tables.len()).sum();
    ensure!(memories == 1 && tables == 1, "expected one memory and one table, found {memories} and {tables}");

    let reachable = reachable::functions(layout)?;
    let constants = Constants::of(layout, &reachable)?;
    let stack = stack.map(|(bytes, tenant)| Stack::of(layout, &constants, bytes, tenant)).transpose()?;
    let mut module = Module::new();
    let mut types = TypeSection::new();
    let mut numbers = Numbers {
        layout,
        reachable,
        constants,
        types: BTreeMap::new(),
        functions: BTreeMap::new(),
        globals: BTreeMap::new(),
        local_functions: BTreeMap::new(),
        local_globals: BTreeMap::new(),
        local_types: BTreeMap::new(),
    };
    let mut imports = ImportSection::new();
    let mut functions = FunctionSection::new();
    let mut globals = GlobalSection::new();
    let mut names = NameMap::new();
    let imported = numbers.number_functions(&mut types, &mut imports, &mut functions, &mut names)?;
    numbers.number_globals(&mut globals, stack.as_ref())?;
    let wrappers = stack.as_ref().map(|stack| numbers.wrap(stack, &mut types, &mut functions)).transpose()?;

    let mut tables = TableSection::new();
    let mut memories = MemorySection::new();
    let mut elements = ElementSection::new();
    let mut code = CodeSection::new();
    let mut data = DataSection::new();
    for (instance, linked) in &layout.linked {
        let mut scope = Scope { numbers: &numbers, instance: *instance };
        for table in &linked.tables {
            scope.parse_table(&mut tables, table.clone()).map_err(wrong)?;
        }
        for memory in &linked.memories {
            let mut memory = scope.memory_type(*memory).map_err(wrong)?;
            memory.minimum += stack.as_ref().map_or(0, |stack| stack.pages);
            memories.memory(memory);
        }
        let first = linked.import_count(ExternalKind::Func);
        for (number, body) in (first..).zip(&linked.bodies) {
            if !numbers.reachable.contains(&Target::Local { instance: *instance, index: number }) {
                continue;
            }
            scope.parse_function_body(&mut code, body.clone()).map_err(wrong)?;
        }
        for segment in &linked.data {
            let offset = numbers.constants.place(layout, *instance, segment)?;
            // What the snapshot left on the old stack is nothing.
            let skipped = stack.as_ref().map_or(0, |stack| stack.left_over(*instance, offset, segment.data.len()));
            let rest = &segment.data[skipped..];
            if !rest.is_empty() || skipped == 0 {
                let offset = offset + i32::try_from(skipped)?;
                data.active(0, &ConstExpr::i32_const(offset), rest.iter().copied());
            }
        }
        for element in &linked.elements {
            ensure!(
                !matches!(element.kind, ElementKind::Passive),
                "a passive element segment, which fills the table at run time"
            );
            if let (ElementKind::Declared, ElementItems::Functions(declared)) = (&element.kind, &element.items) {
                let declared: Vec<u32> = declared
                    .clone()
                    .into_iter()
                    .map(|function| scope.function_index(function?).map_err(wrong))
                    .collect::<Result<_>>()?;
                elements.declared(Elements::Functions(declared.into()));
            }
        }
    }
    for body in wrappers.iter().flatten() {
        code.function(body);
    }
    if let Some(stack) = &stack {
        // It stands above what the snapshot has there.
        data.active(0, &ConstExpr::i32_const(stack.limits.0), stack.limits.1);
    }
    numbers.write_table(&mut elements)?;
    let (exported, exports) = numbers.exports()?;

    let mut name_section = NameSection::new();
    name_section.functions(&names);
    module.section(&types).section(&imports).section(&functions).section(&tables).section(&memories).section(&globals);
    module.section(&exports).section(&elements).section(&code).section(&data).section(&name_section);
    Ok(Merged { module: module.finish(), imports: imported, exports: exported })
}

fn wrong<E: Display>(error: reencode::Error<E>) -> anyhow::Error {
    anyhow!("{error}")
}

impl Numbers<'_> {
    fn type_number(&mut self, types: &mut TypeSection, wanted: &FuncType) -> Result<u32> {
        let mut section = TypeSection::new();
        let encoded = RoundtripReencoder.func_type(wanted.clone()).map_err(wrong)?;
        section.ty().func_type(&encoded);
        let mut key = Vec::new();
        wasm_encoder::Encode::encode(&section, &mut key);
        let next = u32::try_from(self.types.len())?;
        Ok(*self.types.entry(key).or_insert_with(|| {
            types.ty().func_type(&encoded);
            next
        }))
    }

    /// Gives each function its number, imports first; returns the component's functions that are imported.
    fn number_functions(
        &mut self,
        types: &mut TypeSection,
        imports: &mut ImportSection,
        functions: &mut FunctionSection,
        names: &mut NameMap,
    ) -> Result<Vec<u32>> {
        let layout = self.layout;
        let mut imported = Vec::new();
        for (instance, module) in &layout.linked {
            let mut local = Vec::new();
            for (number, import) in (0..).zip(module.imports(ExternalKind::Func)) {
                let target = layout.local(*instance, ExternalKind::Func, number)?;
                if let Target::Outside(outside) = target
                    && !self.functions.contains_key(&target)
                {
                    let place = u32::try_from(imported.len())?;
                    let kind = self.type_number(types, module.function_type(number)?)?;
                    imports.import(OUTSIDE, &place.to_string(), EntityType::Function(kind));
                    names.append(place, import.name);
                    imported.push(outside);
                    self.functions.insert(target, place);
                }
                local.push(target);
            }
            let first = u32::try_from(local.len())?;
            for number in (first..).take(module.functions.len()) {
                local.push(Target::Local { instance: *instance, index: number });
            }
            self.local_functions.insert(*instance, local);
            let kinds = module.types.iter().map(|kind| self.type_number(types, kind));
            let kinds = kinds.collect::<Result<_>>()?;
            self.local_types.insert(*instance, kinds);
            let globals = (0..module.import_count(ExternalKind::Global) + u32::try_from(module.globals.len())?)
                .map(|number| layout.local(*instance, ExternalKind::Global, number));
            self.local_globals.insert(*instance, globals.collect::<Result<_>>()?);
        }
        for (instance, module) in &layout.linked {
            for number in (module.import_count(ExternalKind::Func)..).take(module.functions.len()) {
                let target = Target::Local { instance: *instance, index: number };
                if !self.reachable.contains(&target) {
                    continue;
                }
                let place = u32::try_from(self.functions.len())?;
                let kind = self.type_number(types, module.function_type(number)?)?;
                functions.function(kind);
                if let Some(name) = module.names.get(&number) {
                    names.append(place, name);
                }
                self.functions.insert(target, place);
            }
        }
        Ok(imported)
    }

    fn number_globals(&mut self, section: &mut GlobalSection, stack: Option<&Stack>) -> Result<()> {
        let layout = self.layout;
        for (instance, module) in &layout.linked {
            let first = module.import_count(ExternalKind::Global);
            for (number, global) in (first..).zip(&module.globals) {
                let target = Target::Local { instance: *instance, index: number };
                if self.constants.global(target).is_some() {
                    continue;
                }
                let place = u32::try_from(self.globals.len())?;
                let mut scope = Scope { numbers: self, instance: *instance };
                match stack.filter(|stack| stack.pointer == target) {
                    Some(stack) => {
                        let kind = scope.global_type(global.ty).map_err(wrong)?;
                        section.global(kind, &ConstExpr::i32_const(stack.top));
                    }
                    None => scope.parse_global(section, global.clone()).map_err(wrong)?,
                }
                self.globals.insert(target, place);
            }
        }
        Ok(())
    }

    /// Puts functions around those that free objects and set the limit of the stack; returns their bodies, which come last.
    fn wrap(
        &mut self,
        stack: &Stack,
        types: &mut TypeSection,
        functions: &mut FunctionSection,
    ) -> Result<[Function; 2]> {
        let pointer = self.globals.get(&stack.pointer).copied().context("the stack pointer is a constant")?;
        let bodies = stack.wrappers(pointer, self.function(stack.frees)?, self.function(stack.sets_limit)?);
        for (place, target) in (u32::try_from(self.functions.len())?..).zip([stack.frees, stack.sets_limit]) {
            let Target::Local { instance, index } = target else { bail!("a function of CPython is outside") };
            let kind = self.layout.module(instance).context("a module that is not linked")?.function_type(index)?;
            Stack::check(kind)?;
            functions.function(self.type_number(types, kind)?);
            self.functions.insert(target, place);
        }
        Ok(bodies)
    }

    /// The table as data: runs of neighbouring slots.
    fn write_table(&self, elements: &mut ElementSection) -> Result<()> {
        let mut runs: Vec<(u32, Vec<u32>)> = Vec::new();
        for (slot, target) in &self.constants.table {
            let function = self.function(*target)?;
            match runs.last_mut() {
                Some((first, run)) if *first as usize + run.len() == *slot as usize => run.push(function),
                _ => runs.push((*slot, vec![function])),
            }
        }
        for (first, run) in runs {
            let offset = ConstExpr::i32_const(first.cast_signed());
            elements.active(Some(0), &offset, Elements::Functions(run.into()));
        }
        Ok(())
    }

    fn function(&self, target: Target) -> Result<u32> {
        let target = self.constants.resolved(target);
        self.functions.get(&target).copied().context("a function that is neither linked nor imported")
    }

    /// Exports what the component's other definitions use: functions and the memory. What else could use the table or a
    /// global could also change it, and both are taken for fixed.
    fn exports(&self) -> Result<(Exports, ExportSection)> {
        let mut exported = BTreeMap::new();
        let mut section = ExportSection::new();
        for (kind, target) in self.layout.used_outside()? {
            let (export, place) = match kind {
                ExternalKind::Func => (ExportKind::Func, self.function(target)?),
                ExternalKind::Memory => (ExportKind::Memory, 0),
                other => bail!("a {other:?} of the merged module is used outside of it, expected functions and memory"),
            };
            let name = exported.len().to_string();
            if let Entry::Vacant(entry) = exported.entry((kind_key(kind), target)) {
                section.export(&name, export, place);
                entry.insert(name);
            }
        }
        Ok((exported, section))
    }
}

/// Rewrites what stands in the module of one instance.
struct Scope<'a> {
    numbers: &'a Numbers<'a>,
    instance: u32,
}

impl Reencode for Scope<'_> {
    type Error = anyhow::Error;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        let target = self.numbers.local_functions[&self.instance][function as usize];
        self.numbers.function(target).map_err(Error::UserError)
    }

    fn type_index(&mut self, kind: u32) -> Result<u32, Error> {
        Ok(self.numbers.local_types[&self.instance][kind as usize])
    }

    fn global_index(&mut self, global: u32) -> Result<u32, Error> {
        let target = self.numbers.local_globals[&self.instance][global as usize];
        let place = self.numbers.globals.get(&target).copied();
        place.context("a global that comes from outside or is read before it is there").map_err(Error::UserError)
    }

    fn data_index(&mut self, _data: u32) -> Result<u32, Error> {
        Err(Error::UserError(anyhow!("a data segment is named at run time (memory.init or data.drop)")))
    }

    fn instruction<'a>(&mut self, operator: Operator<'a>) -> Result<Instruction<'a>, Error> {
        if let Operator::GlobalGet { global_index } = operator {
            let target = self.numbers.local_globals[&self.instance][global_index as usize];
            if let Some(value) = self.numbers.constants.global(target) {
                return Ok(Instruction::I32Const(value));
            }
        }
        reencode::utils::instruction(self, operator)
    }
}
