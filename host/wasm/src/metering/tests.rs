//! What is charged, to the unit, on modules that are written here and really run.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ElementSection, Elements, ExportKind, ExportSection, Function, FunctionSection,
    Instruction, MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection, ValType,
};
use wasmparser::Validator;
use wasmtime::{Engine, Instance, Store, WasmParams, WasmResults};

use super::module::metered_module;
use super::{LimitReached, metered};
use crate::limits::InstanceLimiter;
use hilora_contract::plugin::{LimitKind, RunLimits};

const LIMITS: RunLimits = RunLimits {
    fuel: 10_000_000,
    cpu_time_ms: 0,
    wall_time_ms: 0,
    memory_bytes_max: 64 << 20,
    output_bytes_max: 0,
    reproducible: true,
};

/// A module of functions from an `i32` to an `i32`, of which the last is exported, with a page of memory and a table
/// that holds the first.
fn module(bodies: &[&[Instruction<'_>]]) -> Vec<u8> {
    module_of(false, bodies)
}

fn module_of(memory64: bool, bodies: &[&[Instruction<'_>]]) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    for body in bodies {
        functions.function(0);
        let mut function = Function::new([(1, ValType::I32)]);
        for instruction in *body {
            function.instruction(instruction);
        }
        code.function(function.instruction(&Instruction::End));
    }
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 1,
        maximum: None,
        shared: false,
    });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64, shared: false, page_size_log2: None });
    let mut exports = ExportSection::new();
    exports.export("run", ExportKind::Func, bodies.len() as u32 - 1);
    let mut elements = ElementSection::new();
    elements.active(Some(0), &ConstExpr::i32_const(0), Elements::Functions(vec![0].into()));
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&tables)
        .section(&memories)
        .section(&exports)
        .section(&elements)
        .section(&code);
    module.finish()
}

/// What the module's function makes of `argument`, and the units that it used.
fn call<P: WasmParams, R: WasmResults>(bytes: &[u8], argument: P) -> wasmtime::Result<(wasmtime::Result<R>, u64)> {
    let engine = Engine::default();
    let module = wasmtime::Module::new(&engine, metered_module(bytes)?)?;
    let mut store = Store::new(&engine, InstanceLimiter::new(&LIMITS));
    store.limiter(|limiter| limiter);
    let instance = Instance::new(&mut store, &module, &[])?;
    let answer = instance.get_typed_func::<P, R>(&mut store, "run")?.call(&mut store, argument);
    Ok((answer, store.data().allowance.used()))
}

/// Counts its argument down to zero in a loop, and does `inside` in each turn.
fn countdown<'a>(inside: &[Instruction<'a>]) -> Vec<Instruction<'a>> {
    let mut body = vec![Instruction::Loop(BlockType::Empty)];
    body.extend_from_slice(inside);
    body.extend([
        Instruction::LocalGet(0),
        Instruction::I32Const(1),
        Instruction::I32Sub,
        Instruction::LocalTee(0),
        Instruction::BrIf(0),
        Instruction::End,
        Instruction::LocalGet(0),
    ]);
    body
}

#[test]
fn each_turn_of_a_loop_is_charged() -> wasmtime::Result<()> {
    let bytes = module(&[&countdown(&[])]);
    let (_, once) = call::<_, i32>(&bytes, 1)?;
    for turns in [2, 3, 1_000, 300_000] {
        let (answer, used) = call::<_, i32>(&bytes, turns)?;
        assert_eq!((answer?, used), (0, once + 5 * (turns as u64 - 1)));
    }
    Ok(())
}

#[test]
fn a_long_turn_is_charged_as_a_part_of_it_unless_all_of_it_runs() -> wasmtime::Result<()> {
    let a_turn = |inside: &[Instruction<'_>]| -> wasmtime::Result<u64> {
        let bytes = module(&[&countdown(inside)]);
        let ((_, once), (_, twice)) = (call::<_, i32>(&bytes, 1)?, call::<_, i32>(&bytes, 2)?);
        Ok(twice - once)
    };
    // As the cases of a switch, each no longer than a stretch that is free.
    let case =
        [vec![Instruction::Block(BlockType::Empty)], vec![Instruction::Nop; 64], vec![Instruction::End]].concat();
    assert_eq!(a_turn(&vec![case; 150].concat())?, 40);
    // As unrolled rounds; four instructions of the loop itself belong to them.
    assert_eq!(a_turn(&vec![Instruction::Nop; 10_000])?, 40 + 10_004 - 64);
    Ok(())
}

#[test]
fn a_loop_without_end_is_ended() -> wasmtime::Result<()> {
    let bytes = module(&[&[
        Instruction::Loop(BlockType::Empty),
        Instruction::Br(0),
        Instruction::End,
        Instruction::LocalGet(0),
    ]]);
    let (ended, used) = call::<_, i32>(&bytes, 0)?;
    assert!(matches!(ended.err().and_then(|error| error.downcast().ok()), Some(LimitReached(LimitKind::Fuel))));
    assert!(used > LIMITS.fuel && used < LIMITS.fuel + LIMITS.fuel / 10, "{used}");
    Ok(())
}

