//! A fault: whose it is that something failed, and what would mend it. Every error type of the host answers both for all
//! of its variants, so that whoever shows an error needs to know none of them.
//!
//! An error's own text (`Display`) says what, where, expected and got. It never says a hint: those are told once, after
//! the whole chain.

use std::io;

/// Whose fault a failure is. It decides the exit code: what the user or a plugin did ends with 2, the rest with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Something that was given: an argument, a config, a file, an answer of a server that the config names.
    User,
    /// A plugin broke its contract, trapped, or went over a limit.
    Plugin,
    /// The machine: a full disk, a folder that may not be written, a closed pipe, memory, a process that died.
    Machine,
    /// A defect of this program.
    Ours,
}

impl Blame {
    /// Whose fault it is that a file cannot be read. A file that is missing, forbidden or not what it must be was named by
    /// the user; everything else is the machine's.
    pub fn of_reading(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound
            | Kind::PermissionDenied
            | Kind::IsADirectory
            | Kind::NotADirectory
            | Kind::InvalidData
            | Kind::InvalidInput
            | Kind::InvalidFilename
            | Kind::UnexpectedEof => Self::User,
            _ => Self::Machine,
        }
    }

    /// Whose fault it is that a file cannot be written. A place that cannot hold such a file was named by the user; a full
    /// disk, a read-only file system, a folder without the permission and a closed pipe are the machine's.
    pub fn of_writing(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound
            | Kind::IsADirectory
            | Kind::NotADirectory
            | Kind::AlreadyExists
            | Kind::InvalidInput
            | Kind::InvalidFilename => Self::User,
            _ => Self::Machine,
        }
    }
}

/// An error that knows whose fault it is.
pub trait Fault: std::error::Error {
    /// Whose fault it is.
    fn blame(&self) -> Blame;

    /// What would mend it, each as one line without a full stop; empty where no fix is known.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// An input that is wrong in a way that one sentence says.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BadInput {
    message: String,
    hint: Option<String>,
}

impl BadInput {
    /// Wrong, and no fix is known beyond what the message says.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Wrong, and this would mend it.
    pub fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

impl Fault for BadInput {
    fn blame(&self) -> Blame {
        Blame::User
    }

    fn hints(&self) -> Vec<String> {
        self.hint.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_the_machines_and_a_missing_folder_the_users() {
        let writing = |kind| Blame::of_writing(&io::Error::from(kind));
        assert_eq!(writing(io::ErrorKind::StorageFull), Blame::Machine);
        assert_eq!(writing(io::ErrorKind::ReadOnlyFilesystem), Blame::Machine);
        assert_eq!(writing(io::ErrorKind::PermissionDenied), Blame::Machine);
        assert_eq!(writing(io::ErrorKind::BrokenPipe), Blame::Machine);
        assert_eq!(writing(io::ErrorKind::NotFound), Blame::User);
        let reading = |kind| Blame::of_reading(&io::Error::from(kind));
        assert_eq!(reading(io::ErrorKind::NotFound), Blame::User);
        assert_eq!(reading(io::ErrorKind::OutOfMemory), Blame::Machine);
    }
}
