//! Lines over steps. A line of many points is drawn by means over equal parts, because a picture has only so many columns.

use maud::{Markup, html};

use super::numbers;

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: &'static str,
    /// Its colour, as the page's style names it.
    pub colour: &'static str,
    /// Steps and values, in rising order.
    pub points: Vec<(f64, f64)>,
    /// Whether each point is marked, because there are few.
    pub is_marked: bool,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart<'a> {
    /// What it shows, in words.
    pub label: &'a str,
    /// The lines.
    pub series: &'a [Series],
    /// Decimals of a value's text.
    pub decimals: usize,
    /// Whether values are written as powers of ten.
    pub is_scientific: bool,
}

/// Points of a line that is drawn.
const POINTS_MAX: usize = 300;
/// Rows of the table below.
const ROWS_MAX: usize = 24;

const LEFT: f64 = 76.0;
const WIDTH: f64 = 800.0;
const TOP: f64 = 34.0;
const HEIGHT: f64 = 200.0;

/// The chart; nothing where no line has a point.
pub fn line_chart(chart: &LineChart<'_>) -> Markup {
    let series: Vec<(&Series, Vec<(f64, f64)>)> = chart
        .series
        .iter()
        .map(|series| (series, finite(&series.points)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let all = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let Some(axes) = Axes::around(all()) else { return html! {} };
    let text = |value: f64| match chart.is_scientific {
        true => format!("{value:.*e}", chart.decimals),
        false => format!("{value:.*}", chart.decimals),
    };
    html! {
        div.chart { svg viewBox="0 0 900 276" role="img" aria-label=(chart.label) {
            @for (index, (series, _)) in series.iter().enumerate() {
                @let x = LEFT + 150.0 * index as f64;
                rect x=(x) y="10" width="18" height="4" rx="2" fill=(series.colour) {}
                text x=(x + 26.0) y="16.5" { (series.name) }
            }
            @for value in axes.ticks() {
                @let y = format!("{:.1}", axes.y(value));
                line x1=(LEFT) x2=(LEFT + WIDTH) y1=(y) y2=(y) stroke="var(--line)" {}
                text.tick x=(LEFT - 8.0) y=(format!("{:.1}", axes.y(value) + 4.0)) text-anchor="end" { (text(value)) }
            }
            @for (at, anchor) in axes.steps() {
                text.tick x=(format!("{:.1}", axes.x(at))) y=(TOP + HEIGHT + 20.0) text-anchor=(anchor) {
                    (format!("{at:.0}"))
                }
            }
            text.tick x=(LEFT + WIDTH / 2.0) y=(TOP + HEIGHT + 38.0) text-anchor="middle" { "step" }
            @for (series, points) in &series {
                polyline points=(axes.path(&thinned(points, POINTS_MAX))) fill="none" stroke=(series.colour)
                    stroke-width="1.8" stroke-linejoin="round" {}
                @if series.is_marked {
                    @for (step, value) in points.iter().take(POINTS_MAX) {
                        circle cx=(format!("{:.1}", axes.x(*step))) cy=(format!("{:.1}", axes.y(*value))) r="3.2"
                            fill=(series.colour) { title { "step " (format!("{step:.0}")) ": " (text(*value)) } }
                    }
                }
            }
        } }
        @for (series, points) in &series {
            @let rows = thinned(points, ROWS_MAX);
            (numbers(series.name, &["step", series.name], &rows.iter().map(|(step, value)| {
                vec![format!("{step:.0}"), text(*value)]
            }).collect::<Vec<_>>()))
        }
    }
}

fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().copied().filter(|(step, value)| step.is_finite() && value.is_finite()).collect()
}

/// Means over equal parts where there are more points than that; the last step stays the last.
fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let part = points.len().div_ceil(most).max(1);
    let mean = |part: &[(f64, f64)]| {
        let sum: f64 = part.iter().map(|(_, value)| value).sum();
        part.last().map(|(step, _)| (*step, sum / part.len() as f64))
    };
    points.chunks(part).filter_map(mean).collect()
}

/// Where steps and values lie in the picture.
struct Axes {
    first: f64,
    last: f64,
    low: f64,
    high: f64,
}

impl Axes {
    fn around(points: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let mut axes: Option<Self> = None;
        for (step, value) in points {
            let around = axes.get_or_insert(Self { first: step, last: step, low: value, high: value });
            (around.first, around.last) = (around.first.min(step), around.last.max(step));
            (around.low, around.high) = (around.low.min(value), around.high.max(value));
        }
        let mut axes = axes?;
        // Values that are not negative have 0 on their axis, so that a difference looks as large as it is.
        if axes.low >= 0.0 {
            axes.low = 0.0;
        }
        if axes.high <= axes.low {
            axes.high = axes.low + 1.0;
        }
        Some(axes)
    }

    fn x(&self, step: f64) -> f64 {
        LEFT + WIDTH * (step - self.first) / (self.last - self.first).max(1.0)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + HEIGHT * (1.0 - (value - self.low) / (self.high - self.low))
    }

    fn ticks(&self) -> [f64; 5] {
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| self.low + part * (self.high - self.low))
    }

    fn steps(&self) -> Vec<(f64, &'static str)> {
        let steps = vec![(self.first, "start"), ((self.first + self.last) / 2.0, "middle"), (self.last, "end")];
        if self.first == self.last { vec![steps[0]] } else { steps }
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let point = |(step, value): &(f64, f64)| format!("{:.1},{:.1}", self.x(*step), self.y(*value));
        points.iter().map(point).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> String {
        let series = [Series { name: "loss", colour: "var(--adapter)", points, is_marked: false }];
        line_chart(&LineChart { label: "loss", series: &series, decimals: 2, is_scientific: false }).into_string()
    }

    #[test]
    fn a_line_goes_from_its_first_step_to_its_last() {
        let drawn = chart(vec![(1.0, 4.0), (2.0, 2.0), (3.0, 0.0)]);
        assert!(drawn.contains("points=\"76.0,34.0 476.0,134.0 876.0,234.0\""), "{drawn}");
        assert!(drawn.contains(">4.00<") && drawn.contains(">3.00<") && drawn.contains(">0.00<"), "{drawn}");
    }

    #[test]
    fn many_points_become_means_and_what_is_no_number_is_left_out() {
        let points: Vec<(f64, f64)> = (1..=1_200).map(|step| (f64::from(step), f64::from(step % 2))).collect();
        let drawn = thinned(&points, POINTS_MAX);
        assert_eq!((drawn.len(), drawn[0], drawn[299]), (300, (4.0, 0.5), (1_200.0, 0.5)));
        assert_eq!(chart(vec![(1.0, f64::NAN), (2.0, f64::INFINITY)]), "");
        assert_eq!(chart(Vec::new()), "");
        // One point, and values that are all the same, have a place, too.
        assert!(!chart(vec![(5.0, 0.0)]).contains("NaN"));
    }
}
