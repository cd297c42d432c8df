//! Where a function's body charges, and how much.
//!
//! A function charges at its entry, each of its loops at the head of every turn, what moves many bytes or elements before it
//! does, and a long stretch without a branch (the unrolled rounds of a hash) at its beginning, so nothing runs for long
//! without being charged about what it takes. A short function without loops and calls charges nothing: it is a part of
//! its caller's turn.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, BranchHint, Function, HeapType, Instruction, ValType};
use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// What a turn's first instructions are charged, one each. What is longer is a switch, as interpreters have, of which a
/// turn runs a part.
const WEIGHT_FULL: i64 = 40;
/// Instructions beyond those that make a unit: a million units of straight code are a few seconds at most.
const INSTRUCTIONS_PER_UNIT: i64 = 16_384;
/// A function without loops and calls that is longer than this is charged, too.
const LEAF_INSTRUCTIONS_MAX: i64 = 1_000;

/// Instructions of a stretch without a branch that are a part of its turn; each one beyond is a unit. Unlike those of a
/// switch, all of them run.
const STRETCH_FREE: i64 = 64;

/// Bytes of memory that are moved for a unit, as a power of two: moved at 10 GB/s, 2.5 units a nanosecond, which is what
/// other work is charged.
const BYTES_PER_UNIT_LOG2: i64 = 2;

/// Units that a meter counts down between two reports: about a fifth of a millisecond.
pub(super) const UNITS_PER_REPORT: i64 = 1_000_000;

/// What the code of a meter refers to, by its indices in the module.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    /// The global that holds what is left until the next report.
    pub(super) left: u32,
    /// The table that is never grown.
    pub(super) table: u32,
    /// The function that reports what was used.
    pub(super) report: u32,
    /// Of each memory and of each table, whether its lengths are of 64 bits.
    pub(super) memories64: Vec<bool>,
    pub(super) tables64: Vec<bool>,
}

impl Meter {
    /// Reports what was used since the last report and counts down anew.
    pub(super) fn report_body(&self) -> Function {
        let mut function = Function::new([]);
        function
            .instruction(&Instruction::RefNull(HeapType::FUNC))
            .instruction(&Instruction::I64Const(UNITS_PER_REPORT))
            .instruction(&Instruction::GlobalGet(self.left))
            .instruction(&Instruction::I64Sub)
            .instruction(&Instruction::I32WrapI64)
            .instruction(&Instruction::TableGrow(self.table))
            .instruction(&Instruction::Drop)
            .instruction(&Instruction::I64Const(UNITS_PER_REPORT))
            .instruction(&Instruction::GlobalSet(self.left))
            .instruction(&Instruction::End);
        function
    }

    /// Calls an exported function and reports what it used, so that the host knows it to the unit.
    pub(super) fn export_body(&self, exported: u32, parameters: u32) -> Function {
        let mut function = Function::new([]);
        for parameter in 0..parameters {
            function.instruction(&Instruction::LocalGet(parameter));
        }
        function
            .instruction(&Instruction::Call(exported))
            .instruction(&Instruction::Call(self.report))
            .instruction(&Instruction::End);
        function
    }

    /// The body with its charges, and the hints that reports are seldom.
    pub(super) fn metered_body(
        &self,
        body: &FunctionBody<'_>,
        parameters: u32,
    ) -> Result<(Function, Vec<BranchHint>), BinaryReaderError> {
        let mut locals = Vec::new();
        // The two locals that are added hold how much is moved, of 32 bits and of 64.
        let mut added_local = parameters;
        for group in body.get_locals_reader()? {
            let (count, kind) = group?;
            added_local += count;
            locals.push((count, RoundtripReencoder.val_type(kind).expect("a type that is kept has no other form")));
        }
        let weights = weights(body)?;
        let mut weights = weights.iter().flatten();
        let stretches = stretches(body)?;
        let mut stretches = stretches.iter();
        let mut in_stretch = false;
        locals.extend([(1, ValType::I32), (1, ValType::I64)]);
        let mut writer = BodyWriter { meter: self, function: Function::new(locals), hints: Vec::new() };

        writer.charge_turn(weights.next());
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let is_loop = matches!(operator, Operator::Loop { .. });
            let begins_stretch = !branches(&operator) && !in_stretch;
            in_stretch = !branches(&operator);
            if begins_stretch && let Some(beyond) = stretches.next().map(|length| length - STRETCH_FREE) {
                writer.charge_turn((beyond > 0).then_some(&beyond));
            }
            if let Some(length) = self.length(&operator) {
                writer.charge_length(added_local, length);
            }
            writer.function.instruction(
                &RoundtripReencoder.instruction(operator).expect("an instruction that is kept has no other form"),
            );
            if is_loop {
                writer.charge_turn(weights.next());
            }
        }
        Ok((writer.function, writer.hints))
    }

    /// The instruction's last operand, where that says how much it moves.
    fn length(&self, operator: &Operator<'_>) -> Option<Length> {
        let is64 = |kinds: &[bool], index: u32| kinds.get(index as usize).copied().unwrap_or(false);
        let memory = |index| is64(&self.memories64, index);
        let table = |index| is64(&self.tables64, index);
        let (wide, units_log2) = match *operator {
            Operator::MemoryFill { mem } => (memory(mem), BYTES_PER_UNIT_LOG2),
            Operator::MemoryCopy { dst_mem, src_mem } => (memory(dst_mem) && memory(src_mem), BYTES_PER_UNIT_LOG2),
            Operator::MemoryInit { .. } => (false, BYTES_PER_UNIT_LOG2),
            Operator::TableFill { table: filled } => (table(filled), 0),
            Operator::TableCopy { dst_table, src_table } => (table(dst_table) && table(src_table), 0),
            Operator::TableInit { .. } => (false, 0),
            _ => return None,
        };
        Some(Length { wide, units_log2 })
    }
}

