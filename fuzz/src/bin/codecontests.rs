//! Fuzzes the loader of CodeContests.
#![cfg_attr(fuzzing, no_main)]

hilora_fuzz::target!(hilora_fuzz::codecontests);
