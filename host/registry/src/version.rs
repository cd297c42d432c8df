//! A version: one proven state of an adapter, numbered from 1 under its name.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use hilora_contract::artifact::ContentHash;

/// Everything about a version but its number and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionContent {
    /// The adapter's name.
    pub name: String,
    /// The hash of the adapter's files.
    pub adapter: ContentHash,
    /// Where the adapter's files stood when it was registered.
    pub adapter_folder: String,
    /// The hash of the base model's files.
    pub base_model: ContentHash,
    /// The hash of the manifest of the data it learned from.
    pub dataset_manifest: ContentHash,
    /// The hash of the resolved config.
    pub config: ContentHash,
    /// The hash of the evaluation, which holds no timings.
    pub evaluation: ContentHash,
    /// The version of the code that made it.
    pub code_version: String,
    /// The evaluation's figures.
    pub summary: Value,
    /// The gate's decision, rule by rule.
    pub gate: Value,
    /// Whether the gate said yes.
    pub gate_passed: bool,
}

/// A registered version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Counts up from 1 for each name.
    pub version: u64,
    /// When it was registered, in seconds since 1970.
    pub created_unix_s: i64,
    /// What it is.
    #[serde(flatten)]
    pub content: VersionContent,
}

impl Version {
    /// When it was registered, as `2026-11-20 11:06:18 UTC`.
    pub fn created(&self) -> String {
        let (days, seconds) = (self.created_unix_s.div_euclid(86_400), self.created_unix_s.rem_euclid(86_400));
        // Days to a Gregorian date, counted in eras of 400 years that begin on 1 March (Hinnant's civil_from_days).
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected texts are `date --utc --date=@SECONDS`'s.
    #[test]
    fn dates_are_gregorian() {
        let content = VersionContent {
            name: "python-lora".to_owned(),
            adapter: ContentHash::of(b""),
            adapter_folder: String::new(),
            base_model: ContentHash::of(b""),
            dataset_manifest: ContentHash::of(b""),
            config: ContentHash::of(b""),
            evaluation: ContentHash::of(b""),
            code_version: String::new(),
            summary: Value::Null,
            gate: Value::Null,
            gate_passed: true,
        };
        for (created_unix_s, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_827_696, "2000-02-29 12:34:56 UTC"),
            (1_795_172_778, "2026-11-20 11:06:18 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(Version { version: 1, created_unix_s, content: content.clone() }.created(), expected);
        }
    }
}
