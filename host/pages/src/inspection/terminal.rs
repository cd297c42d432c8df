//! Rows and statistics for a terminal. With colours, trained-on text is green and the layout's own text is blue;
//! without them, trained-on text stands between ⟪ and ⟫. Control characters of foreign text are shown, never sent.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use hilora_contract::terminal::{visible, visible_line};

use super::{GroupStatistics, LaidOutRow, Lengths, Piece, SideStatistics};

/// The widest bar of a histogram.
const BAR_MAX: usize = 40;

/// The most characters of a name or a note, each of which is a part of one line.
const NAME_CHARACTERS_MAX: usize = 200;

/// Whether colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// As escape sequences.
    On,
    /// Not at all; marks stand in their place.
    Off,
}

impl Colours {
    /// On for a terminal, unless `NO_COLOR` holds something (no-color.org).
    pub fn choose(is_terminal: bool, no_color: Option<&std::ffi::OsStr>) -> Self {
        if is_terminal && no_color.is_none_or(std::ffi::OsStr::is_empty) { Self::On } else { Self::Off }
    }

    fn paint(self, style: Style, text: &str) -> String {
        match self {
            Self::Off => text.to_owned(),
            // A style ends with its line: a pager shows lines by themselves.
            Self::On => text
                .split('\n')
                .map(|line| if line.is_empty() { String::new() } else { format!("{style}{line}{style:#}") })
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}

/// Rows with their trained text.
pub fn rows_text(rows: &[LaidOutRow], colours: Colours) -> String {
    let mut text = String::new();
    for row in rows {
        let heading = format!("{}: {}", one_line(&row.name), one_line(&row.note()));
        push_line(&mut text, &colours.paint(Style::new().bold(), &heading));
        push_line(&mut text, &pieces_text(&row.pieces, colours));
        text.push('\n');
    }
    if colours == Colours::On {
        let legend = [
            colours.paint(style(false, true), "trained on"),
            colours.paint(style(true, true), "trained-on control text"),
            colours.paint(style(true, false), "control text"),
            "content".to_owned(),
        ];
        push_line(&mut text, &legend.join("  "));
    } else {
        push_line(&mut text, "⟪trained on⟫");
    }
    text
}

fn pieces_text(pieces: &[Piece], colours: Colours) -> String {
    let mut text = String::new();
    let mut trained = false;
    for piece in pieces.iter().filter(|piece| !piece.text.is_empty()) {
        if colours == Colours::Off && piece.trained != trained {
            text.push(if piece.trained { '⟪' } else { '⟫' });
        }
        trained = piece.trained;
        text.push_str(&colours.paint(style(piece.control, piece.trained), &visible(&piece.text)));
    }
    if colours == Colours::Off && trained {
        text.push('⟫');
    }
    text
}

fn style(control: bool, trained: bool) -> Style {
    match (control, trained) {
        (false, false) => Style::new(),
        (true, false) => AnsiColor::Blue.on_default(),
        (false, true) => AnsiColor::Green.on_default(),
        (true, true) => AnsiColor::Green.on_default().bold().underline(),
    }
}

fn one_line(name: &str) -> String {
    visible_line(name, NAME_CHARACTERS_MAX)
}

fn push_line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", line.trim_end_matches('\n'));
}

/// Every side's counts, lengths and histogram.
pub fn statistics_text(sides: &[SideStatistics]) -> String {
    let mut text = String::new();
    for side in sides {
        let kinds: Vec<String> = side.kinds.iter().map(|(kind, rows)| format!("{rows} {kind}s")).collect();
        push_line(&mut text, &format!("{}: {} rows ({})", side.side, side.rows, kinds.join(", ")));
        if side.with_reasoning > 0 {
            push_line(&mut text, &format!("  {} with a reasoning of their own", side.with_reasoning));
        }
        if let (Some(max), Some(too_long)) = (side.max_tokens, side.too_long) {
            push_line(&mut text, &format!("  {too_long} longer than training.max_seq_length ({max})"));
        }
        push_tables(&mut text, side);
        text.push('\n');
    }
    text
}

fn push_tables(text: &mut String, side: &SideStatistics) {
    let columns = ["", "rows", "mean", "p25", "p50", "p75", "p90", "p95", "p99", "max", "too long"];
    push_line(text, &line(&columns.map(str::to_owned)));
    let summaries = [("tokens", &side.tokens), ("trained on", &side.trained_tokens), ("tests", &side.tests)];
    for (name, lengths) in summaries {
        if let Some(lengths) = lengths {
            let too_long = if name == "tokens" { side.too_long } else { None };
            push_line(text, &line(&cells(name, side.rows, lengths, too_long)));
        }
    }
    for (by, groups) in [("domain", &side.by_domain), ("difficulty", &side.by_difficulty)] {
        if groups.is_empty() {
            continue;
        }
        push_line(text, &format!("  tokens by {by}"));
        for GroupStatistics { group, rows, too_long, tokens } in groups {
            push_line(text, &line(&cells(&format!("  {}", one_line(group)), *rows, tokens, *too_long)));
        }
    }
    if let Some(tokens) = &side.tokens {
        push_line(text, "  histogram of tokens");
        let most = tokens.histogram.counts.iter().copied().max().unwrap_or(0).max(1);
        for (class, count) in tokens.histogram.counts.iter().enumerate() {
            let begin = class as u64 * tokens.histogram.width;
            // A class that holds anything shows something.
            let bar = "█".repeat((count * BAR_MAX).div_ceil(most));
            push_line(text, format!("  {begin:>10} {count:>7} {bar}").trim_end());
        }
    }
}

fn cells(name: &str, rows: usize, lengths: &Lengths, too_long: Option<usize>) -> [String; 11] {
    let Lengths { mean, p25, p50, p75, p90, p95, p99, max, .. } = lengths;
    [
        name.to_owned(),
        rows.to_string(),
        format!("{mean:.1}"),
        p25.to_string(),
        p50.to_string(),
        p75.to_string(),
        p90.to_string(),
        p95.to_string(),
        p99.to_string(),
        max.to_string(),
        too_long.map(|count| count.to_string()).unwrap_or_default(),
    ]
}

fn line(cells: &[String; 11]) -> String {
    let name = format!("  {:<18}", cells[0]);
    let figures: String = cells[1..].iter().map(|cell| format!(" {cell:>8}")).collect();
    format!("{name}{figures}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspection::InspectedRow;

    #[test]
    fn colours_need_a_terminal_and_nobody_who_forbids_them() {
        use std::ffi::OsStr;
        assert_eq!(Colours::choose(true, None), Colours::On);
        assert_eq!(Colours::choose(true, Some(OsStr::new(""))), Colours::On);
        assert_eq!(Colours::choose(true, Some(OsStr::new("1"))), Colours::Off);
        assert_eq!(Colours::choose(false, None), Colours::Off);
    }

    /// Datasets name domains, difficulties and rows.
    #[test]
    fn a_name_with_a_line_break_makes_no_line() {
        let row = LaidOutRow {
            name: "row 3\nerror: x".to_owned(),
            domain: "math".to_owned(),
            difficulty: Some("easy\n".repeat(1000)),
            tokens: 7,
            trained_tokens: 3,
            tests: None,
            pieces: Vec::new(),
        };
        let text = rows_text(&[row], Colours::Off);
        let heading = text.lines().next().unwrap_or_default();
        assert!(heading.starts_with("row 3␊error: x: math, easy␊easy␊"), "{text}");
        assert!(heading.chars().count() < 3 * NAME_CHARACTERS_MAX && text.lines().count() < 5, "{text}");
    }

    #[test]
    fn statistics_fit_a_terminal() {
        let row = |tokens| InspectedRow {
            kind: "solved problem",
            domain: "data_structures".to_owned(),
            difficulty: None,
            has_reasoning: false,
            tokens,
            trained_tokens: 3,
            tests: None,
        };
        let rows: Vec<InspectedRow> = (0..300).map(row).collect();
        let text = statistics_text(&[SideStatistics::of("train", &rows, Some(256))]);
        assert!(text.contains("train: 300 rows (300 solved problems)\n  43 longer than training.max_seq_length (256)"));
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }
}
