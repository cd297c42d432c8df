//! The comparison of two outputs that are cut into pieces: lines, or tokens.

/// A piece of the expected text and one of what came, of which one may be lacking.
pub(super) type Differing<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The first pieces that are not the same, each the other's counterpart, of which one may be lacking; `None` if both have
/// as many pieces, each the same as its counterpart.
pub(super) fn first_difference<'a>(
    mut expected: impl Iterator<Item = &'a [u8]>,
    mut actual: impl Iterator<Item = &'a [u8]>,
    same: impl Fn(&[u8], &[u8]) -> bool,
) -> Option<Differing<'a>> {
    loop {
        match (expected.next(), actual.next()) {
            (None, None) => return None,
            (Some(expected), Some(actual)) if same(expected, actual) => {}
            differing => return Some(differing),
        }
    }
}

/// Where the bytes of two texts first differ beside white space or, if they do nowhere, in it. `None` if they are the same.
pub(super) fn bytes_difference(expected: &[u8], actual: &[u8]) -> Option<(usize, usize)> {
    fn ink(text: &[u8]) -> impl Iterator<Item = &[u8]> {
        text.chunks(1).filter(|byte| !byte[0].is_ascii_whitespace())
    }
    let same = |expected: &[u8], actual: &[u8]| expected == actual;
    let differing = first_difference(ink(expected), ink(actual), same)
        .or_else(|| first_difference(expected.chunks(1), actual.chunks(1), same))?;
    Some(places((expected, actual), differing, false))
}

/// Where two pieces part, as places in the texts that they were cut out of; a text that lacks the piece parts at its end.
pub(super) fn places(
    (expected, actual): (&[u8], &[u8]),
    (expected_piece, actual_piece): Differing<'_>,
    ignore_case: bool,
) -> (usize, usize) {
    let same_until = match (expected_piece, actual_piece) {
        (Some(expected), Some(actual)) => {
            let same = |(left, right): &(&u8, &u8)| same_bytes(&[**left], &[**right], ignore_case);
            expected.iter().zip(actual).take_while(same).count()
        }
        _ => 0,
    };
    let place = |text: &[u8], piece: Option<&[u8]>| match piece {
        // A piece is a part of its text, so the distance of their first bytes is its place.
        Some(piece) => (piece.as_ptr() as usize).saturating_sub(text.as_ptr() as usize) + same_until,
        None => text.len(),
    };
    (place(expected, expected_piece), place(actual, actual_piece))
}

/// Whether two pieces are the same bytes, or, where that is asked for, ASCII letters that differ in case alone.
pub(super) fn same_bytes(expected: &[u8], actual: &[u8], ignore_case: bool) -> bool {
    expected == actual || ignore_case && expected.eq_ignore_ascii_case(actual)
}

#[cfg(test)]
mod tests {
    use super::bytes_difference;

    #[test]
    fn white_space_differs_only_where_nothing_else_does() {
        for (expected, actual, places) in [
            ("[1, 2]", "[1,3]", Some((4, 3))),
            ("[1, 2]", "[1,2,3]", Some((5, 4))),
            ("[\"a b\"]", "[\"a  b\"]", Some((4, 4))),
            ("[1]", "", Some((0, 0))),
            ("[1]", "[1]", None),
        ] {
            assert_eq!(bytes_difference(expected.as_bytes(), actual.as_bytes()), places, "{expected} {actual}");
        }
    }
}
