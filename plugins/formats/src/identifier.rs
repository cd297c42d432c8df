//! Identifiers of rows: what a person finds a row by. They stand in every report, so none is longer than a name.

use crate::skip::Skip;

/// The longest identifier, in bytes.
const BYTES_MAX: usize = 1024;

/// Refuses an identifier that is too long (`wrong-type`); `field` is what it was read from.
pub fn check(field: &str, identifier: &str) -> Result<(), Skip> {
    if identifier.len() > BYTES_MAX {
        let expected = format!("an identifier of at most {BYTES_MAX} bytes");
        return Err(Skip::wrong_type(field, &expected, &format!("{} bytes", identifier.len())));
    }
    Ok(())
}
