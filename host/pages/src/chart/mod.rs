//! Charts: figures as pictures, drawn here as SVG. A page has no script, so a chart is finished when it is written; its
//! colours are the page's own, and its numbers stand in a table below it. Bars have one where they are used, because
//! it says more than they do.

mod bars;
mod lines;

use maud::{Markup, html};

pub use bars::{Bar, BarPair, bar_pairs};
pub use lines::{LineChart, Series, line_chart};

/// A chart's numbers, for those who cannot see it or want them exactly.
fn numbers(title: &str, heads: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        details.numbers {
            summary { (title) " in numbers" }
            div.scroll { table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            } }
        }
    }
}
