//! Fuzzes the loader of APPS.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hilora_fuzz::read_file::<apps::Apps>(bytes));
