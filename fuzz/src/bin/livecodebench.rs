//! Fuzzes the loader of LiveCodeBench.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hilora_fuzz::read_file::<livecodebench::LiveCodeBench>(bytes));
