//! Fuzzes the loader of JSON lines.
#![cfg_attr(fuzzing, no_main)]

hilora_fuzz::target!(hilora_fuzz::jsonl);
