//! A second look: some items of a batch are asked about again, in another order and in other company. What a plugin answers
//! is promised to depend on the item alone; data that depends on how rows were batched could not be made again.
//!
//! It is a sample, chosen by what the items are, so that it costs little and a plugin cannot know which items it holds.

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
            // Each place has a number that the items decide; those with the smallest are taken.
            let number = |place: usize| ContentHash::of_parts([batch.as_bytes(), &place.to_le_bytes()]).to_string();
            let mut places: Vec<usize> = (0..length).collect();
            places.sort_by_cached_key(|place| number(*place));
            places.truncate(items_max.min(length.div_ceil(2)));
            places.sort_by(|one, other| other.cmp(one));
            places
        }
    }
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
