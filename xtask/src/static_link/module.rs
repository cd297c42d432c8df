//! One core module, as far as it must be known to be merged.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};
use wasmparser::{
    ConstExpr, Data, Element, ExternalKind, FuncType, FunctionBody, Global, Import, KnownCustom, MemoryType, Name,
    Parser, Payload, Table, TypeRef,
};

#[derive(Default)]
pub(super) struct Module<'a> {
    pub(super) types: Vec<FuncType>,
    imports: Vec<Import<'a>>,
    /// The type of each function that is defined here.
    pub(super) functions: Vec<u32>,
    pub(super) tables: Vec<Table<'a>>,
    pub(super) memories: Vec<MemoryType>,
    pub(super) globals: Vec<Global<'a>>,
    pub(super) exports: HashMap<&'a str, (ExternalKind, u32)>,
    pub(super) elements: Vec<Element<'a>>,
    pub(super) data: Vec<Data<'a>>,
    pub(super) bodies: Vec<FunctionBody<'a>>,
    pub(super) names: HashMap<u32, &'a str>,
    pub(super) start: Option<u32>,
}

impl<'a> Module<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    for kind in section.into_iter_err_on_gc_types() {
                        module.types.push(kind?);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        module.imports.push(import?);
                    }
                }
                Payload::FunctionSection(section) => {
                    module.functions = section.into_iter().collect::<Result<_, _>>()?
                }
                Payload::TableSection(section) => module.tables = section.into_iter().collect::<Result<_, _>>()?,
                Payload::MemorySection(section) => module.memories = section.into_iter().collect::<Result<_, _>>()?,
                Payload::GlobalSection(section) => module.globals = section.into_iter().collect::<Result<_, _>>()?,
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        module.exports.insert(export.name, (export.kind, export.index));
                    }
                }
                Payload::StartSection { func, .. } => module.start = Some(func),
                Payload::ElementSection(section) => module.elements = section.into_iter().collect::<Result<_, _>>()?,
                Payload::DataSection(section) => module.data = section.into_iter().collect::<Result<_, _>>()?,
                Payload::CodeSectionEntry(body) => module.bodies.push(body),
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        for name in names {
                            if let Name::Function(functions) = name? {
                                for naming in functions {
                                    let naming = naming?;
                                    module.names.insert(naming.index, naming.name);
                                }
                            }
                        }
                    }
                }
                Payload::TagSection(_) => bail!("a module has tags"),
                _ => {}
            }
        }
        ensure!(module.functions.len() == module.bodies.len(), "a module's functions and bodies differ in number");
        Ok(module)
    }

    /// The imports of one kind; their order is the beginning of the kind's index space.
    pub(super) fn imports(&self, kind: ExternalKind) -> impl Iterator<Item = &Import<'a>> {
        self.imports.iter().filter(move |import| {
            matches!(
                (kind, import.ty),
                (ExternalKind::Func, TypeRef::Func(_))
                    | (ExternalKind::Table, TypeRef::Table(_))
                    | (ExternalKind::Memory, TypeRef::Memory(_))
                    | (ExternalKind::Global, TypeRef::Global(_))
            )
        })
    }

    pub(super) fn import_count(&self, kind: ExternalKind) -> u32 {
        u32::try_from(self.imports(kind).count()).unwrap_or(u32::MAX)
    }

    /// The type of a function, imported or defined.
    pub(super) fn function_type(&self, index: u32) -> Result<&FuncType> {
        let imported = self.import_count(ExternalKind::Func);
        let number = match self.imports(ExternalKind::Func).nth(index as usize).map(|import| import.ty) {
            Some(TypeRef::Func(number)) => number,
            Some(_) => bail!("an import of another kind"),
            None => self.functions[(index - imported) as usize],
        };
        Ok(&self.types[number as usize])
    }

    /// The body of a function, where it is defined here.
    pub(super) fn body(&self, index: u32) -> Option<&FunctionBody<'a>> {
        self.bodies.get(index.checked_sub(self.import_count(ExternalKind::Func))? as usize)
    }

    /// The initial value of a global that is defined here.
    pub(super) fn global_value(&self, index: u32) -> &ConstExpr<'a> {
        &self.globals[(index - self.import_count(ExternalKind::Global)) as usize].init_expr
    }
}