/// A length on top of the stack.
#[derive(Debug, Clone, Copy)]
struct Length {
    /// Whether it is of 64 bits.
    wide: bool,
    /// How much of it makes a unit, as a power of two.
    units_log2: i64,
}

/// A body that is being written.
struct BodyWriter<'a> {
    meter: &'a Meter,
    function: Function,
    hints: Vec<BranchHint>,
}

impl BodyWriter<'_> {
    fn charge_turn(&mut self, weight: Option<&i64>) {
        if let Some(weight) = weight {
            self.charge(&[Instruction::I64Const(*weight)]);
        }
    }

    /// Charges the length that is on top of the stack and stays there.
    fn charge_length(&mut self, added_local: u32, length: Length) {
        let local = added_local + u32::from(length.wide);
        self.function.instruction(&Instruction::LocalTee(local));
        let mut amount = vec![Instruction::LocalGet(local)];
        amount.extend((!length.wide).then_some(Instruction::I64ExtendI32U));
        amount.extend([Instruction::I64Const(length.units_log2), Instruction::I64ShrU]);
        self.charge(&amount);
    }

    fn charge(&mut self, amount: &[Instruction<'_>]) {
        self.function.instruction(&Instruction::GlobalGet(self.meter.left));
        for instruction in amount {
            self.function.instruction(instruction);
        }
        self.function
            .instruction(&Instruction::I64Sub)
            .instruction(&Instruction::GlobalSet(self.meter.left))
            .instruction(&Instruction::GlobalGet(self.meter.left))
            .instruction(&Instruction::I64Const(0))
            .instruction(&Instruction::I64LtS);
        let offset = u32::try_from(self.function.byte_len()).expect("a body is part of a module of less than 4 GiB");
        self.hints.push(BranchHint { branch_func_offset: offset, branch_hint_value: 0 });
        self.function
            .instruction(&Instruction::If(BlockType::Empty))
            .instruction(&Instruction::Call(self.meter.report))
            .instruction(&Instruction::End);
    }
}

/// The weights of a body: of its entry, then of each of its loops in the order they stand in. None where nothing in it
/// is charged.
fn weights(body: &FunctionBody<'_>) -> Result<Option<Vec<i64>>, BinaryReaderError> {
    let mut weights = vec![0];
    // For each open block, the turn that its instructions belong to.
    let mut open = vec![0];
    let mut charges = false;
    for operator in body.get_operators_reader()? {
        let turn = open.last().copied().unwrap_or(0);
        match operator? {
            Operator::Loop { .. } => {
                charges = true;
                open.push(weights.len());
                weights.push(0);
            }
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } | Operator::Try { .. } => {
                open.push(turn)
            }
            Operator::End | Operator::Delegate { .. } => {
                open.pop();
            }
            operator => {
                charges |= calls(&operator);
                weights[turn] += 1;
            }
        }
    }
    charges |= weights[0] > LEAF_INSTRUCTIONS_MAX;
    Ok(charges.then(|| weights.into_iter().map(weight).collect()))
}

/// The lengths of a body's stretches without a branch, in the order they stand in.
fn stretches(body: &FunctionBody<'_>) -> Result<Vec<i64>, BinaryReaderError> {
    let mut stretches = Vec::new();
    let mut in_stretch = false;
    for operator in body.get_operators_reader()? {
        let branches = branches(&operator?);
        match stretches.last_mut() {
            Some(length) if in_stretch && !branches => *length += 1,
            _ if !branches => stretches.push(1),
            _ => {}
        }
        in_stretch = !branches;
    }
    Ok(stretches)
}

/// Whether what runs next may be something else than what stands next.
fn branches(operator: &Operator<'_>) -> bool {
    calls(operator)
        || matches!(
            operator,
            Operator::Loop { .. }
                | Operator::Block { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::End
                | Operator::Try { .. }
                | Operator::TryTable { .. }
                | Operator::Catch { .. }
                | Operator::CatchAll
                | Operator::Delegate { .. }
                | Operator::Throw { .. }
                | Operator::ThrowRef
                | Operator::Rethrow { .. }
                | Operator::Br { .. }
                | Operator::BrIf { .. }
                | Operator::BrTable { .. }
                | Operator::BrOnNull { .. }
                | Operator::BrOnNonNull { .. }
                | Operator::BrOnCast { .. }
                | Operator::BrOnCastFail { .. }
                | Operator::Return
                | Operator::Unreachable
        )
}

/// What a turn of so many instructions is charged.
fn weight(instructions: i64) -> i64 {
    instructions.clamp(1, WEIGHT_FULL) + instructions / INSTRUCTIONS_PER_UNIT
}

fn calls(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. }
    )
}
