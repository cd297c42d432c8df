//! When a failed call is made again: exponential backoff with jitter, or what the server asks for.
//!
//! ```text
//! delay(n) = min(1 s · 2ⁿ, 60 s) · (0.5 + 0.5 · u),   u in [0, 1) from SHA-256(key, n)
//! ```
//!
//! The jitter spreads the calls of one run; it comes from the request's key, so a test sees the same delays each time.

use std::time::{Duration, SystemTime};

use hilora_contract::artifact::ContentHash;

const DELAY_FIRST: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);
/// A server that asks for a longer pause is not waited for: the run stops and says so.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// How long to wait before attempt `failed + 1`, after `failed` attempts (at least one).
pub(crate) fn backoff(key: &ContentHash, failed: u32) -> Duration {
    let exponent = failed.saturating_sub(1).min(16);
    let whole = DELAY_FIRST.saturating_mul(1 << exponent).min(DELAY_MAX);
    let spread = ContentHash::of_parts([key.to_string().as_bytes(), &failed.to_le_bytes()]).to_string();
    let digits = u32::from_str_radix(&spread[..6], 16).expect("a hash is written in hexadecimal digits");
    whole.mul_f64(0.5 + 0.5 * f64::from(digits) / f64::from(1u32 << 24))
}

/// What a `Retry-After` header asks for: seconds, or a date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    // A moment that has passed asks for no pause.
    Some(then.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_minute_and_repeats_for_a_key() {
        let key = ContentHash::of(b"a request");
        for (failed, most) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (7, 60.0), (20, 60.0), (u32::MAX, 60.0)] {
            let delay = backoff(&key, failed).as_secs_f64();
            assert!((most / 2.0..=most).contains(&delay), "{failed}: {delay}");
            assert_eq!(backoff(&key, failed).as_secs_f64(), delay);
        }
        assert_ne!(backoff(&key, 1), backoff(&ContentHash::of(b"another"), 1));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // The example of RFC 9110, section 5.6.7: 784,111,777 seconds after 1970.
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let seconds = |value: &str| retry_after(value, now).map(|delay| delay.as_secs());
        assert_eq!(seconds("12"), Some(12));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:40:00 GMT"), Some(0));
        for wrong in ["", "soon", "-1", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "a, b"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
