//! Distributions that intervals, tests and plans are made of: the binomial, the beta and Student's t. Everything comes of
//! one function, the regularized incomplete beta function:
//!
//! ```text
//! P(X ≥ x) = I_p(x, n − x + 1)                     X binomial, n draws of probability p
//! P(T ≤ t) = 1 − ½ I_{ν/(ν+t²)}(ν/2, ½)            T Student's t, ν degrees of freedom, t ≥ 0
//! ```
//!
//! Quantiles are found by halving, so they are as exact as a double allows. This module draws nothing.

/// Halvings after which an interval of doubles in [0, 1] has no middle.
const HALVINGS: usize = 60;

/// The natural logarithm of the gamma function of a positive number: Lanczos' series with g = 7 and nine terms.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let series: f64 =
        TERMS.iter().enumerate().map(|(i, term)| term / (x + i as f64 + 1.0)).sum::<f64>() + 0.999_999_999_999_809_9;
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + series.ln()
}

/// I_x(a, b), the beta distribution's cumulative probability. Where `a` is 0 all mass lies at 0, where `b` is 0 at 1.
pub(crate) fn beta_probability(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || b <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 || a <= 0.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // The continued fraction converges fast on this side of the mean.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const SMALLEST: f64 = 1e-300;
    let off_zero = |value: f64| if value.abs() < SMALLEST { SMALLEST } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / off_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..100_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / off_zero(1.0 + term * d);
            c = off_zero(1.0 + term / c);
            change *= c * d;
        }
        fraction *= change;
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// The x at which the beta distribution's cumulative probability is `probability`.
pub(crate) fn beta_quantile(a: f64, b: f64, probability: f64) -> f64 {
    where_reached(0.0, 1.0, |x| beta_probability(a, b, x) >= probability)
}

/// P(X ≥ `at_least`) of a binomial X.
pub(crate) fn binomial_upper_tail(draws: u64, probability: f64, at_least: u64) -> f64 {
    if at_least == 0 {
        return 1.0;
    }
    if at_least > draws {
        return 0.0;
    }
    beta_probability(at_least as f64, (draws - at_least) as f64 + 1.0, probability)
}

/// P(X = `count`) of a binomial X.
pub(crate) fn binomial_probability(draws: u64, probability: f64, count: u64) -> f64 {
    if count > draws {
        return 0.0;
    }
    if probability <= 0.0 || probability >= 1.0 {
        let certain = if probability <= 0.0 { 0 } else { draws };
        return f64::from(u8::from(count == certain));
    }
    let (n, x) = (draws as f64, count as f64);
    let choices = ln_gamma(n + 1.0) - ln_gamma(x + 1.0) - ln_gamma(n - x + 1.0);
    (choices + x * probability.ln() + (n - x) * (-probability).ln_1p()).exp()
}

/// The quantile of Student's t at a probability of at least one half.
pub(crate) fn t_quantile(degrees: f64, probability: f64) -> f64 {
    let reached = |t: f64| 1.0 - 0.5 * beta_probability(degrees / 2.0, 0.5, degrees / (degrees + t * t)) >= probability;
    let mut above = 1.0;
    while !reached(above) {
        above *= 2.0;
    }
    where_reached(0.0, above, reached)
}

/// The least number in a range at which a condition holds that holds from there on.
pub(crate) fn where_reached(low: f64, high: f64, reached: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (low, high);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if reached(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}
