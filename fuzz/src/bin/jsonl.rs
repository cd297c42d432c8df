//! Fuzzes the loader of JSON lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hilora_fuzz::read_file_with_options::<jsonl::Jsonl>(bytes));
