//! A unit: what an answer's number is counted in, under one name for its singular, its plural and its sign. Units are never
//! converted: 1 m is not 100 cm here, because a question asks for one of them.

/// A part of a unit, as it is read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum UnitPart {
    /// A word, perhaps of several.
    Word(String),
    /// The power of the word before it.
    Power(i128),
    /// What follows is divided by.
    Per,
}

/// Names of units, each before its spellings.
const NAMES: [(&str, &[&str]); 35] = [
    ("dollar", &["$", "usd"]),
    ("euro", &["€", "eur"]),
    ("pound", &["£", "gbp", "lb", "lbs"]),
    ("yen", &["¥", "jpy"]),
    ("rupee", &["₹", "inr", "rs"]),
    ("cent", &["¢"]),
    ("percent", &["pct"]),
    ("degree", &["deg", "°"]),
    ("celsius", &["degree celsius"]),
    ("fahrenheit", &["degree fahrenheit"]),
    ("mm", &["millimeter", "millimetre"]),
    ("cm", &["centimeter", "centimetre"]),
    ("m", &["meter", "metre"]),
    ("km", &["kilometer", "kilometre"]),
    ("inch", &["in"]),
    ("foot", &["ft", "feet"]),
    ("yard", &["yd", "yds"]),
    ("mile", &["mi"]),
    ("mg", &["milligram"]),
    ("g", &["gram"]),
    ("kg", &["kilogram"]),
    ("ounce", &["oz"]),
    ("ml", &["milliliter", "millilitre"]),
    ("l", &["liter", "litre"]),
    ("gallon", &["gal"]),
    ("second", &["s", "sec", "secs"]),
    ("minute", &["min", "mins"]),
    ("hour", &["h", "hr", "hrs"]),
    ("day", &[]),
    ("year", &["yr", "yrs"]),
    ("unit", &[]),
    ("person", &["people"]),
    ("man", &["men"]),
    ("woman", &["women"]),
    ("child", &["children"]),
];

/// Words that stand for several parts.
const COMPOSED: [(&str, &[&str]); 3] =
    [("mph", &["mile", "per", "hour"]), ("kph", &["km", "per", "hour"]), ("kmh", &["km", "per", "hour"])];

/// Words that multiply the number before them, with the power of ten or the number that they stand for.
const SCALES: [(&str, i128); 6] = [
    ("dozen", 12),
    ("hundred", 100),
    ("thousand", 1_000),
    ("million", 1_000_000),
    ("billion", 1_000_000_000),
    ("trillion", 1_000_000_000_000),
];

/// Words behind a number that make it another one, or none.
const NO_UNITS: [&str; 8] = ["negative", "minus", "plus", "less", "more", "wrong", "not", "no"];

/// One letter that may be a unit.
pub(super) const LETTERS: [&str; 6] = ["m", "s", "g", "h", "l", "L"];

/// What stands behind a number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    /// Its name, if there is one.
    pub(super) name: Option<String>,
    /// What the number is multiplied by: `5 million`.
    pub(super) scale: i128,
    /// Whether it is counted in hundredths.
    pub(super) is_percent: bool,
}

impl Unit {
    pub(super) const NONE: Self = Self { name: None, scale: 1, is_percent: false };

    /// Whether a part only multiplies the number before it.
    pub(super) fn is_scale(part: &UnitPart) -> bool {
        let UnitPart::Word(word) = part else { return false };
        SCALES.iter().any(|(scale, _)| *scale == named(&word.to_lowercase()))
    }

    /// The unit that these parts make; `None` where they change the number in another way than by a scale.
    pub(super) fn of(parts: &[UnitPart]) -> Option<Self> {
        let mut unit = Self::NONE;
        let mut names: Vec<String> = Vec::new();
        // `square`, `cubic`: the power of the next name.
        let mut next_power = None;
        for part in parts {
            match part {
                UnitPart::Per => names.push("/".to_owned()),
                UnitPart::Power(power) => names.push(format!("^{power}")),
                UnitPart::Word(words) => {
                    let lower = words.to_lowercase().replace('/', " per ");
                    for word in lower.split_whitespace().flat_map(parts_of) {
                        if NO_UNITS.contains(&word) {
                            return None;
                        }
                        let name = named(word);
                        match (SCALES.iter().find(|(scale, _)| *scale == name), name.as_str()) {
                            (Some((_, scale)), _) if names.is_empty() => {
                                unit.scale = unit.scale.checked_mul(*scale)?;
                            }
                            (Some(_), _) => return None,
                            (None, "percent") if names.is_empty() => unit.is_percent = true,
                            (None, "per" | "an") => names.push("/".to_owned()),
                            (None, "of" | "the" | "a") => {}
                            (None, "square" | "sq") => next_power = Some("^2"),
                            (None, "cubic" | "cu") => next_power = Some("^3"),
                            (None, _) => {
                                names.push(name);
                                names.extend(next_power.take().map(str::to_owned));
                            }
                        }
                    }
                }
            }
        }
        unit.name = (!names.is_empty()).then(|| named(&names.join(" ")));
        Some(unit)
    }
}

/// The words that a word is short for.
fn parts_of(word: &str) -> Vec<&str> {
    match COMPOSED.iter().find(|(name, _)| *name == word) {
        Some((_, parts)) => parts.to_vec(),
        None => vec![word],
    }
}

/// The one name of a unit's spellings.
fn named(word: &str) -> String {
    let find = |word: &str| {
        let is_here = |(name, spellings): &&(&str, &[&str])| *name == word || spellings.contains(&word);
        NAMES.iter().find(is_here).map(|(name, _)| (*name).to_owned())
    };
    find(word).or_else(|| find(&singular(word))).unwrap_or_else(|| singular(word))
}

/// A word without the ending of its plural.
fn singular(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() > 1) {
        return format!("{stem}y");
    }
    for ending in ["ses", "xes", "ches", "shes"] {
        if word.len() > ending.len() && word.ends_with(ending) {
            return word[..word.len() - 2].to_owned();
        }
    }
    let keeps = ["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    match word.strip_suffix('s') {
        Some(stem) if !keeps && stem.len() > 1 => stem.to_owned(),
        _ => word.to_owned(),
    }
}
