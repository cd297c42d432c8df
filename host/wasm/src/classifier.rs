//! Domain classifiers over components. Every answer is held against the classifier's own list of domains.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use wasmtime::Store;

use super::answer::{CLASSIFIED_BYTES_MAX, WORDS_BYTES_MAX, shortened};
use super::bindings::domain_classifier::DomainClassifierPre;
use super::bindings::domain_classifier::exports::hilora::plugin::classifier::{
    Classification as WitClassification, ClassifyError,
};
use super::bindings::types;
use super::guest::GuestState;
use super::loaded_plugin::LoadedPlugin;
use hilora_contract::dataset::{Domain, ProblemText};
use hilora_contract::plugin::{Classification, DomainClassifier, DomainInfo, PluginError, PluginIdentity, Score};

/// A domain's name becomes a file's and a config's word.
const DOMAIN_CHARACTERS_MAX: usize = 64;

/// A domain classifier in a component.
pub(super) struct ComponentClassifier {
    plugin: LoadedPlugin,
    world: DomainClassifierPre<GuestState>,
    known: OnceLock<Vec<DomainInfo>>,
}

impl ComponentClassifier {
    pub(super) fn new(plugin: LoadedPlugin) -> wasmtime::Result<Self> {
        let world = DomainClassifierPre::new(plugin.instance.clone())?;
        Ok(Self { world, plugin, known: OnceLock::new() })
    }

    fn ask_domains(&self) -> Result<Vec<DomainInfo>, PluginError> {
        let listed = self.plugin.call("domains", None, WORDS_BYTES_MAX, async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_classifier().call_domains(store).await
        })?;
        let wrong = |message| self.plugin.contract("domains", None, message);
        if listed.is_empty() {
            return Err(wrong("expected at least one domain, got none".to_owned()));
        }
        let mut seen = BTreeSet::new();
        for info in &listed {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let fits = !info.name.is_empty() && info.name.len() <= DOMAIN_CHARACTERS_MAX;
            if !fits || !info.name.chars().all(plain) {
                return Err(wrong(format!("expected a domain's name in snake case, got `{}`", info.name)));
            }
            if !seen.insert(&info.name) {
                return Err(wrong(format!("the domain `{}` is listed twice", info.name)));
            }
        }
        Ok(listed
            .into_iter()
            .map(|info| DomainInfo { domain: Domain(info.name), description: shortened(&info.description) })
            .collect())
    }

    fn known(&self) -> Result<&[DomainInfo], PluginError> {
        if self.known.get().is_none() {
            let asked = self.ask_domains()?;
            // Another thread may have asked at the same time; both got the same answer.
            let _ = self.known.set(asked);
        }
        Ok(self.known.get().map_or(&[], Vec::as_slice))
    }

    fn classify_batch(&self, problems: &[ProblemText]) -> Result<Vec<Classification>, PluginError> {
        let known = self.known()?;
        let texts: Vec<types::ProblemText> = problems.iter().map(types::ProblemText::from).collect();
        let ids: Vec<&str> = problems.iter().map(|problem| problem.id.as_str()).collect();
        let batch = batch_name(&ids);
        let classify = async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_classifier().call_classify(store, &texts).await
        };
        let answer = self.plugin.call("classify", batch, CLASSIFIED_BYTES_MAX, classify)?;
        let classified = answer.map_err(|ClassifyError::Rejected((index, why))| {
            self.plugin.refused(&format!("{}: {why}", item_name(&ids, index)))
        })?;
        self.plugin.check_count("classify", problems.len(), classified.len())?;
        problems.iter().zip(classified).map(|(problem, answer)| self.checked(known, problem, answer)).collect()
    }

    fn checked(
        &self,
        known: &[DomainInfo],
        problem: &ProblemText,
        answer: WitClassification,
    ) -> Result<Classification, PluginError> {
        let wrong = |message| self.plugin.contract("classify", Some(format!("`{}`", problem.id)), message);
        let is_known = |name: &str| known.iter().any(|info| info.domain.0 == name);
        if let Some(name) =
            answer.scores.iter().map(|score| &score.domain).chain([&answer.domain]).find(|name| !is_known(name))
        {
            return Err(wrong(format!("the domain `{name}` is not one that `domains` lists")));
        }
        if let Some(score) = answer.scores.iter().find(|score| !(score.score.is_finite() && score.score > 0.0)) {
            return Err(wrong(format!("expected scores above 0, got {} for `{}`", score.score, score.domain)));
        }
        if !answer.scores.is_sorted_by(|a, b| a.score >= b.score) {
            return Err(wrong("expected the scores with the best first".to_owned()));
        }
        Ok(Classification {
            domain: Domain(answer.domain),
            scores: answer
                .scores
                .into_iter()
                .map(|score| Score { domain: Domain(score.domain), score: score.score, signals: score.signals })
                .collect(),
        })
    }
}

/// How messages call a batch: by its one item, or by its first.
pub(super) fn batch_name(ids: &[&str]) -> Option<String> {
    match ids {
        [] => None,
        [id] => Some(format!("`{id}`")),
        [first, ..] => Some(format!("one of {} from `{first}`", ids.len())),
    }
}

/// How messages call the item with this index, which a plugin stated.
pub(super) fn item_name(ids: &[&str], index: u32) -> String {
    let id = usize::try_from(index).ok().and_then(|index| ids.get(index));
    id.map_or_else(|| format!("item {index} of {}", ids.len()), |id| format!("`{id}`"))
}

impl DomainClassifier for ComponentClassifier {
    fn identity(&self) -> &PluginIdentity {
        &self.plugin.identity
    }

    fn domains(&self) -> Result<Vec<DomainInfo>, PluginError> {
        self.known().map(<[DomainInfo]>::to_vec)
    }

    fn classify(&self, problems: &[ProblemText]) -> Result<Vec<Classification>, PluginError> {
        self.plugin.in_calls(problems, |problems| {
            self.plugin.locate(problems, self.classify_batch(problems), |problem| {
                self.classify_batch(std::slice::from_ref(problem))
            })
        })
    }
}
