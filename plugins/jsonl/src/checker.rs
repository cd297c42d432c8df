//! The checker that a problem names: a name, or an object with a name and options.

use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::{Skip, shown};
use hilora_plugin_sdk::loader::LoadError;
use hilora_plugin_sdk::types::{CheckerPlugin, FloatComparison, LetterCase, ProblemChecker};

use crate::field::Field;
use crate::options::{Options, refused};

/// The tolerance of decimal numbers where none is named.
const TOLERANCE_DEFAULT: f64 = 1e-6;

/// Where the checker is named: in a field of each row, or for all rows.
pub(crate) enum CheckerOption {
    Field(Field),
    Constant(ProblemChecker),
}

impl CheckerOption {
    pub(crate) fn from_options(options: &mut Options<'_>) -> Result<Self, LoadError> {
        match options.get("checker") {
            Some(object) if object.is_object() => read(object, "checker").map(Self::Constant).map_err(refused),
            _ => options.field("checker", "checker").map(Self::Field),
        }
    }

    /// The row's checker; `None` where it names none.
    pub(crate) fn value(&self, row: &Fields<'_>) -> Result<Option<ProblemChecker>, Skip> {
        match self {
            Self::Constant(checker) => Ok(Some(checker.clone())),
            Self::Field(field) => field.value(row)?.map(|value| read(value, &field.path)).transpose(),
        }
    }
}

fn read(value: Json<'_>, place: &str) -> Result<ProblemChecker, Skip> {
    let none = Fields::default();
    let below;
    let (name, fields) = match value.is_object() {
        false => (value.text(place)?, &none),
        true => {
            below = value.fields(place)?;
            let field = format!("{place}.name");
            (below.get("name").ok_or_else(|| Skip::missing_field(&field, "a checker's name"))?.text(&field)?, &below)
        }
    };
    let allowed: &[&str] = match &*name {
        "lines" | "tokens" => &["name", "ignore_case"],
        "float" => &["name", "absolute_tolerance", "relative_tolerance", "ignore_case"],
        _ => &["name", "options"],
    };
    if let Some(unknown) = fields.names().find(|field| !allowed.contains(field)) {
        let detail = format!("`{place}.{}`: the checker `{}` has no such option", shown(unknown), shown(&name));
        return Err(Skip::new("wrong-checker", detail));
    }
    let letters = match fields.get("ignore_case").map(|value| value.as_written()) {
        None | Some("false") => LetterCase::Significant,
        Some("true") => LetterCase::Ignored,
        Some(other) => return Err(Skip::wrong_type(&format!("{place}.ignore_case"), "true or false", &shown(other))),
    };
    let tolerance = |option: &str| -> Result<f64, Skip> {
        let Some(value) = fields.get(option) else { return Ok(TOLERANCE_DEFAULT) };
        let number = if value.is_number() { value.as_written().parse().ok() } else { None };
        number.filter(|number: &f64| number.is_finite() && *number >= 0.0).ok_or_else(|| {
            let expected = "a finite number that is not negative";
            Skip::wrong_type(&format!("{place}.{option}"), expected, &shown(value.as_written()))
        })
    };
    Ok(match &*name {
        "lines" => ProblemChecker::Lines(letters),
        "tokens" => ProblemChecker::Tokens(letters),
        "float" => ProblemChecker::Float(FloatComparison {
            absolute_tolerance: tolerance("absolute_tolerance")?,
            relative_tolerance: tolerance("relative_tolerance")?,
            letters,
        }),
        _ => {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
                let expected =
                    "`lines`, `tokens`, `float`, or a plugin's name of lower-case letters, digits and dashes";
                return Err(Skip::new(
                    "wrong-checker",
                    format!("`{place}`: expected {expected}, got `{}`", shown(&name)),
                ));
            }
            let options = match fields.get("options") {
                Some(options) => crate::field::object_text(options, &format!("{place}.options"))?,
                None => "{}".to_owned(),
            };
            ProblemChecker::Plugin(CheckerPlugin { name: name.into_owned(), options })
        }
    })
}
