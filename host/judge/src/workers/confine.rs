//! What a worker gives up before it runs the first program. The engine contains programs; should it have a fault, there is
//! little that could be done with this process.

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// The newest rules that are asked for; an older kernel keeps those that it knows.
const RULES: ABI = ABI::V6;

/// How much of it the kernel holds this process to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confinement {
    /// No file can be opened, no TCP port used and no other process reached.
    Full,
    /// The kernel knows a part of the rules.
    Partial,
    /// The kernel has none of them (before Linux 5.13, or without Landlock).
    None,
}

/// Gives up, for ever, the right to open files, to use TCP ports, to reach other processes, to gain rights by starting a
/// program and to leave a dump of memory. What is open stays usable. It holds for the calling thread and those that it
/// starts.
pub fn confine() -> Confinement {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Nobody can look at a dump of a program that he does not have, so a failure gives nothing away.
    let _kept = setrlimit(Resource::Core, none);
    let no_rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(RULES)))
        .and_then(|rules| rules.scope(Scope::from_all(RULES)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.restrict_self());
    match no_rules.map(|status| status.ruleset) {
        Ok(RulesetStatus::FullyEnforced) => Confinement::Full,
        Ok(RulesetStatus::PartiallyEnforced) => Confinement::Partial,
        Ok(RulesetStatus::NotEnforced) | Err(_) => {
            // Landlock sets it where it is there; without it, it is still worth having.
            let _refused = rustix::thread::set_no_new_privs(true);
            Confinement::None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::thread;

    use super::*;

    #[test]
    fn a_confined_thread_opens_nothing_and_keeps_what_is_open() {
        // A thread of its own: what is given up does not come back.
        let confined = thread::spawn(|| {
            let open = File::open("/proc/self/exe").map_err(|error| error.to_string())?;
            if confine() == Confinement::None {
                return Ok(());
            }
            let mut first = [0; 4];
            std::io::Read::read_exact(&mut &open, &mut first).map_err(|error| error.to_string())?;
            assert_eq!(&first, b"\x7fELF");
            assert!(File::open("/proc/self/exe").is_err(), "a file");
            assert!(std::process::Command::new("/bin/true").status().is_err(), "a program");
            assert!(rustix::thread::no_new_privs().unwrap_or(false));
            Ok::<(), String>(())
        });
        assert_eq!(confined.join().expect("it does not panic"), Ok(()));
        assert!(File::open("/proc/self/exe").is_ok(), "no other thread has given up anything");
    }
}
