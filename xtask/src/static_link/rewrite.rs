//! The component around the merged module.
//!
//! All definitions stay in their order but those that became one. An alias of something in the merged module is written
//! where it is first used, and the merged module where the first of them is.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use wasm_encoder::reencode::{self, Reencode, ReencodeComponent};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ExportKind, InstanceSection, ModuleArg,
    RawSection,
};
use wasmparser::{CanonicalFunction, ComponentAlias, ExternalKind, Instance};

use super::layout::{CoreDefinition, Item, Layout, Target};
use super::merge::{Merged, OUTSIDE, kind_key};

const CORE_MODULE_SECTION: u8 = 1;

type Error = reencode::Error<anyhow::Error>;

pub(super) fn rewrite(layout: &Layout<'_>, merged: &Merged) -> Result<Vec<u8>> {
    let mut writer = Writer {
        layout,
        merged,
        component: Component::new(),
        merged_instance: None,
        numbers: BTreeMap::new(),
        counts: [0; 5],
        instances: BTreeMap::new(),
        modules: BTreeMap::new(),
        instance_count: 0,
        module_count: 0,
    };
    let mut function = 0;
    for item in &layout.items {
        match item {
            Item::Raw { id, data } => {
                writer.component.section(&RawSection { id: *id, data });
            }
            Item::Module(number) => {
                let stays = layout.kept.iter().any(|kept| {
                    matches!(&layout.instances[*kept as usize],
                        Instance::Instantiate { module_index, .. } if module_index == number)
                });
                if stays {
                    let place = writer.module(layout.modules[*number as usize]);
                    writer.modules.insert(*number, place);
                }
            }
            Item::CoreInstance(number) => {
                if layout.kept.contains(number) {
                    let mut section = InstanceSection::new();
                    writer.parse_instance(&mut section, layout.instances[*number as usize].clone()).map_err(wrong)?;
                    writer.component.section(&section);
                    writer.instances.insert(*number, writer.instance_count);
                    writer.instance_count += 1;
                }
            }
            Item::Alias(ComponentAlias::CoreInstanceExport { kind, .. }) => {
                // Written where it is used.
                function += u32::from(*kind == ExternalKind::Func);
            }
            Item::Alias(alias) => {
                let mut section = ComponentAliasSection::new();
                section.alias(writer.component_alias(alias.clone()).map_err(wrong)?);
                writer.component.section(&section);
            }
            Item::Canonical(canonical) => {
                let mut section = CanonicalFunctionSection::new();
                writer.parse_component_canonical(&mut section, canonical.clone()).map_err(wrong)?;
                writer.component.section(&section);
                if !matches!(canonical, CanonicalFunction::Lift { .. }) {
                    writer.define(ExternalKind::Func, Target::Outside(function));
                    function += 1;
                }
            }
        }
    }
    Ok(writer.component.finish())
}

fn wrong(error: Error) -> anyhow::Error {
    anyhow!("{error}")
}

struct Writer<'a> {
    layout: &'a Layout<'a>,
    merged: &'a Merged,
    component: Component,
    merged_instance: Option<u32>,
    /// The number of each core definition that is written, by kind.
    numbers: BTreeMap<(u8, Target), u32>,
    counts: [u32; 5],
    instances: BTreeMap<u32, u32>,
    modules: BTreeMap<u32, u32>,
    instance_count: u32,
    module_count: u32,
}

impl Writer<'_> {
    fn module(&mut self, bytes: &[u8]) -> u32 {
        self.component.section(&RawSection { id: CORE_MODULE_SECTION, data: bytes });
        self.module_count += 1;
        self.module_count - 1
    }

    fn define(&mut self, kind: ExternalKind, target: Target) -> u32 {
        let key = kind_key(kind);
        let number = self.counts[usize::from(key)];
        self.counts[usize::from(key)] += 1;
        self.numbers.insert((key, target), number);
        number
    }

    /// The number of the old core definition `index`, which is written here if it is not there yet.
    fn core(&mut self, kind: ExternalKind, index: u32) -> Result<u32> {
        let target = self.layout.core(kind, index)?;
        self.target(kind, target)
    }

    fn target(&mut self, kind: ExternalKind, target: Target) -> Result<u32> {
        let key = (kind_key(kind), target);
        if let Some(number) = self.numbers.get(&key) {
            return Ok(*number);
        }
        let (instance, name) = match target {
            Target::Local { .. } => {
                let name = self.merged.exports.get(&key).context("the merged module does not export it")?;
                (self.merged_instance()?, name.clone())
            }
            Target::Outside(index) => {
                let definitions = match kind {
                    ExternalKind::Func => &self.layout.functions,
                    ExternalKind::Table => &self.layout.tables,
                    ExternalKind::Memory => &self.layout.memories,
                    _ => &self.layout.globals,
                };
                let CoreDefinition::Export { instance, name } = definitions[index as usize] else {
                    return Err(anyhow!("a host function that is used before it is defined"));
                };
                let instance = self.instances.get(&instance).copied();
                (instance.context("an instance that is used before it is there")?, name.to_owned())
            }
        };
        let mut section = ComponentAliasSection::new();
        section.alias(Alias::CoreInstanceExport { instance, kind: export_kind(kind), name: &name });
        self.component.section(&section);
        Ok(self.define(kind, target))
    }

    /// The instance of the merged module, which is made at its first use.
    fn merged_instance(&mut self) -> Result<u32> {
        if let Some(instance) = self.merged_instance {
            return Ok(instance);
        }
        let module = self.module(&self.merged.module);
        let mut given = Vec::new();
        for (place, outside) in self.merged.imports.iter().enumerate() {
            let number = self.target(ExternalKind::Func, Target::Outside(*outside))?;
            given.push((place.to_string(), ExportKind::Func, number));
        }
        let mut section = InstanceSection::new();
        section.export_items(given.iter().map(|(name, kind, number)| (name.as_str(), *kind, *number)));
        section.instantiate(module, [(OUTSIDE, ModuleArg::Instance(self.instance_count))]);
        self.component.section(&section);
        self.instance_count += 2;
        self.merged_instance = Some(self.instance_count - 1);
        Ok(self.instance_count - 1)
    }
}

fn export_kind(kind: ExternalKind) -> ExportKind {
    match kind {
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        _ => ExportKind::Func,
    }
}

impl Reencode for Writer<'_> {
    type Error = anyhow::Error;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        self.core(ExternalKind::Func, function).map_err(Error::UserError)
    }

    fn table_index(&mut self, table: u32) -> Result<u32, Error> {
        self.core(ExternalKind::Table, table).map_err(Error::UserError)
    }

    fn memory_index(&mut self, memory: u32) -> Result<u32, Error> {
        self.core(ExternalKind::Memory, memory).map_err(Error::UserError)
    }

    fn global_index(&mut self, global: u32) -> Result<u32, Error> {
        self.core(ExternalKind::Global, global).map_err(Error::UserError)
    }
}

impl ReencodeComponent for Writer<'_> {
    fn module_index(&mut self, module: u32) -> u32 {
        self.modules[&module]
    }

    fn instance_index(&mut self, instance: u32) -> u32 {
        self.instances[&instance]
    }
}