#[test]
fn calls_are_charged_where_they_can_repeat_and_leaves_are_not() -> wasmtime::Result<()> {
    let leaf = [Instruction::LocalGet(0)];
    let caller = [Instruction::LocalGet(0), Instruction::Call(0)];
    let (answer, alone) = call::<_, i32>(&module(&[&leaf]), 7)?;
    assert_eq!((answer?, alone), (7, 0));
    let (answer, once) = call::<_, i32>(&module(&[&leaf, &caller]), 7)?;
    assert_eq!((answer?, once), (7, 2));

    // Through the table, too, and a recursion that doubles with every level.
    let indirect = [
        Instruction::LocalGet(0),
        Instruction::I32Const(0),
        Instruction::CallIndirect { type_index: 0, table_index: 0 },
    ];
    assert_eq!(call::<_, i32>(&module(&[&caller[..1], &indirect]), 7)?.1, 3);
    let doubling = [
        Instruction::LocalGet(0),
        Instruction::If(BlockType::Empty),
        Instruction::LocalGet(0),
        Instruction::I32Const(1),
        Instruction::I32Sub,
        Instruction::Call(0),
        Instruction::Drop,
        Instruction::LocalGet(0),
        Instruction::I32Const(1),
        Instruction::I32Sub,
        Instruction::Call(0),
        Instruction::Drop,
        Instruction::End,
        Instruction::LocalGet(0),
    ];
    let bytes = module(&[&doubling]);
    let ((_, level), (_, next)) = (call::<_, i32>(&bytes, 3)?, call::<_, i32>(&bytes, 4)?);
    assert_eq!(next - level, 16 * (level / 15));
    assert!(call::<_, i32>(&bytes, 60)?.0.is_err());
    Ok(())
}

/// Fills so many bytes of a page of memory, and answers how many units that took, or none where it trapped.
fn units_of_a_fill(memory64: bool, bytes: u32) -> wasmtime::Result<Option<u64>> {
    let place = |number: u32| match memory64 {
        true => Instruction::I64Const(number.into()),
        false => Instruction::I32Const(number.cast_signed()),
    };
    let fill = [place(0), Instruction::I32Const(1), place(bytes), Instruction::MemoryFill(0), Instruction::LocalGet(0)];
    let (answer, used) = call::<_, i32>(&module_of(memory64, &[&fill]), 7)?;
    Ok(answer.is_ok().then_some(used))
}

#[test]
fn bytes_that_are_moved_are_charged() -> wasmtime::Result<()> {
    for memory64 in [false, true] {
        assert_eq!(units_of_a_fill(memory64, 0)?, Some(0));
        assert_eq!(units_of_a_fill(memory64, 65_536)?, Some(16_384));
        assert_eq!(units_of_a_fill(memory64, 65_537)?, None, "a fill beyond the memory traps as before");
    }
    Ok(())
}

#[test]
fn elements_that_are_moved_are_charged() -> wasmtime::Result<()> {
    let fill = [
        Instruction::I32Const(0),
        Instruction::RefNull(wasm_encoder::HeapType::FUNC),
        Instruction::I32Const(1),
        Instruction::TableFill(0),
        Instruction::LocalGet(0),
    ];
    assert_eq!(call::<_, i32>(&module(&[&fill]), 7)?.1, 1);
    Ok(())
}

#[test]
fn long_functions_are_charged_though_nothing_in_them_repeats() -> wasmtime::Result<()> {
    for (instructions, units) in [(63, 0), (64, 1), (999, 936), (1_000, 40 + 937), (100_000, 46 + 99_937)] {
        let mut body = vec![Instruction::Nop; instructions];
        body.push(Instruction::LocalGet(0));
        assert_eq!(call::<_, i32>(&module(&[&body]), 7)?.1, units, "{instructions}");
    }
    Ok(())
}

#[test]
fn a_module_within_nested_components_has_a_meter() -> wasmtime::Result<()> {
    let mut inner = wasm_encoder::Component::new();
    let bytes = module(&[&countdown(&[])]);
    inner.section(&wasm_encoder::RawSection { id: 1, data: &bytes });
    let mut outer = wasm_encoder::Component::new();
    outer.section(&wasm_encoder::NestedComponentSection(&inner));
    let written = metered(&outer.finish())?;
    let meter = metered_module(&bytes)?;
    assert!(written.windows(meter.len()).any(|window| window == meter));
    Validator::new().validate_all(&written)?;
    Ok(())
}

#[test]
fn a_component_that_names_its_own_counter_is_refused() {
    let component = |globals: &[Instruction<'_>]| {
        let mut component = wasm_encoder::Component::new();
        let mut body = vec![Instruction::LocalGet(0)];
        body.splice(0..0, globals.iter().cloned());
        component.section(&wasm_encoder::RawSection { id: 1, data: &module(&[&body]) });
        component.finish()
    };
    assert!(metered(&component(&[])).is_ok());
    // The counter, the report and the table have these numbers once they are there.
    for reach in [
        vec![Instruction::I64Const(i64::MAX), Instruction::GlobalSet(0)],
        vec![Instruction::Call(1)],
        vec![Instruction::TableSize(1), Instruction::Drop],
    ] {
        let refused = metered(&component(&reach)).map(|_| ());
        assert!(refused.is_err_and(|error| error.message().contains("unknown")), "{reach:?}");
    }
}
