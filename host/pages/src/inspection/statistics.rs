//! Statistics of one side of the data: counts and lengths, in all, by domain and by difficulty.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Lengths;

/// What is counted of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedRow {
    /// What it is: `solved problem`, `conversation`, `policy case`, `held-out problem`.
    pub kind: &'static str,
    /// The domain a classifier gave it.
    pub domain: String,
    /// The dataset's own word for how hard it is.
    pub difficulty: Option<String>,
    /// Whether it is a solved problem whose reasoning is written down.
    pub has_reasoning: bool,
    /// How many tokens it has.
    pub tokens: usize,
    /// How many of them are trained on.
    pub trained_tokens: usize,
    /// How many tests judge an answer.
    pub tests: Option<usize>,
}

/// The counts and lengths of one side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideStatistics {
    /// The side: `train`, `eval` or `tests`.
    pub side: &'static str,
    /// Its rows.
    pub rows: usize,
    /// Its rows by what they are.
    pub kinds: BTreeMap<&'static str, usize>,
    /// Solved problems whose reasoning is written down.
    pub with_reasoning: usize,
    /// `training.max_seq_length`, where longer rows are left out.
    pub max_tokens: Option<usize>,
    /// Rows that are longer.
    pub too_long: Option<usize>,
    /// Tokens of a row.
    pub tokens: Option<Lengths>,
    /// Tokens of a row that are trained on.
    pub trained_tokens: Option<Lengths>,
    /// Tests of a problem.
    pub tests: Option<Lengths>,
    /// The same by domain.
    pub by_domain: Vec<GroupStatistics>,
    /// The same by difficulty.
    pub by_difficulty: Vec<GroupStatistics>,
}

/// The counts and lengths of a group of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupStatistics {
    /// The group's name; `none` where the dataset has no word.
    pub group: String,
    /// Its rows.
    pub rows: usize,
    /// Rows that are longer than `max_tokens`.
    pub too_long: Option<usize>,
    /// Tokens of a row.
    pub tokens: Lengths,
}

impl SideStatistics {
    /// Counts a side's rows. `max_tokens` is given where longer rows are left out.
    pub fn of(side: &'static str, rows: &[InspectedRow], max_tokens: Option<usize>) -> Self {
        let mut kinds = BTreeMap::new();
        rows.iter().for_each(|row| *kinds.entry(row.kind).or_default() += 1);
        let trained = rows.iter().any(|row| row.trained_tokens > 0);
        let trained_tokens = rows.iter().filter(|_| trained).map(|row| row.trained_tokens as u64);
        Self {
            side,
            rows: rows.len(),
            kinds,
            with_reasoning: rows.iter().filter(|row| row.has_reasoning).count(),
            max_tokens,
            too_long: too_long(rows, max_tokens),
            tokens: Lengths::of(rows.iter().map(|row| row.tokens as u64)),
            trained_tokens: Lengths::of(trained_tokens),
            tests: Lengths::of(rows.iter().filter_map(|row| row.tests).map(|tests| tests as u64)),
            by_domain: groups(rows, max_tokens, |row| row.domain.clone()),
            by_difficulty: groups(rows, max_tokens, |row| row.difficulty.clone().unwrap_or_else(|| "none".to_owned())),
        }
    }
}

fn too_long<'a>(rows: impl IntoIterator<Item = &'a InspectedRow>, max_tokens: Option<usize>) -> Option<usize> {
    max_tokens.map(|max| rows.into_iter().filter(|row| row.tokens > max).count())
}

fn groups(
    rows: &[InspectedRow],
    max_tokens: Option<usize>,
    name: impl Fn(&InspectedRow) -> String,
) -> Vec<GroupStatistics> {
    let mut members: BTreeMap<String, Vec<&InspectedRow>> = BTreeMap::new();
    rows.iter().for_each(|row| members.entry(name(row)).or_default().push(row));
    let group = |(group, rows): (String, Vec<&InspectedRow>)| {
        let tokens = Lengths::of(rows.iter().map(|row| row.tokens as u64))?;
        Some(GroupStatistics { group, rows: rows.len(), too_long: too_long(rows.iter().copied(), max_tokens), tokens })
    };
    members.into_iter().filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_all_and_by_group() {
        let row = |domain: &str, difficulty: Option<&str>, tokens| InspectedRow {
            kind: "solved problem",
            domain: domain.to_owned(),
            difficulty: difficulty.map(str::to_owned),
            has_reasoning: tokens > 20,
            tokens,
            trained_tokens: tokens / 2,
            tests: None,
        };
        let rows = [row("math", Some("A"), 10), row("math", None, 30), row("python", Some("A"), 50)];
        let side = SideStatistics::of("train", &rows, Some(30));
        assert_eq!((side.rows, side.with_reasoning, side.too_long), (3, 2, Some(1)));
        assert_eq!(side.trained_tokens.map(|lengths| lengths.total), Some(45));
        assert_eq!(side.tests, None);
        let named = |groups: &[GroupStatistics]| -> Vec<(String, usize, Option<usize>)> {
            groups.iter().map(|group| (group.group.clone(), group.rows, group.too_long)).collect()
        };
        assert_eq!(named(&side.by_domain), [("math".to_owned(), 2, Some(0)), ("python".to_owned(), 1, Some(1))]);
        assert_eq!(named(&side.by_difficulty), [("A".to_owned(), 2, Some(1)), ("none".to_owned(), 1, Some(0))]);
        assert_eq!(SideStatistics::of("eval", &[], None).tokens, None);
    }
}
