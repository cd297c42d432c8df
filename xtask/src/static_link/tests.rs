use wasmparser::{Instance, Parser, Payload};

use super::*;

/// Two libraries linked dynamically, as componentize-py links them: one memory and table in `main`, addresses in
/// globals, and a function of the second library that the first reaches through the table.
const LINKED: &str = r#"
(component
  (core module $main
    (type $binary (func (param i32 i32) (result i32)))
    (table (export "table") 4 funcref)
    (memory (export "memory") 1)
    (global (export "base") i32 (i32.const 1024))
    (global (export "got") (mut i32) (i32.const 1030))
    (global (export "stack") (mut i32) (i32.const 900))
    (func (export "later") (param i32 i32) (result i32)
      local.get 0 local.get 1 i32.const 2 call_indirect (type $binary))
    (data (i32.const 1030) "\2a\00\00\00"))
  (core module $first
    (import "env" "later" (func $later (param i32 i32) (result i32)))
    (import "env" "base" (global $base i32))
    (import "env" "got" (global $got (mut i32)))
    (import "env" "stack" (global $stack (mut i32)))
    (import "env" "memory" (memory 1))
    (func $unused (global.set $got (i32.const 7)))
    (func (export "run") (param i32) (result i32)
      (global.set $stack (i32.sub (global.get $stack) (i32.const 8)))
      (call $later (i32.load (global.get $got)) (i32.add (global.get $base) (local.get 0)))))
  (core module $second
    (import "env" "table" (table 4 funcref))
    (import "env" "base" (global $base i32))
    (func $add (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (elem (table 0) (offset (i32.sub (global.get $base) (i32.const 1022))) func $add))
  (core instance $main (instantiate $main))
  (alias core export $main "later" (core func $later))
  (alias core export $main "base" (core global $base))
  (alias core export $main "got" (core global $got))
  (alias core export $main "stack" (core global $stack))
  (alias core export $main "memory" (core memory $memory))
  (alias core export $main "table" (core table $table))
  (core instance $env
    (export "later" (func $later)) (export "base" (global $base)) (export "got" (global $got))
    (export "stack" (global $stack)) (export "memory" (memory $memory)) (export "table" (table $table)))
  (core instance $first (instantiate $first (with "env" (instance $env))))
  (core instance $second (instantiate $second (with "env" (instance $env))))
  (alias core export $first "run" (core func $run))
  (func (export "run") (param "x" s32) (result s32) (canon lift (core func $run))))
"#;

fn linked() -> Result<Vec<u8>> {
    static_link(&wat::parse_str(LINKED)?, None)
}

/// The text of a component's only core module.
fn module_text(component: &[u8]) -> Result<String> {
    let text = wasmprinter::print_bytes(component)?;
    let start = text.find("(core module").context("no module")?;
    let end = text.find("(core instance").context("no instance")?;
    Ok(text[start..end].to_owned())
}

#[test]
fn one_module_with_direct_calls_and_constant_addresses() -> Result<()> {
    let linked = linked()?;
    let modules = Parser::new(0)
        .parse_all(&linked)
        .filter(|payload| matches!(payload, Ok(Payload::ModuleSection { .. })))
        .count();
    assert_eq!(modules, 1);
    let text = module_text(&linked)?;
    // The call through the table became the call of the function in it.
    assert!(text.contains("call $add"), "{text}");
    // The address that only the linker's own, unreachable code would set is its value; the stack pointer stays.
    assert_eq!(text.matches("(global (;").count(), 1, "{text}");
    assert!(text.contains("i32.const 1030\n      i32.load"), "{text}");
    assert!(text.contains("global.set 0"), "{text}");
    assert!(
        text.contains("(elem (;0;) (table 0) (i32.const 2)") || text.contains("(elem (;0;) (i32.const 2)"),
        "{text}"
    );
    Ok(())
}

#[test]
fn the_one_instance_is_made_of_what_stays_outside() -> Result<()> {
    let linked = linked()?;
    let mut instances = Vec::new();
    for payload in Parser::new(0).parse_all(&linked) {
        if let Payload::InstanceSection(section) = payload? {
            for instance in section {
                instances.push(matches!(instance?, Instance::Instantiate { .. }));
            }
        }
    }
    // What is given to it (nothing, here), and it.
    assert_eq!(instances, [false, true]);
    Ok(())
}

#[test]
fn what_is_not_fixed_is_refused() -> Result<()> {
    let refused = |from: &str, to: &str| -> Result<String> {
        let text = LINKED.replacen(from, to, 1);
        assert_ne!(text, LINKED);
        Ok(format!("{:#}", static_link(&wat::parse_str(text)?, None).expect_err("it is not fixed")))
    };
    let sets_a_slot =
        "local.get 0 local.get 1 i32.const 2 call_indirect (type $binary) i32.const 0 ref.null func table.set 0";
    let error = refused("local.get 0 local.get 1 i32.const 2 call_indirect (type $binary)", sets_a_slot)?;
    assert!(error.contains("changed at run time"), "{error}");
    let error = refused("(elem (table 0)", "(start $add_nothing) (func $add_nothing) (elem (table 0)")?;
    assert!(error.contains("start function"), "{error}");
    let error = refused("(memory (export \"memory\") 1)", "(memory (export \"memory\") 1) (memory 1)")?;
    assert!(error.contains("one memory"), "{error}");
    let error = refused("(data (i32.const 1030)", "(data \"passive\") (data (i32.const 1030)")?;
    assert!(error.contains("passive data segment"), "{error}");
    for drops in ["data.drop 0", "i32.const 0 i32.const 0 i32.const 0 memory.init 0"] {
        let later = "local.get 0 local.get 1 i32.const 2 call_indirect (type $binary)";
        let error = refused(later, &format!("{later} {drops}"))?;
        assert!(error.contains("named at run time"), "{error}");
    }
    // A module that stays outside, for it has a table and no memory, and is given what only the merged one may change.
    let run = "(alias core export $first \"run\" (core func $run))";
    for (import, given, expected) in [
        ("(table 4 funcref)", "(table $table)", "a Table of the merged module is used outside"),
        ("(global (mut i32))", "(global $stack)", "a Global of the merged module is used outside"),
    ] {
        let outside = format!(
            "(core module $outside (import \"given\" \"it\" {import}) (table 1 funcref))
             (core instance $given (export \"it\" {given}))
             (core instance (instantiate $outside (with \"given\" (instance $given))))"
        );
        let error = refused(run, &format!("{outside} {run}"))?;
        assert!(error.contains(expected), "{error}");
    }
    assert!(static_link(b"\0asm\x01\0\0\0", None).is_err());
    assert!(static_link(b"no component", None).is_err());
    Ok(())
}

/// The same with a stack of one page, CPython's three addresses at 1040, and the function that frees objects.
fn with_a_stack() -> String {
    LINKED
        .replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 2)")
        .replace("\"stack\"", "\"__stack_pointer\"")
        .replace("(i32.const 900)", "(i32.const 65536)")
        .replace(
            "(data (i32.const 1030)",
            "(data (i32.const 1040) \"\\00\\00\\01\\00\\00\\40\\00\\00\\00\\20\\00\\00\") (data (i32.const 1030)",
        )
        .replace(
            "(func $unused",
            "(func $frees (export \"_Py_Dealloc\") (param i32) (if (local.get 0) (then (call $frees (i32.const 0)))))
             (func $sets (export \"Py_SetRecursionLimit\") (param i32) (i32.store (i32.const 0) (local.get 0)))
             (func $unused",
        )
        .replace(
            "(call $later (i32.load",
            "(call $frees (i32.const 1)) (call $sets (i32.const 2)) (call $later (i32.load",
        )
}

/// A libm that halves instead of doubling, with a constant where the stack was.
fn libm() -> Result<Vec<u8>> {
    Ok(wat::parse_str(
        r#"(module (import "env" "memory" (memory 1)) (data (i32.const 80) "\3f")
             (func (export "double") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
             (func (export "later") (param i32)))"#,
    )?)
}

fn changes(libm: &[u8]) -> Changes<'_> {
    Changes { stack_bytes: 3 << 20, libm }
}

#[test]
fn the_stack_moves_to_the_end_of_memory_and_freeing_takes_a_part_of_it() -> Result<()> {
    let linked = static_link(&wat::parse_str(with_a_stack())?, Some(&changes(&libm()?)))?;
    let text = module_text(&linked)?;
    assert!(text.contains("(memory (;0;) 50)"), "{text}");
    // The stack ends where memory does, and the limits are two margins and one above its beginning.
    assert!(text.contains("(global (;0;) (mut i32) i32.const 3276800)"), "{text}");
    assert!(text.contains(r#"(i32.const 1040) "\00\002\00\00@\22\00\00 \22\00")"#), "{text}");
    // Both calls go to the function around, and that to the one inside.
    assert!(text.contains("i32.const 256\n      i32.sub\n      global.set 0"), "{text}");
    assert_eq!(text.matches("call $frees").count(), 1, "{text}");
    assert_eq!(text.matches("call $sets").count(), 1, "{text}");
    Ok(())
}

#[test]
fn a_stack_that_is_not_known_is_refused() -> Result<()> {
    let refused = |text: String| -> Result<String> {
        Ok(format!("{:#}", static_link(&wat::parse_str(text)?, Some(&changes(&libm()?))).expect_err("it is not known")))
    };
    assert!(refused(LINKED.to_owned())?.contains("no module exports `__stack_pointer`"));
    let error = refused(with_a_stack().replace("\\00\\40\\00\\00", "\\00\\50\\00\\00"))?;
    assert!(error.contains("nothing holds the limits"), "{error}");
    let twice = with_a_stack().replace(
        "(data (i32.const 1030)",
        "(data (i32.const 2048) \"\\00\\00\\01\\00\\00\\40\\00\\00\\00\\20\\00\\00\") (data (i32.const 1030)",
    );
    assert!(refused(twice)?.contains("more than one place"));
    Ok(())
}
