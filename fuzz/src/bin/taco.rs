//! Fuzzes the loader of TACO.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hilora_fuzz::read_file::<taco::Taco>(bytes));
