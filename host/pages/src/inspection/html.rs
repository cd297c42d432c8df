//! Rows and statistics as pages.

use maud::{Markup, html};

use super::{GroupStatistics, LaidOutRow, Lengths, Piece, SideStatistics};
use crate::page::{card, page};

/// Rows with their trained text.
pub fn rows_page(side: &str, rows: &[LaidOutRow]) -> String {
    let title = format!("{} rows of {side}", rows.len());
    let sample = |text: &str, control, trained| Piece { text: text.to_owned(), control, trained };
    let body = html! {
        h1 { (title) }
        p.soft.pieces {
            "As the model reads them: " (piece(&sample("trained on", false, true))) ", "
            (piece(&sample("trained-on control text", true, true))) ", "
            (piece(&sample("control text", true, false))) ", " (piece(&sample("content", false, false))) "."
        }
        @for row in rows {
            h2 { (row.name) " " span.soft { (row.note()) } }
            pre.pieces { @for each in &row.pieces { (piece(each)) } }
        }
    };
    page(&title, &body)
}

fn piece(piece: &Piece) -> Markup {
    let class = match (piece.control, piece.trained) {
        (false, false) => "content",
        (true, false) => "control",
        (false, true) => "trained",
        (true, true) => "trained control",
    };
    html! { span class=(class) { (piece.text) } }
}

/// Every side's counts, lengths and histograms.
pub fn statistics_page(title: &str, sides: &[SideStatistics]) -> String {
    let body = html! {
        h1 { (title) }
        p.soft { "Lengths are in tokens of the base model's tokenizer, as the run lays its rows out." }
        @for side in sides { (side_section(side)) }
    };
    page(title, &body)
}

fn side_section(side: &SideStatistics) -> Markup {
    let figure = |lengths: &Option<Lengths>| lengths.as_ref().map_or(String::new(), |lengths| lengths.p50.to_string());
    let range = |lengths: &Option<Lengths>| {
        lengths.as_ref().map_or(String::new(), |lengths| format!("{} to {}", lengths.min, lengths.max))
    };
    let kinds: Vec<String> = side.kinds.iter().map(|(kind, rows)| format!("{rows} {kind}s")).collect();
    html! {
        h2 { (side.side) }
        div.cards {
            (card("rows", &side.rows.to_string(), &kinds.join(", ")))
            (card("tokens, median", &figure(&side.tokens), &range(&side.tokens)))
            @if side.trained_tokens.is_some() {
                (card("trained on, median", &figure(&side.trained_tokens), &range(&side.trained_tokens)))
            }
            @if side.tests.is_some() { (card("tests, median", &figure(&side.tests), &range(&side.tests))) }
            @if let (Some(max), Some(too_long)) = (side.max_tokens, side.too_long) {
                (card("too long", &too_long.to_string(), &format!("over {max} tokens")))
            }
            @if side.with_reasoning > 0 { (card("with reasoning", &side.with_reasoning.to_string(), "of their own")) }
        }
        @if let Some(tokens) = &side.tokens {
            p.soft { "Rows by tokens" }
            (histogram(tokens, side.max_tokens))
        }
        (length_table(side))
        @for (by, groups) in [("domain", &side.by_domain), ("difficulty", &side.by_difficulty)] {
            @if !groups.is_empty() {
                p.soft { "Tokens by " (by) }
                (group_table(by, groups))
            }
        }
    }
}

/// Bars of a histogram; classes that lie wholly beyond the limit are in the colour of what is wrong.
fn histogram(lengths: &Lengths, max_tokens: Option<usize>) -> Markup {
    const LEFT: f64 = 50.0;
    const WIDTH: f64 = 840.0;
    const TOP: f64 = 20.0;
    const HEIGHT: f64 = 180.0;
    let counts = &lengths.histogram.counts;
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / counts.len() as f64;
    let begin = |class: usize| class as u64 * lengths.histogram.width;
    let colour = |class: usize| {
        if max_tokens.is_some_and(|max| begin(class) > max as u64) { "var(--bad)" } else { "var(--adapter)" }
    };
    let labels = counts.len().div_ceil(12);
    html! {
        svg viewBox="0 0 900 230" role="img" aria-label="rows by tokens" {
            @for part in [0.0, 0.5, 1.0] {
                @let y = TOP + HEIGHT * (1.0 - part);
                line x1=(LEFT) x2=(LEFT + WIDTH) y1=(y) y2=(y) stroke="var(--line)" {}
                text.tick x=(LEFT - 8.0) y=(y + 4.0) text-anchor="end" { (format!("{:.0}", most * part)) }
            }
            @for (class, count) in counts.iter().enumerate() {
                @let height = HEIGHT * *count as f64 / most;
                @let x = LEFT + step * class as f64;
                rect x=(format!("{:.1}", x + 1.0)) y=(format!("{:.1}", TOP + HEIGHT - height))
                    width=(format!("{:.1}", (step - 2.0).max(1.0))) height=(format!("{height:.1}")) rx="2"
                    fill=(colour(class)) { title { (begin(class)) " to " (begin(class + 1) - 1) ": " (count) } }
                @if class % labels == 0 {
                    text.tick x=(format!("{x:.1}")) y=(TOP + HEIGHT + 18.0) { (begin(class)) }
                }
            }
        }
    }
}

fn length_table(side: &SideStatistics) -> Markup {
    let rows = [("tokens", &side.tokens), ("trained on", &side.trained_tokens), ("tests", &side.tests)];
    html! {
        div.scroll { table {
            tr { th { "" } (length_heads()) }
            @for (name, lengths) in rows {
                @if let Some(lengths) = lengths { tr { td { (name) } (length_cells(lengths)) } }
            }
        } }
    }
}

fn group_table(by: &str, groups: &[GroupStatistics]) -> Markup {
    html! {
        div.scroll { table {
            tr { th { (by) } th.number { "rows" } (length_heads()) th.number { "too long" } }
            @for group in groups {
                tr {
                    td { (group.group) }
                    td.number { (group.rows) }
                    (length_cells(&group.tokens))
                    td.number { @if let Some(count) = group.too_long { (count) } }
                }
            }
        } }
    }
}

fn length_heads() -> Markup {
    html! { @for name in ["mean", "min", "p25", "p50", "p75", "p90", "p95", "p99", "max"] { th.number { (name) } } }
}

fn length_cells(lengths: &Lengths) -> Markup {
    let Lengths { mean, min, p25, p50, p75, p90, p95, p99, max, .. } = lengths;
    html! {
        td.number { (format!("{mean:.1}")) }
        @for value in [min, p25, p50, p75, p90, p95, p99, max] { td.number { (value) } }
    }
}
