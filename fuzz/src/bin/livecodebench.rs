//! Fuzzes the loader of LiveCodeBench.
#![cfg_attr(fuzzing, no_main)]

hilora_fuzz::target!(hilora_fuzz::livecodebench);
