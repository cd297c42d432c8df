//! Fuzzes the loader of CodeContests.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hilora_fuzz::read_file::<codecontests::CodeContests>(bytes));
