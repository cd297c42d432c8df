//! Pairs of bars on an axis from 0 to 1, with whiskers and a legend: one measurement beside another. Whoever draws them puts
//! a table of the same figures below.

use maud::{Markup, html};

/// One bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Its length.
    pub value: f64,
    /// Where its whisker begins. One that has no length is not drawn.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

/// Two bars under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct BarPair {
    /// What was measured.
    pub name: String,
    /// Of the first.
    pub first: Bar,
    /// Of the second.
    pub second: Bar,
}

/// The longest name that stands before its bars; of a longer one the beginning.
const NAME_CHARACTERS_MAX: usize = 24;

/// The chart: what it shows in words, the two names of the legend, and the pairs from above.
pub fn bar_pairs(label: &str, legend: [&str; 2], pairs: &[BarPair]) -> Markup {
    const LEFT: f64 = 180.0;
    const WIDTH: f64 = 640.0;
    const ROW: f64 = 58.0;
    const TOP: f64 = 34.0;
    let x = |value: f64| LEFT + WIDTH * if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
    let bottom = TOP + ROW * pairs.len() as f64;
    let bar = |y: f64, bar: &Bar, colour: &str| {
        let middle = y + 9.0;
        html! {
            rect x=(LEFT) y=(y) width=(format!("{:.1}", x(bar.value) - LEFT)) height="18" rx="2" fill=(colour) {}
            @if bar.low < bar.high {
                line x1=(format!("{:.1}", x(bar.low))) x2=(format!("{:.1}", x(bar.high))) y1=(middle) y2=(middle)
                    stroke="var(--ink)" stroke-width="1.5" {}
            }
            text x=(format!("{:.1}", x(bar.high.max(bar.value)) + 8.0)) y=(middle + 4.5) { (format!("{:.3}", bar.value)) }
        }
    };
    html! {
        div.chart { svg viewBox=(format!("0 0 900 {}", bottom + 30.0)) role="img" aria-label=(label) {
            rect x=(LEFT) y="6" width="12" height="12" rx="2" fill="var(--base)" {}
            text x=(LEFT + 18.0) y="16.5" { (legend[0]) }
            rect x=(LEFT + 90.0) y="6" width="12" height="12" rx="2" fill="var(--adapter)" {}
            text x=(LEFT + 108.0) y="16.5" { (legend[1]) }
            @for tick in 0..=4 {
                @let at = x(f64::from(tick) / 4.0);
                line x1=(at) x2=(at) y1=(TOP) y2=(bottom) stroke="var(--line)" {}
                text.tick x=(at) y=(bottom + 18.0) text-anchor="middle" { (f64::from(tick) / 4.0) }
            }
            @for (index, pair) in pairs.iter().enumerate() {
                @let y = TOP + ROW * index as f64 + 9.0;
                text x=(LEFT - 12.0) y=(y + 24.0) text-anchor="end" { (shown_name(&pair.name)) }
                (bar(y, &pair.first, "var(--base)"))
                (bar(y + 20.0, &pair.second, "var(--adapter)"))
            }
        } }
    }
}

fn shown_name(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_escaped_and_no_figure_leaves_the_axis() {
        let bar = Bar { value: f64::NAN, low: -1.0, high: 7.0 };
        let pair = BarPair { name: "<script>alert(1)</script> and so on".to_owned(), first: bar, second: bar };
        let chart = bar_pairs("a \"label\"", ["base", "adapter"], &[pair]).into_string();
        assert!(chart.contains("&lt;script&gt;") && !chart.contains("<script"), "{chart}");
        assert!(chart.contains("aria-label=\"a &quot;label&quot;\""), "{chart}");
        assert!(chart.contains("x1=\"180.0\" x2=\"820.0\"") && !chart.contains("width=\"NaN\""), "{chart}");
    }
}
