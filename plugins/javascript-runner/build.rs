//! Deep recursion in JavaScript is deep recursion in C, whose stack is part of the component's memory.

/// Some 60,000 levels of a small function. What goes deeper traps: QuickJS cannot see the stack's end on WebAssembly.
const STACK_BYTES: usize = 16 << 20;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK_BYTES}");
    }
}
