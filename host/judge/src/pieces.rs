//! The comparison of two outputs that are cut into pieces: lines, or tokens.

/// Whether both have as many pieces, each the same as its counterpart.
pub(super) fn pieces_match<'a>(
    mut expected: impl Iterator<Item = &'a [u8]>,
    mut actual: impl Iterator<Item = &'a [u8]>,
    same: impl Fn(&[u8], &[u8]) -> bool,
) -> bool {
    loop {
        match (expected.next(), actual.next()) {
            (None, None) => return true,
            (Some(expected), Some(actual)) if same(expected, actual) => {}
            _ => return false,
        }
    }
}

/// Whether two pieces are the same bytes, or, where that is asked for, ASCII letters that differ in case alone.
pub(super) fn same_bytes(expected: &[u8], actual: &[u8], ignore_case: bool) -> bool {
    expected == actual || ignore_case && expected.eq_ignore_ascii_case(actual)
}
