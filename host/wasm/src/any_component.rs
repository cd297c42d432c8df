//! Components of every kind: each runs and finds its memory as it describes it, or is refused by one error. None ends the
//! process.

use std::io;

use wasmtime::Store;
use wasmtime::component::Component;

use crate::engine::engine;
use crate::execution::Stopwatch;
use crate::guest::{Guest, GuestState, Stop};
use crate::linker::linker;
use crate::memory::split;
use crate::metering::metered;
use hilora_contract::plugin::RunLimits;

#[path = "../../../tests/support/random.rs"]
mod random;

use random::Random;

const LIMITS: RunLimits = RunLimits {
    fuel: 50_000_000,
    cpu_time_ms: 0,
    wall_time_ms: 0,
    memory_bytes_max: 64 << 20,
    output_bytes_max: 0,
    reproducible: true,
};

/// Begins an instance of a component in the way that a plugin's is begun, and asks its `run` where it has one.
fn ran(component: &[u8]) -> Result<Option<i32>, String> {
    let told = |error: wasmtime::Error| format!("{error:#}");
    let divided = split(component).map_err(|error: io::Error| error.to_string())?;
    let engine = engine(divided.image).map_err(|error| error.to_string())?;
    let metered = metered(&divided.code).map_err(|error| error.to_string())?;
    let component = Component::from_binary(&engine, &metered).map_err(told)?;
    let linked = linker(&engine, false).and_then(|linker| linker.instantiate_pre(&component)).map_err(told)?;
    let mut answer = Ok(None);
    // Twice, because the second gets what the first has left of its memory.
    for _ in 0..2 {
        let mut guest = Guest::new(&engine, &LIMITS, &[], &[]);
        let called = guest.call(&Stopwatch::start(), 0, async |store: &mut Store<GuestState>| {
            let instance = linked.instantiate_async(&mut *store).await?;
            match instance.get_func(&mut *store, "run") {
                Some(run) => Ok(Some(run.typed::<(), (i32,)>(&*store)?.call_async(store, ()).await?.0)),
                None => Ok(None),
            }
        });
        answer = called.map_err(|stop| match stop {
            Stop::Trap(words) => words,
            other => format!("{other:?}"),
        });
    }
    answer
}

/// The answer of a module's function `run`.
fn answer(module: &str) -> Result<i32, String> {
    let text = format!(
        "(component (core module $m {module}) (core instance $i (instantiate $m))
            (func (export \"run\") (result s32) (canon lift (core func $i \"run\"))))"
    );
    let component = wat::parse_str(text).map_err(|error| error.to_string())?;
    ran(&component).map(|answer| answer.expect("it has the function"))
}

#[test]
fn every_kind_of_memory_and_of_data_is_found_as_it_is_described() {
    const READ: &str = "(func (export \"run\") (result i32) (i32.load (i32.const 8)))";
    for (kind, module) in [
        ("copied at the beginning", format!("(memory 1) (data (i32.const 8) \"\\07\") {READ}")),
        ("with a count, which code that drops or copies data asks for", {
            format!("(memory 1) (data (i32.const 8) \"\\07\") (data $d \"x\") (func (data.drop $d)) {READ}")
        }),
        (
            "copied by code, behind one that is in the image",
            "(memory 1) (data (i32.const 100) \"\\01\\02\") (data $d \"\\00\\07\\00\\00\\00\") (func (export \"run\") (result i32)
                (memory.init $d (i32.const 8) (i32.const 1) (i32.const 4)) (i32.load (i32.const 8)))"
                .to_owned(),
        ),
        (
            "copied over by a later segment, one of them empty",
            format!("(memory 1) (data (i32.const 8) \"\\01\\00\") (data (i32.const 8) \"\\07\") (data (i32.const 65536) \"\") {READ}"),
        ),
        (
            "of 64 bits",
            "(memory i64 1) (data (i64.const 8) \"\\07\") (func (export \"run\") (result i32)
                (drop (memory.grow (i64.const 100))) (i32.load (i64.const 8)))"
                .to_owned(),
        ),
        (
            "two memories with data each",
            "(memory $a 1) (memory $b 1) (data $a (i32.const 8) \"\\03\") (data (memory $b) (i32.const 8) \"\\04\")
                (func (export \"run\") (result i32)
                (i32.add (i32.load $a (i32.const 8)) (i32.load $b (i32.const 8))))"
                .replace("(data $a (", "(data (memory $a) ("),
        ),
        (
            "at a place that is computed",
            format!("(memory 1) (data (i32.add (i32.const 3) (i32.const 5)) \"\\07\") {READ}"),
        ),
        (
            "grown by a start function that reads it",
            format!(
                "(memory 1) (data (i32.const 4) \"\\07\") (func $s (drop (memory.grow (i32.const 2)))
                    (i32.store (i32.const 8) (i32.load (i32.const 4)))) (start $s) {READ}"
            ),
        ),
        ("none at all", "(func (export \"run\") (result i32) (i32.const 7))".to_owned()),
    ] {
        assert_eq!(answer(&module), Ok(7), "{kind}");
    }
    // Data that is in the image is gone for code, as it is where it was copied.
    let dropped = "(memory 1) (data $d (i32.const 8) \"\\07\") (func (export \"run\") (result i32)
        (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)) (i32.const 7))";
    assert!(answer(dropped).is_err_and(|error| error.contains("out of bounds memory access")));
    for outside in ["(memory 1) (data (i32.const 65536) \"x\")", "(memory 0) (data (i32.const -1) \"x\")"] {
        let refused = answer(&format!("{outside} (func (export \"run\") (result i32) (i32.const 7))"));
        assert!(refused.as_ref().is_err_and(|error| error.contains("out of bounds memory access")), "{refused:?}");
    }
}

