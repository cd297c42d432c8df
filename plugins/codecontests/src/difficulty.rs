//! A problem's difficulty in the dataset's own words.
//!
//! The integer column is trusted up to 17 only: from 18 on, the dataset's card and its definition disagree by one.

/// The words of the integers 1 to 6.
const WORDS: [&str; 6] = ["easy", "medium", "hard", "harder", "hardest", "external"];

/// The difficulty: Codeforces' letter from `cf_index`, else from the name, else the integer's word or letter, else
/// Codeforces' rating; `None` where all are missing.
pub(crate) fn difficulty(cf_index: &str, name: &str, integer: i64, cf_rating: i64) -> Option<String> {
    let letter = cf_index.chars().next().filter(char::is_ascii_uppercase).or_else(|| letter_of_name(name));
    if let Some(letter) = letter {
        return Some(letter.to_string());
    }
    match integer {
        1..=6 => Some(WORDS[integer as usize - 1].to_owned()),
        7..=17 => Some(char::from(b'A' + (integer - 7) as u8).to_string()),
        _ => (cf_rating > 0).then(|| cf_rating.to_string()),
    }
}

/// A name without Codeforces' prefix: "Watermelon" of "4_A. Watermelon".
pub(crate) fn title(name: &str) -> &str {
    match codeforces_prefix(name) {
        Some((_, title)) if !title.is_empty() => title,
        _ => name,
    }
}

fn letter_of_name(name: &str) -> Option<char> {
    codeforces_prefix(name).map(|(letter, _)| letter)
}

/// Splits "1348_B2. Title" into 'B' and "Title".
fn codeforces_prefix(name: &str) -> Option<(char, &str)> {
    let (contest, rest) = name.split_once('_')?;
    let (index, title) = rest.split_once('.')?;
    let letter = index.chars().next().filter(char::is_ascii_uppercase)?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!contest.is_empty() && digits(contest) && digits(&index[1..])).then(|| (letter, title.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_comes_from_index_or_name_never_from_a_late_integer() {
        // `630_O` carries 22 in an export, which is O in the definition and P on the card.
        assert_eq!(difficulty("O", "630_O. Arrow", 22, 0).as_deref(), Some("O"));
        assert_eq!(difficulty("", "630_O. Arrow", 22, 0).as_deref(), Some("O"));
        assert_eq!(difficulty("", "Arrow", 22, 0), None);
        assert_eq!(difficulty("B2", "x", 0, 0).as_deref(), Some("B"));
        assert_eq!(difficulty("", "1348_B2. Phoenix", 0, 0).as_deref(), Some("B"));
    }

    #[test]
    fn early_integers_are_words_and_letters() {
        for (integer, expected) in [(1, "easy"), (2, "medium"), (6, "external"), (7, "A"), (17, "K")] {
            assert_eq!(difficulty("", "xor", integer, 1500).as_deref(), Some(expected));
        }
        assert_eq!(difficulty("", "xor", 0, 1500).as_deref(), Some("1500"));
        for missing in [0, -1, 18, i64::MAX] {
            assert_eq!(difficulty("", "xor", missing, 0), None);
        }
    }

    #[test]
    fn titles_lose_the_codeforces_prefix_only() {
        for (name, expected) in [
            ("4_A. Watermelon", "Watermelon"),
            ("1348_B2. A. B", "A. B"),
            ("p00001 List of Top 3 Hills", "p00001 List of Top 3 Hills"),
            ("brackets_x. y", "brackets_x. y"),
            ("12_. y", "12_. y"),
            ("4_A.", "4_A."),
            ("_é. y", "_é. y"),
        ] {
            assert_eq!(title(name), expected);
        }
    }
}
