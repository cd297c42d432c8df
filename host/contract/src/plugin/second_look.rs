//! A second look: some items of a batch are asked about again, in another order and in other company. What a plugin answers
//! is promised to depend on the item alone; data that depends on how rows were batched could not be made again.
//!
//! It is a sample, so that it costs little, and one of what the items are, so that the same data is looked at alike.

use std::collections::BTreeSet;

use crate::artifact::ContentHash;

/// Asks again about at most `items_max` of the items (two or more), and about no more than half of them where there are
/// more than two. Gives the place of the first whose answer
/// differs, with the second answer; `id` is what decides which items are chosen.
pub fn second_look<I: Clone, A: PartialEq, E>(
    items: &[I],
    answers: &[A],
    items_max: usize,
    id: impl Fn(&I) -> &str,
    ask: impl FnOnce(&[I]) -> Result<Vec<A>, E>,
) -> Result<Option<(usize, Option<A>)>, E> {
    let chosen = second_batch(items.len(), items_max, items.iter().map(|item| id(item).as_bytes()));
    if chosen.is_empty() {
        return Ok(None);
    }
    let again: Vec<I> = chosen.iter().map(|place| items[*place].clone()).collect();
    let mut second = ask(&again)?.into_iter();
    for place in chosen {
        let answer = second.next();
        if answer.as_ref() != answers.get(place) {
            return Ok(Some((place, answer)));
        }
    }
    Ok(None)
}

/// The places of a second batch: the last ones first. Where there are one or two items, one is in it twice.
fn second_batch<'a>(length: usize, items_max: usize, ids: impl Iterator<Item = &'a [u8]>) -> Vec<usize> {
    match length {
        0 => Vec::new(),
        1 => vec![0, 0],
        2 => vec![1, 0, 0],
        _ => {
            let batch = ContentHash::of_parts(ids);
            let seed = batch.as_bytes().iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
            let mut places: Vec<usize> = distinct_places(seed, length, items_max.min(length.div_ceil(2)));
            places.reverse();
            places
        }
    }
}

/// So many different places below a length, in their order. The numbers are those of a linear congruential generator that
/// comes to all of its 2⁶⁴ states, so that an end is reached.
fn distinct_places(seed: u64, length: usize, count: usize) -> Vec<usize> {
    let mut places = BTreeSet::new();
    let mut state = seed;
    while places.len() < count.min(length) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The high bits are the random ones.
        places.insert(usize::try_from(state >> 33).unwrap_or(0) % length);
    }
    places.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn look(
        length: usize,
        items_max: usize,
        answer: impl Fn(usize, &[String]) -> String,
    ) -> Option<(usize, Option<String>)> {
        let items: Vec<String> = (0..length).map(|item| format!("p{item}")).collect();
        let of_batch = |items: &[String]| (0..items.len()).map(|place| answer(place, items)).collect::<Vec<String>>();
        let first = of_batch(&items);
        let ask = |items: &[String]| Ok::<_, Infallible>(of_batch(items));
        second_look(&items, &first, items_max, |item| item, ask).unwrap_or_else(|never| match never {})
    }

    #[test]
    fn an_answer_that_depends_on_more_than_its_item_is_seen() {
        for length in [1, 2, 3, 10, 128] {
            assert_eq!(look(length, 4, |place, items| items[place].clone()), None, "{length}");
            assert!(look(length, 4, |_, items| items.len().to_string()).is_some(), "the size of {length}");
            let after = |place: usize, items: &[String]| items[..place].last().cloned().unwrap_or_default();
            assert!(look(length, 4, after).is_some(), "the item before, of {length}");
            let differs = look(length, 4, |place, _| place.to_string());
            assert!(differs.is_some_and(|(place, got)| got.is_some_and(|got| got != place.to_string())), "{length}");
        }
        assert_eq!(look(0, 4, |_, _| String::new()), None);
    }

    #[test]
    fn a_second_batch_is_small_and_another_one_for_other_items() {
        let of = |length: usize, name: &str| {
            let ids: Vec<String> = (0..length).map(|item| format!("{name}{item}")).collect();
            second_batch(length, 4, ids.iter().map(|id| id.as_bytes()))
        };
        assert_eq!((of(0, "a"), of(1, "a"), of(2, "a")), (vec![], vec![0, 0], vec![1, 0, 0]));
        for length in 3..200 {
            let places = of(length, "a");
            assert_eq!(places.len(), 4.min(length.div_ceil(2)), "{length}");
            assert!(places.is_sorted_by(|one, next| one > next) && places[0] < length, "{places:?}");
        }
        assert_ne!(of(128, "a"), of(128, "b"));
    }
}