#[test]
fn what_is_off_is_refused_by_its_name() {
    const RUN: &str = "(func (export \"run\") (result i32) (i32.const 7))";
    for (module, name) in [
        ("(memory 1 2 shared)", "threads must be enabled for shared memories"),
        ("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))", "threads support is not enabled"),
        ("(memory 1 (pagesize 1))", "the custom page sizes proposal must be enabled"),
        ("(type $s (struct (field i32)))", "without the gc feature"),
        ("(table 1 externref)", "gc types are disallowed"),
        ("(tag $e)", "exceptions proposal not enabled"),
        ("(type $f (func)) (func (param (ref null $f)) (call_ref $f (local.get 0)))", "function references"),
        (
            "(func (result i64 i64) (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)))",
            "wide arithmetic",
        ),
    ] {
        let refused = answer(&format!("{module} {RUN}"));
        assert!(refused.as_ref().is_err_and(|error| error.contains(name)), "{module}: {refused:?}");
    }
}

/// What the proposal leaves open and this host does not: the same bits on every processor.
#[test]
fn relaxed_instructions_and_undefined_numbers_have_one_answer() {
    // Each with what the proposal's deterministic reading says.
    for (name, vector, expected) in [
        // An index that is out of range gives zero.
        (
            "swizzle",
            "(i8x16.relaxed_swizzle (v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
            (v128.const i8x16 128 17 0 3 0 0 0 0 0 0 0 0 0 0 0 0))",
            0x0401_0000,
        ),
        // What does not fit is the nearest number that does, and what is none is zero.
        ("trunc", "(i32x4.relaxed_trunc_f32x4_s (v128.const f32x4 3e38 0 0 0))", i32::MAX),
        ("trunc of no number", "(i32x4.relaxed_trunc_f32x4_s (v128.const f32x4 nan 0 0 0))", 0),
        // Rounded once: 1 + 2^-12 squared, less 1 + 2^-11, is 2^-24. Rounded twice it were zero.
        (
            "madd",
            "(f32x4.relaxed_madd (v128.const f32x4 0x1.001p0 0 0 0) (v128.const f32x4 0x1.001p0 0 0 0)
            (v128.const f32x4 -0x1.002p0 0 0 0))",
            0x3380_0000,
        ),
        // The other operand where one is no number, as the ordinary minimum has it.
        ("min", "(f32x4.relaxed_min (v128.const f32x4 nan 0 0 0) (v128.const f32x4 1 0 0 0))", 0x7fc0_0000),
        (
            "laneselect",
            "(i32x4.relaxed_laneselect (v128.const i32x4 -1 0 0 0) (v128.const i32x4 0 0 0 0)
            (v128.const i32x4 0x0f0f 0 0 0))",
            0x0f0f,
        ),
        (
            "q15mulr",
            "(i16x8.relaxed_q15mulr_s (v128.const i16x8 -32768 0 0 0 0 0 0 0)
            (v128.const i16x8 -32768 0 0 0 0 0 0 0))",
            0x7fff,
        ),
        // No number has one form, whatever made it: 0/0 has its sign set on one processor and not on another.
        ("0/0", "(f32x4.div (v128.const f32x4 0 0 0 0) (v128.const f32x4 0 0 0 0))", 0x7fc0_0000),
        ("a payload", "(f32x4.add (v128.const f32x4 -nan:0x1234 0 0 0) (v128.const f32x4 1 0 0 0))", 0x7fc0_0000),
    ] {
        let module = format!("(func (export \"run\") (result i32) (i32x4.extract_lane 0 {vector}))");
        assert_eq!(answer(&module), Ok(expected), "{name}");
    }
    let scalar = "(func (export \"run\") (result i32)
        (i32.reinterpret_f32 (f32.sqrt (f32.demote_f64 (f64.sub (f64.const inf) (f64.const inf))))))";
    assert_eq!(answer(scalar), Ok(0x7fc0_0000));
}

