//! A component as a list of definitions, and what each of its core definitions is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentType, Encoding, ExternalKind, FuncType, Instance,
    KnownCustom, Parser, Payload, ValType,
};

use super::module::Module;

/// One definition of the component, in the order of its binary.
pub(super) enum Item<'a> {
    Module(u32),
    CoreInstance(u32),
    Alias(ComponentAlias<'a>),
    Canonical(CanonicalFunction),
    /// A section that names no core definition.
    Raw {
        id: u8,
        data: &'a [u8],
    },
}

/// Where a core function, table, memory or global of the component comes from.
#[derive(Clone, Copy)]
pub(super) enum CoreDefinition<'a> {
    Export { instance: u32, name: &'a str },
    Canonical,
}

/// What a name in a module, or in the component, stands for once nothing is linked dynamically any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Target {
    /// Index `index` of its kind in the module of `instance`, defined there.
    Local { instance: u32, index: u32 },
    /// The component's core definition of that number, which stays outside.
    Outside(u32),
}

pub(super) struct Layout<'a> {
    pub(super) items: Vec<Item<'a>>,
    /// The bytes of each core module.
    pub(super) modules: Vec<&'a [u8]>,
    pub(super) instances: Vec<Instance<'a>>,
    pub(super) functions: Vec<CoreDefinition<'a>>,
    pub(super) tables: Vec<CoreDefinition<'a>>,
    pub(super) memories: Vec<CoreDefinition<'a>>,
    pub(super) globals: Vec<CoreDefinition<'a>>,
    /// The instances that become one, with their modules, in the order of instantiation.
    pub(super) linked: Vec<(u32, Module<'a>)>,
    /// The instances that stay.
    pub(super) kept: BTreeSet<u32>,
    /// Functions that are called wherever a linked module's function of that name was.
    replaced: BTreeMap<&'a str, Target>,
}

