//! Values that are fixed: the globals that the dynamic linker set and nothing changes, and what the table holds.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use wasmparser::{ConstExpr, Data, DataKind, ElementItems, ElementKind, ExternalKind, Operator};

use super::layout::{Layout, Target};

/// What holds for the whole life of an instance.
pub(super) struct Constants {
    /// The value of each global that nothing sets.
    globals: BTreeMap<Target, i32>,
    /// What each filled slot of the one table holds.
    pub(super) table: BTreeMap<u32, Target>,
    /// Each function that only passes its arguments on to a slot, and the slot.
    forwarders: BTreeMap<Target, u32>,
}

impl Constants {
    /// Only what `reachable` functions do counts: the dynamic linker's own code was for the time before the snapshot.
    pub(super) fn of(layout: &Layout<'_>, reachable: &BTreeSet<Target>) -> Result<Self> {
        let mut constants = Self { globals: BTreeMap::new(), table: BTreeMap::new(), forwarders: BTreeMap::new() };
        let mut set = BTreeSet::new();
        for (instance, module) in &layout.linked {
            let imported = module.import_count(ExternalKind::Func);
            for (number, body) in (imported..).zip(&module.bodies) {
                if !reachable.contains(&Target::Local { instance: *instance, index: number }) {
                    continue;
                }
                let operators = body.get_operators_reader()?.into_iter().collect::<Result<Vec<_>, _>>()?;
                for operator in &operators {
                    match operator {
                        Operator::GlobalSet { global_index } => {
                            set.insert(layout.local(*instance, ExternalKind::Global, *global_index)?);
                        }
                        Operator::TableSet { .. }
                        | Operator::TableGrow { .. }
                        | Operator::TableFill { .. }
                        | Operator::TableCopy { .. }
                        | Operator::TableInit { .. } => bail!("the function table is changed at run time"),
                        _ => {}
                    }
                }
                if let Some(slot) = forwarded_slot(module.function_type(number)?.params().len(), &operators) {
                    constants.forwarders.insert(Target::Local { instance: *instance, index: number }, slot);
                }
            }
        }
        for (instance, module) in &layout.linked {
            for index in (module.import_count(ExternalKind::Global)..).take(module.globals.len()) {
                let global = Target::Local { instance: *instance, index };
                if !set.contains(&global)
                    && let Some(value) = constants.value(layout, *instance, module.global_value(index))?
                {
                    constants.globals.insert(global, value);
                }
            }
        }
        constants.fill_table(layout)?;
        Ok(constants)
    }

    pub(super) fn global(&self, global: Target) -> Option<i32> {
        self.globals.get(&global).copied()
    }

    /// Where a call of `function` ends up.
    pub(super) fn resolved(&self, function: Target) -> Target {
        self.forwarders.get(&function).and_then(|slot| self.table.get(slot)).copied().unwrap_or(function)
    }

    /// The value of an initialiser, where all that it reads is known. Modules come in the order of instantiation, so
    /// what one imports from another is known already.
    pub(super) fn value(&self, layout: &Layout<'_>, instance: u32, expression: &ConstExpr<'_>) -> Result<Option<i32>> {
        let mut stack: Vec<i32> = Vec::new();
        for operator in expression.get_operators_reader() {
            let two = |stack: &mut Vec<i32>| stack.pop().zip(stack.pop()).context("an initialiser without operands");
            match operator? {
                Operator::I32Const { value } => stack.push(value),
                Operator::GlobalGet { global_index } => {
                    match self.global(layout.local(instance, ExternalKind::Global, global_index)?) {
                        Some(value) => stack.push(value),
                        None => return Ok(None),
                    }
                }
                Operator::I32Add => {
                    let (right, left) = two(&mut stack)?;
                    stack.push(left.wrapping_add(right));
                }
                Operator::I32Sub => {
                    let (right, left) = two(&mut stack)?;
                    stack.push(left.wrapping_sub(right));
                }
                Operator::End => {}
                _ => return Ok(None),
            }
        }
        Ok(stack.pop())
    }

    /// Where a data segment stands in memory.
    pub(super) fn place(&self, layout: &Layout<'_>, instance: u32, segment: &Data<'_>) -> Result<i32> {
        let DataKind::Active { offset_expr, .. } = &segment.kind else {
            bail!("a passive data segment, which is copied into memory at run time");
        };
        self.value(layout, instance, offset_expr)?.context("the place of a data segment is not known")
    }

    fn fill_table(&mut self, layout: &Layout<'_>) -> Result<()> {
        for (instance, module) in &layout.linked {
            for element in &module.elements {
                let ElementKind::Active { offset_expr, .. } = &element.kind else { continue };
                let ElementItems::Functions(functions) = &element.items else {
                    bail!("the function table is filled with expressions");
                };
                let offset = self.value(layout, *instance, offset_expr)?;
                let offset = offset.context("the place of an element segment is not known")?.cast_unsigned();
                for (slot, function) in (offset..).zip(functions.clone()) {
                    self.table.insert(slot, layout.local(*instance, ExternalKind::Func, function?)?);
                }
            }
        }
        // A forwarder in the table stands for what it forwards to, which may be another forwarder.
        for slot in self.table.keys().copied().collect::<Vec<_>>() {
            let mut target = self.table[&slot];
            let mut steps = 0;
            while self.resolved(target) != target {
                target = self.resolved(target);
                steps += 1;
                ensure!(steps < 100, "functions that forward to each other for ever");
            }
            self.table.insert(slot, target);
        }
        Ok(())
    }
}

/// The slot that a function with `parameters` calls with its own arguments, where it does nothing else.
fn forwarded_slot(parameters: usize, operators: &[Operator<'_>]) -> Option<u32> {
    let (arguments, rest) = operators.split_at_checked(parameters)?;
    let in_order = (0_u32..)
        .zip(arguments)
        .all(|(number, operator)| matches!(operator, Operator::LocalGet { local_index } if *local_index == number));
    match rest {
        [Operator::I32Const { value }, Operator::CallIndirect { table_index: 0, .. }, Operator::End] if in_order => {
            Some(value.cast_unsigned())
        }
        _ => None,
    }
}
