//! Limits as texts: a number and a unit, "2.0 seconds" or "256.0 megabytes".

use hilora_dataset_formats::skip::{Skip, shown};

/// The time limit in milliseconds, rounded up; `None` where it is zero.
pub(crate) fn time_limit_ms(text: &str) -> Result<Option<u64>, Skip> {
    let scale = |unit: &str| match unit {
        "ms" | "msec" | "millisecond" | "milliseconds" => Some(1.0),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1e3),
        "min" | "minute" | "minutes" => Some(60e3),
        _ => None,
    };
    scaled(text, scale).ok_or_else(|| {
        Skip::new("malformed-time-limit", format!("`time_limit` is `{}`, expected one like `2.0 seconds`", shown(text)))
    })
}

/// The memory limit in bytes; `None` where it is zero.
pub(crate) fn memory_limit_bytes(text: &str) -> Result<Option<u64>, Skip> {
    let scale = |unit: &str| match unit {
        "b" | "byte" | "bytes" => Some(1.0),
        "kb" | "kilobyte" | "kilobytes" => Some(1e3),
        "mb" | "megabyte" | "megabytes" => Some(1e6),
        "gb" | "gigabyte" | "gigabytes" => Some(1e9),
        "kib" => Some(1024.0),
        "mib" => Some(1024.0 * 1024.0),
        "gib" => Some(1024.0 * 1024.0 * 1024.0),
        _ => None,
    };
    scaled(text, scale).ok_or_else(|| {
        Skip::new(
            "malformed-memory-limit",
            format!("`memory_limit` is `{}`, expected one like `256.0 megabytes`", shown(text)),
        )
    })
}

/// The number times what its unit stands for.
fn scaled(text: &str, scale: impl Fn(&str) -> Option<f64>) -> Option<Option<u64>> {
    let text = text.trim().to_ascii_lowercase();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let number = number.trim();
    // The parser of numbers also takes signs and "infinity"; a limit is digits and at most one point.
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let value = (number.parse::<f64>().ok()? * scale(unit.trim().trim_end_matches('.'))?).ceil();
    // Limits beyond what an integer of a float holds exactly are no limits of a contest.
    (value < 9e15).then(|| Some(value as u64).filter(|&value| value > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_rounded_up() {
        for (text, expected) in [
            ("2.0 seconds", Some(2000)),
            ("1 second", Some(1000)),
            ("0.5s", Some(500)),
            ("1.0005 sec.", Some(1001)),
            ("1500 ms", Some(1500)),
            (" 2 Minutes ", Some(120_000)),
            ("0.0 seconds", None),
        ] {
            assert_eq!(time_limit_ms(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn memory_is_bytes() {
        for (text, expected) in [
            ("256.0 megabytes", Some(256_000_000)),
            ("1024 MiB", Some(1 << 30)),
            ("0.5 GB", Some(500_000_000)),
            ("65536 kilobytes", Some(65_536_000)),
            ("0 bytes", None),
        ] {
            assert_eq!(memory_limit_bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_limit_is_named() {
        for text in
            ["two seconds", "2", "seconds", "-1 seconds", "1e400 seconds", "inf seconds", "2 fortnights", "1.2.3 s"]
        {
            assert_eq!(time_limit_ms(text).expect_err(text).reason, "malformed-time-limit");
            assert_eq!(memory_limit_bytes(text).expect_err(text).reason, "malformed-memory-limit");
        }
        let huge = format!("{} seconds", "9".repeat(400));
        assert!(time_limit_ms(&huge).is_err());
    }
}
