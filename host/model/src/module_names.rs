//! How an adapter's configuration names modules of a base: a list of endings, or a regular expression that is the whole
//! name. Names are those of transformers, `model.layers.0.self_attn.q_proj`.
//!
//! Expressions are Python's as far as `fancy_regex` reads them (look-around and back-references among them); one that it
//! does not read is refused.

use std::fmt;

use fancy_regex::Regex;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::base_modules::BaseModules;
use super::{ModuleToSave, Projection};

/// Modules of a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModuleNames {
    /// By their names or the ends of them.
    Named(Vec<String>),
    /// By a regular expression that matches the whole name.
    Matching(String),
}

impl From<Vec<Projection>> for ModuleNames {
    fn from(projections: Vec<Projection>) -> Self {
        Self::Named(projections.iter().map(ToString::to_string).collect())
    }
}

impl ModuleNames {
    /// All linear layers of the blocks.
    pub fn all_linear() -> Self {
        Self::from(Projection::SEPARATE.to_vec())
    }

    /// The same over the blocks of a base: all linear layers are those that the blocks have, fused or not. Those of a
    /// wrapper are named together with their model, since its other models have layers of the same names.
    pub(crate) fn over(&self, modules: BaseModules, blocks: &[usize]) -> Self {
        let names = self.of_layers(modules.layers);
        if !modules.wrapped {
            return names;
        }
        let head = modules.table(ModuleToSave::LmHead);
        let means_head = names.matcher().is_ok_and(|matcher| matcher.matches(&head));
        Self::Matching(match names.sorted() {
            Self::Named(ends) => {
                let ends: Vec<String> = ends.iter().map(|end| end.replace('.', r"\.")).collect();
                modules.within(&format!(r"(?:.*\.)?(?:{})", ends.join("|")), blocks, means_head)
            }
            Self::Matching(pattern) => modules.within(&pattern, blocks, means_head),
        })
    }

    /// The same for blocks of these layers: all linear layers are those.
    pub(crate) fn of_layers(&self, layers: &[Projection]) -> Self {
        let is_all = self.clone().sorted() == Self::all_linear();
        if is_all { Self::from(layers.to_vec()).sorted() } else { self.clone() }
    }

    /// The expression, if it is one.
    pub(crate) fn expression(&self) -> Option<&str> {
        match self {
            Self::Named(_) => None,
            Self::Matching(expression) => Some(expression),
        }
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Named(names) => names.is_empty(),
            Self::Matching(pattern) => pattern.is_empty(),
        }
    }

    /// The same, in one order.
    pub(crate) fn sorted(mut self) -> Self {
        if let Self::Named(names) = &mut self {
            names.sort_by_key(|name| (Projection::ALL.iter().position(|p| p.to_string() == *name), name.clone()));
        }
        self
    }

    /// Made ready to be asked often; an expression that cannot be read is told.
    pub(crate) fn matcher(&self) -> Result<NameMatcher<'_>, String> {
        match self {
            Self::Named(names) => Ok(NameMatcher::Named(names)),
            Self::Matching(pattern) => Ok(NameMatcher::Matching(Box::new(whole(pattern)?))),
        }
    }
}

impl fmt::Display for ModuleNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(names) => f.write_str(&names.join(" ")),
            Self::Matching(pattern) => write!(f, "\"{pattern}\""),
        }
    }
}

/// Says whether a module is meant.
pub(crate) enum NameMatcher<'a> {
    Named(&'a [String]),
    Matching(Box<Regex>),
}

impl NameMatcher<'_> {
    /// Whether a module of this name is meant.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|end| is_end(name, end)),
            Self::Matching(regex) => matches(regex, name),
        }
    }

    /// Whether the whole name is in a list.
    pub(crate) fn names_whole(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|named| named == name),
            Self::Matching(_) => false,
        }
    }
}

/// Whether a name ends with another, at a full stop.
pub(crate) fn is_end(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// An expression that spends more than its bound of steps matches nothing here; modules' names are short.
fn matches(regex: &Regex, name: &str) -> bool {
    regex.is_match(name).unwrap_or(false)
}

fn whole(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|error| error.to_string())
}

/// Values for single modules in PEFT's words: `(.*\.)?(key)$` is held against a module's name, and of several keys that
/// match the first counts.
#[derive(Debug, Clone, PartialEq)]
pub struct ModulePattern<T>(Vec<(String, T)>);