/// Memories, segments and code that copies them, in any number and at any place.
#[test]
fn a_module_of_any_form_never_ends_the_process() {
    let mut random = Random::new(18);
    let (mut begun, mut refused) = (0, 0);
    for round in 0..150 {
        let module = of_random_form(&mut random);
        let outcome = answer(&module);
        match &outcome {
            // What a module says of its memory itself.
            Ok(right) => assert_eq!(*right, 7, "{round}: {module}"),
            Err(error) => assert!(!error.is_empty(), "{round}: {module}"),
        }
        *if outcome.is_ok() { &mut begun } else { &mut refused } += 1;
    }
    // Both happen, or nothing was tried.
    assert!(begun > 30 && refused > 30, "{begun} began, {refused} were refused");
}

/// A module whose `run` gives 7 if its first memory's last four bytes are what its segments say, and traps otherwise.
fn of_random_form(random: &mut Random) -> String {
    let memories: Vec<bool> = (0..1 + random.below(3).saturating_sub(1)).map(|_| random.below(4) == 0).collect();
    let pages = random.below(3);
    let number = |is_64: bool, value: i64| format!("({}.const {value})", if is_64 { "i64" } else { "i32" });
    let mut module = String::new();
    for is_64 in &memories {
        module += &format!("(memory {} {pages})", if *is_64 { "i64" } else { "" });
    }
    let mut last = None;
    for segment in 0..random.below(4) {
        let bytes = "\\2a".repeat([0, 1, 4, 5_000][random.below(4)]);
        let (memory, place) = (random.below(memories.len()), [0, 60_000, 65_536, 131_070][random.below(4)]);
        match random.below(3) {
            0 => module += &format!("(data $d{segment} \"{bytes}\")"),
            _ => {
                module +=
                    &format!("(data $d{segment} (memory {memory}) {} \"{bytes}\")", number(memories[memory], place));
                if memory == 0 && !bytes.is_empty() {
                    last = Some(place);
                }
            }
        }
        match random.below(4) {
            // Of a segment that is copied already nothing is left, which traps where something is asked for.
            0 => {
                let copied = number(memories[0], 0);
                module += &format!("(func $s{segment} (memory.init $d{segment} {copied} (i32.const 0) (i32.const 1)))");
                if random.below(4) == 0 {
                    module += &format!("(start $s{segment})");
                }
            }
            1 => module += &format!("(func (data.drop $d{segment}))"),
            _ => {}
        }
    }
    let read = match last {
        Some(place) => format!("(i32.load8_u {})", number(memories[0], place)),
        None => "(i32.const 42)".to_owned(),
    };
    module + &format!("(func (export \"run\") (result i32) (i32.sub {read} (i32.const 35)))")
}
