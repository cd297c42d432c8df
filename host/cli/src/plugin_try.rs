//! `hilora-host plugin try`: what a plugin answers to one input.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use hilora_conformance::{Case, Plugin, answer};
use hilora_wasm::{HostOptions, PluginHost};
use serde_json::{Map, Value, json};

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use super::plugin_test::open;

/// The most characters of a text, and the most items of a list, that a person is shown; `--json` has all.
const SHOWN_CHARACTERS_MAX: usize = 2_000;
const SHOWN_ITEMS_MAX: usize = 20;

/// Arguments of `plugin try`.
#[derive(Debug, Args)]
pub(super) struct TryArguments {
    /// The plugin's file
    file: PathBuf,
    /// What it is asked: the question of a golden case, as a JSON object; of a loader also a file that it reads
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Of a loader that reads the input itself, its options: a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    options: Option<Map<String, Value>>,
}

fn object(text: &str) -> std::result::Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("expected a JSON object, got {error}"))
}

impl TryArguments {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let plugin = open(&PluginHost::new(&HostOptions::default())?, &self.file)?;
        let case = self.case(&plugin)?;
        let answer = answer(&plugin, &case)?;
        let shown = serde_json::to_string_pretty(&bounded(&answer)).unwrap_or_default();
        console.result(&answer, &shown)?;
        Ok(ExitStatus::Done)
    }

    /// The question. A loader is asked about a file of its format unless the file is a case.
    fn case(&self, plugin: &Plugin) -> Result<Case> {
        let bytes = fs::read(&self.input).map_err(|error| Failure::reading(&self.input, error))?;
        let read = serde_json::from_slice::<Map<String, Value>>(&bytes);
        let folder = self.input.parent().map(PathBuf::from).unwrap_or_default();
        let place = self.input.display().to_string();
        let is_loader = matches!(plugin, Plugin::Loader(_));
        if self.options.is_some() && !is_loader {
            let kind = plugin.identity().kind;
            return Err(Failure::bad_input(
                format!("--options is for a loader, and {} is a {kind}", self.file.display()),
                "a checker's options stand in the input, under `options`",
            ));
        }
        match read {
            Ok(value) if !is_loader || value.contains_key("files") => Ok(Case { place, folder, value }),
            _ if is_loader => {
                let name = self.input.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let options = self.options.clone().unwrap_or_default();
                let value = [("files".to_owned(), json!([name])), ("options".to_owned(), options.into())];
                Ok(Case { place, folder, value: value.into_iter().collect() })
            }
            Ok(value) => Ok(Case { place, folder, value }),
            Err(error) => Err(Failure::bad_input(
                format!("{place}: expected a JSON object, got {error}"),
                "docs/plugins.md says what a plugin of each kind is asked",
            )),
        }
    }
}

/// The answer as far as a person reads it.
fn bounded(answer: &Value) -> Value {
    match answer {
        Value::String(text) => {
            let Some((end, _)) = text.char_indices().nth(SHOWN_CHARACTERS_MAX) else { return answer.clone() };
            format!("{} … and {} characters more", &text[..end], text[end..].chars().count()).into()
        }
        Value::Array(items) => {
            let mut shown: Vec<Value> = items.iter().take(SHOWN_ITEMS_MAX).map(bounded).collect();
            if let Some(left_out) = items.len().checked_sub(SHOWN_ITEMS_MAX).filter(|left_out| *left_out > 0) {
                shown.push(format!("… and {left_out} more").into());
            }
            shown.into()
        }
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), bounded(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => answer.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_bounded() {
        let shown = bounded(&json!({"rows": vec!["x".repeat(5_000); 30]}));
        assert_eq!(shown["rows"].as_array().map(Vec::len), Some(SHOWN_ITEMS_MAX + 1));
        assert!(shown["rows"][0].as_str().is_some_and(|text| text.ends_with("… and 3000 characters more")));
        assert_eq!(shown["rows"][SHOWN_ITEMS_MAX], "… and 10 more");
    }
}