impl<T> Default for ModulePattern<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> ModulePattern<T> {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its keys and values, in their order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, T)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    /// Made ready to be asked often; a key that cannot be read as an expression is told.
    pub(crate) fn matcher(&self) -> Result<PatternMatcher<T>, String> {
        let ready = |(key, value): &(String, T)| {
            let regex = Regex::new(&format!(r"\A(?:.*\.)?(?:{key})\z"));
            regex.map(|regex| (regex, *value)).map_err(|error| format!("\"{key}\": {error}"))
        };
        Ok(PatternMatcher(self.0.iter().map(ready).collect::<Result<_, _>>()?))
    }
}

impl<T: fmt::Display> fmt::Display for ModulePattern<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(key, value)| write!(f, ", {key}: {value}"))
    }
}

/// Says what holds for a module.
pub(crate) struct PatternMatcher<T>(Vec<(Regex, T)>);

impl<T: Copy> PatternMatcher<T> {
    /// The value of a module; `None` if no key matches its name.
    pub(crate) fn value(&self, name: &str) -> Option<T> {
        self.0.iter().find(|(regex, _)| matches(regex, name)).map(|(_, value)| *value)
    }
}

impl<T: Serialize> Serialize for ModulePattern<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ModulePattern<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = ModulePattern<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("modules' names with a number each")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(ModulePattern(entries))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(ModulePattern::default())
            }

            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(ModulePattern::default())
            }
        }
        deserializer.deserialize_any(Entries(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ends_and_expressions_are_whole() -> Result<(), String> {
        let name = "model.layers.11.self_attn.q_proj";
        let meant = |names: ModuleNames| names.matcher().map(|matcher| matcher.matches(name));
        let named = |end: &str| ModuleNames::Named(vec![end.to_owned()]);
        for end in ["q_proj", "self_attn.q_proj", "11.self_attn.q_proj", name] {
            assert!(meant(named(end))?, "{end}");
        }
        for end in ["proj", "1.self_attn.q_proj", "model", ""] {
            assert!(!meant(named(end))?, "{end}");
        }
        let matching = |pattern: &str| ModuleNames::Matching(pattern.to_owned());
        for pattern in [r".*\.(q|v)_proj", r"model\.layers\.(?!0\.)\d+\..*", ".*q_proj"] {
            assert!(meant(matching(pattern))?, "{pattern}");
        }
        for pattern in ["q_proj", r"model\.layers\.(?!11\.)\d+\..*", r".*\.q_pro"] {
            assert!(!meant(matching(pattern))?, "{pattern}");
        }
        assert!(meant(matching("(")).is_err());
        Ok(())
    }

    /// `peft.utils.other.get_pattern_key` says the same.
    #[test]
    fn of_several_keys_the_first_that_matches_counts() -> Result<(), Box<dyn std::error::Error>> {
        let pattern: ModulePattern<usize> =
            serde_json::from_str(r#"{"q_proj":2,"^model.layers.0.*":3,"layers.1.mlp.up_proj":4,"up_proj":5}"#)?;
        let matcher = pattern.matcher()?;
        let value = |name: &str| matcher.value(&format!("model.layers.{name}"));
        assert_eq!(value("0.self_attn.q_proj"), Some(2));
        assert_eq!(value("0.mlp.up_proj"), Some(3));
        assert_eq!(value("1.mlp.up_proj"), Some(4));
        assert_eq!(value("2.mlp.up_proj"), Some(5));
        assert_eq!(value("2.mlp.down_proj"), None);
        let again: ModulePattern<usize> = serde_json::from_str(&serde_json::to_string(&pattern)?)?;
        assert_eq!(again, pattern);
        assert!(serde_json::from_str::<ModulePattern<usize>>("null")?.is_empty());
        Ok(())
    }

    #[test]
    fn within_a_wrapper_the_text_model_and_the_output_layer_are_meant() -> Result<(), String> {
        let wrapped = BaseModules { layers: &Projection::SEPARATE, wrapped: true };
        let named = |names: &[&str]| ModuleNames::Named(names.iter().map(|name| (*name).to_owned()).collect());
        for (names, head) in [
            (named(&["q_proj", "lm_head"]), true),
            (named(&["q_proj"]), false),
            (ModuleNames::Matching(".*(q_proj|head)".to_owned()), true),
        ] {
            let over = names.over(wrapped, &[]);
            let matcher = over.matcher()?;
            assert!(matcher.matches("model.language_model.layers.0.self_attn.q_proj"), "{over}");
            assert!(!matcher.matches("model.vision_tower.layers.0.self_attn.q_proj"), "{over}");
            assert_eq!(matcher.matches("lm_head"), head, "{over}");
            assert_eq!(over.over(wrapped, &[]), over);
            assert!(!names.over(wrapped, &[1]).matcher()?.matches("lm_head"), "it is of no block");
        }
        Ok(())
    }
}