impl<'a> Layout<'a> {
    pub(super) fn read(component: &'a [u8]) -> Result<Self> {
        let mut layout = Self {
            items: Vec::new(),
            modules: Vec::new(),
            instances: Vec::new(),
            functions: Vec::new(),
            tables: Vec::new(),
            memories: Vec::new(),
            globals: Vec::new(),
            linked: Vec::new(),
            kept: BTreeSet::new(),
            replaced: BTreeMap::new(),
        };
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            // Nested modules and components are taken as bytes where they begin; what is inside follows here too.
            match &payload {
                Payload::Version { .. } if depth > 0 => continue,
                Payload::End(_) if depth > 0 => {
                    depth -= 1;
                    continue;
                }
                Payload::ModuleSection { unchecked_range, .. } => {
                    if depth == 0 {
                        let number = u32::try_from(layout.modules.len())?;
                        layout.modules.push(bytes_of(component, unchecked_range));
                        layout.items.push(Item::Module(number));
                    }
                    depth += 1;
                    continue;
                }
                Payload::ComponentSection { unchecked_range, .. } => {
                    if depth == 0 {
                        layout.items.push(Item::Raw { id: 4, data: bytes_of(component, unchecked_range) });
                    }
                    depth += 1;
                    continue;
                }
                _ if depth > 0 => continue,
                _ => {}
            }
            layout.add(component, payload)?;
        }
        layout.choose()?;
        Ok(layout)
    }

    fn add(&mut self, component: &'a [u8], payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::Version { encoding, .. } => ensure!(encoding == Encoding::Component, "it is a core module"),
            Payload::End(_) => {}
            Payload::InstanceSection(section) => {
                for instance in section {
                    self.items.push(Item::CoreInstance(u32::try_from(self.instances.len())?));
                    self.instances.push(instance?);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    let alias = alias?;
                    if let ComponentAlias::CoreInstanceExport { kind, instance_index, name } = alias {
                        self.definitions(kind)?.push(CoreDefinition::Export { instance: instance_index, name });
                    }
                    self.items.push(Item::Alias(alias));
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    let function = function?;
                    if !matches!(function, CanonicalFunction::Lift { .. }) {
                        self.functions.push(CoreDefinition::Canonical);
                    }
                    self.items.push(Item::Canonical(function));
                }
            }
            Payload::CustomSection(section) => {
                // It names definitions by numbers that change.
                if !matches!(section.as_known(), KnownCustom::ComponentName(_)) {
                    self.items.push(Item::Raw { id: 0, data: bytes_of(component, &section.range()) });
                }
            }
            other => {
                if let Payload::ComponentTypeSection(section) = &other {
                    for kind in section.clone() {
                        let with_destructor = matches!(kind?, ComponentType::Resource { dtor: Some(_), .. });
                        ensure!(!with_destructor, "a resource has a destructor, which is a core function");
                    }
                }
                let (id, range) = other.as_section().context("it has a part that is no section")?;
                self.items.push(Item::Raw { id, data: bytes_of(component, &range) });
            }
        }
        Ok(())
    }

    fn definitions(&mut self, kind: ExternalKind) -> Result<&mut Vec<CoreDefinition<'a>>> {
        Ok(match kind {
            ExternalKind::Func => &mut self.functions,
            ExternalKind::Table => &mut self.tables,
            ExternalKind::Memory => &mut self.memories,
            ExternalKind::Global => &mut self.globals,
            other => bail!("it has a core definition of the kind {other:?}"),
        })
    }

    /// Decides which instances become one: all but the shim, which has a table and no memory, and what fills its table.
    fn choose(&mut self) -> Result<()> {
        let mut outside = BTreeSet::new();
        for (number, instance) in (0_u32..).zip(&self.instances) {
            let Instance::Instantiate { module_index, args } = instance else { continue };
            let module = Module::read(self.modules[*module_index as usize])?;
            let is_shim = !module.tables.is_empty() && module.memories.is_empty();
            let fills_shim = args.iter().any(|argument| self.has_table_of(argument.index, &outside));
            if is_shim || fills_shim {
                outside.insert(number);
                self.kept.insert(number);
                self.kept.extend(args.iter().map(|argument| argument.index));
            } else {
                ensure!(module.start.is_none(), "a module has a start function");
                self.linked.push((number, module));
            }
        }
        Ok(())
    }

    /// Links one more module, which imports the memory alone, and calls its functions of numbers in the place of those that
    /// have the same names. Returns the number of its instance.
    pub(super) fn replace(&mut self, bytes: &'a [u8]) -> Result<u32> {
        let mut module = Module::read(bytes)?;
        let alone = [ExternalKind::Func, ExternalKind::Table, ExternalKind::Global];
        ensure!(
            module.elements.is_empty() && alone.iter().all(|kind| module.import_count(*kind) == 0),
            "the module of functions needs more than memory"
        );
        // Nothing is called through it. What starts it fills with zeros what is zero.
        module.tables.clear();
        let instance = u32::try_from(self.instances.len())?;
        for (name, (kind, index)) in &module.exports {
            let is_of_numbers =
                |kind: &FuncType| kind.params().iter().chain(kind.results()).all(|of| *of == ValType::F64);
            if *kind == ExternalKind::Func && is_of_numbers(module.function_type(*index)?) {
                self.replaced.insert(*name, Target::Local { instance, index: *index });
            }
        }
        self.linked.push((instance, module));
        Ok(instance)
    }

    fn has_table_of(&self, instance: u32, outside: &BTreeSet<u32>) -> bool {
        let Instance::FromExports(exports) = &self.instances[instance as usize] else { return false };
        exports.iter().any(|export| {
            export.kind == ExternalKind::Table
                && matches!(self.tables[export.index as usize],
                    CoreDefinition::Export { instance, .. } if outside.contains(&instance))
        })
    }

    pub(super) fn module(&self, instance: u32) -> Option<&Module<'a>> {
        let found = self.linked.binary_search_by_key(&instance, |(number, _)| *number).ok()?;
        Some(&self.linked[found].1)
    }

    /// What the component's definitions that stay use of the linked modules.
    pub(super) fn used_outside(&self) -> Result<Vec<(ExternalKind, Target)>> {
        let mut used = Vec::new();
        for item in &self.items {
            match item {
                Item::Canonical(function) => used.extend(used_by(function)),
                Item::CoreInstance(number) if self.kept.contains(number) => {
                    if let Instance::FromExports(exports) = &self.instances[*number as usize] {
                        used.extend(exports.iter().map(|export| (export.kind, export.index)));
                    }
                }
                _ => {}
            }
        }
        let targets = used.into_iter().map(|(kind, index)| Ok((kind, self.core(kind, index)?)));
        let linked = |used: &Result<(ExternalKind, Target)>| !matches!(used, Ok((_, Target::Outside(_))));
        targets.filter(linked).collect()
    }

    /// What the component's core definition `index` of `kind` stands for.
    pub(super) fn core(&self, kind: ExternalKind, index: u32) -> Result<Target> {
        let definitions = match kind {
            ExternalKind::Func => &self.functions,
            ExternalKind::Table => &self.tables,
            ExternalKind::Memory => &self.memories,
            ExternalKind::Global => &self.globals,
            other => bail!("it has a core definition of the kind {other:?}"),
        };
        match definitions[index as usize] {
            CoreDefinition::Export { instance, name } if self.module(instance).is_some() => {
                self.export(instance, kind, name)
            }
            CoreDefinition::Export { .. } | CoreDefinition::Canonical => Ok(Target::Outside(index)),
        }
    }

    /// What the export `name` of an instance stands for.
    fn export(&self, instance: u32, kind: ExternalKind, name: &str) -> Result<Target> {
        if let Some(module) = self.module(instance) {
            let (found, index) = *module.exports.get(name).with_context(|| format!("no export `{name}`"))?;
            ensure!(found == kind, "the export `{name}` is of another kind");
            if kind == ExternalKind::Func
                && let Some(replacement) = self.replaced.get(name)
            {
                return Ok(*replacement);
            }
            return self.local(instance, kind, index);
        }
        let Instance::FromExports(exports) = &self.instances[instance as usize] else {
            bail!("`{name}` is imported from a module that stays outside, without an alias");
        };
        let export =
            exports.iter().find(|export| export.name == name).with_context(|| format!("no export `{name}`"))?;
        ensure!(export.kind == kind, "the export `{name}` is of another kind");
        self.core(kind, export.index)
    }

    /// What `index` of `kind` stands for inside the module of an instance.
    pub(super) fn local(&self, instance: u32, kind: ExternalKind, index: u32) -> Result<Target> {
        let module = self.module(instance).context("a module that is not linked")?;
        let Some(import) = module.imports(kind).nth(index as usize) else {
            return Ok(Target::Local { instance, index });
        };
        let Instance::Instantiate { args, .. } = &self.instances[instance as usize] else {
            bail!("an instance without a module");
        };
        let argument = args
            .iter()
            .find(|argument| argument.name == import.module)
            .with_context(|| format!("nothing is given for `{}`", import.module))?;
        self.export(argument.index, kind, import.name)
            .with_context(|| format!("the import `{}` of `{}`", import.name, import.module))
    }
}

fn bytes_of<'a>(component: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    &component[range.start..range.end]
}

/// The core definitions that a canonical function names.
fn used_by(function: &CanonicalFunction) -> Vec<(ExternalKind, u32)> {
    let (lifted, options) = match function {
        CanonicalFunction::Lift { core_func_index, options, .. } => (Some(*core_func_index), &options[..]),
        CanonicalFunction::Lower { options, .. } => (None, &options[..]),
        _ => (None, &[][..]),
    };
    let options = options.iter().filter_map(|option| match option {
        CanonicalOption::Memory(index) => Some((ExternalKind::Memory, *index)),
        CanonicalOption::Realloc(index) | CanonicalOption::PostReturn(index) | CanonicalOption::Callback(index) => {
            Some((ExternalKind::Func, *index))
        }
        _ => None,
    });
    lifted.map(|index| (ExternalKind::Func, index)).into_iter().chain(options).collect()
}
