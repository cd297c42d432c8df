//! Where a function's body charges, and how much.
//!
//! A function charges at its entry, and each of its loops at the head of every turn, so nothing runs for ever without
//! being charged. A function without loops and calls charges nothing: it is a part of its caller's turn.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, BranchHint, Function, HeapType, Instruction, ValType};
use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// The most that one turn is charged. What is longer is a switch, as interpreters have, of which a turn runs a part.
const WEIGHT_MAX: i64 = 40;

/// Bytes that a copy or a fill moves for a unit, as a power of two.
const BYTES_PER_UNIT_LOG2: i64 = 4;

/// Units that a meter counts down between two reports: about a fifth of a millisecond.
pub(super) const UNITS_PER_REPORT: i64 = 1_000_000;

/// What the code of a meter refers to, by its indices in the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    /// The global that holds what is left until the next report.
    pub(super) left: u32,
    /// The table that is never grown.
    pub(super) table: u32,
    /// The function that reports what was used.
    pub(super) report: u32,
    /// Whether lengths in memory are of 32 bits. Those of 64 bits are not charged: no memory is as large.
    pub(super) memory32: bool,
}

impl Meter {
    /// Reports what was used since the last report and counts down anew.
    pub(super) fn report_body(self) -> Function {
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
    pub(super) fn export_body(self, exported: u32, parameters: u32) -> Function {
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
        self,
        body: &FunctionBody<'_>,
        parameters: u32,
    ) -> Result<(Function, Vec<BranchHint>), BinaryReaderError> {
        let mut locals = Vec::new();
        // The local that is added holds how many bytes are copied.
        let mut bytes_local = parameters;
        for group in body.get_locals_reader()? {
            let (count, kind) = group?;
            bytes_local += count;
            locals.push((count, RoundtripReencoder.val_type(kind).expect("a type that is kept has no other form")));
        }
        let weights = weights(body)?;
        let mut weights = weights.iter().flatten();
        locals.push((1, ValType::I32));
        let mut writer = BodyWriter { meter: self, function: Function::new(locals), hints: Vec::new() };

        writer.charge_turn(weights.next());
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let is_loop = matches!(operator, Operator::Loop { .. });
            if self.memory32 && moves_bytes(&operator) {
                writer.charge_bytes(bytes_local);
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
}

/// A body that is being written.
struct BodyWriter {
    meter: Meter,
    function: Function,
    hints: Vec<BranchHint>,
}

impl BodyWriter {
    fn charge_turn(&mut self, weight: Option<&i64>) {
        if let Some(weight) = weight {
            self.charge(&[Instruction::I64Const(*weight)]);
        }
    }

    /// Charges the length that is on top of the stack and stays there.
    fn charge_bytes(&mut self, local: u32) {
        self.function.instruction(&Instruction::LocalTee(local));
        self.charge(&[
            Instruction::LocalGet(local),
            Instruction::I64ExtendI32U,
            Instruction::I64Const(BYTES_PER_UNIT_LOG2),
            Instruction::I64ShrU,
        ]);
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
    Ok(charges.then(|| weights.into_iter().map(|weight: i64| weight.clamp(1, WEIGHT_MAX)).collect()))
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

/// Whether the instruction's last operand is a number of bytes that it writes.
fn moves_bytes(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. })
}
