//! Fuzzes the loader of TACO.
#![cfg_attr(fuzzing, no_main)]

hilora_fuzz::target!(hilora_fuzz::taco);
