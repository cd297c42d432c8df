//! Fuzzes the loader of APPS.
#![cfg_attr(fuzzing, no_main)]

hilora_fuzz::target!(hilora_fuzz::apps);
