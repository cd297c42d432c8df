//! Domain classifiers over components. Every answer is held against the classifier's own list of domains.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use wasmtime::Store;

use super::answer::{CLASSIFIED_BYTES_MAX, WORDS_BYTES_MAX, shortened, shortened_name};
use super::bindings::domain_classifier::DomainClassifierPre;
use super::bindings::domain_classifier::exports::hilora::plugin::classifier::{
    Classification as WitClassification, ClassifyError, Score,
};
use super::bindings::types;
use super::guest::GuestState;
use super::loaded_plugin::LoadedPlugin;
use hilora_contract::dataset::{Domain, ProblemText};
use hilora_contract::plugin::{
    Classification, DomainClassifier, DomainInfo, PluginError, PluginIdentity, Score as Answered,
};

/// A domain's name becomes a file's and a config's word.
const DOMAIN_CHARACTERS_MAX: usize = 64;

/// The most domains of one classifier: all of them are listed in messages and tables.
const DOMAINS_MAX: usize = 256;

/// A domain classifier in a component.
pub(super) struct ComponentClassifier {
    plugin: LoadedPlugin,
    world: DomainClassifierPre<GuestState>,
    known: OnceLock<Known>,
}

/// The domains that a classifier lists; it is asked once.
struct Known {
    domains: Vec<DomainInfo>,
    names: BTreeSet<Domain>,
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
        if !(1..=DOMAINS_MAX).contains(&listed.len()) {
            return Err(wrong(format!("expected 1 to {DOMAINS_MAX} domains, got {}", listed.len())));
        }
        let mut seen = BTreeSet::new();
        for info in &listed {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let fits = !info.name.is_empty() && info.name.len() <= DOMAIN_CHARACTERS_MAX;
            if !fits || !info.name.chars().all(plain) {
                return Err(wrong(format!(
                    "expected a domain's name in snake case, got `{}`",
                    shortened_name(&info.name)
                )));
            }
            if !seen.insert(&info.name) {
                return Err(wrong(format!("the domain `{}` is listed twice", info.name)));
            }
        }
        Ok(listed
            .into_iter()
            .map(|info| DomainInfo { domain: Domain(info.name), description: shortened_name(&info.description) })
            .collect())
    }

    fn known(&self) -> Result<&Known, PluginError> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let domains = self.ask_domains()?;
        let names = domains.iter().map(|info| info.domain.clone()).collect();
        // Another thread may have asked at the same time; both got the same answer.
        Ok(self.known.get_or_init(|| Known { domains, names }))
    }

    fn classify_batch(&self, problems: &[ProblemText]) -> Result<Vec<Classification>, PluginError> {
        let texts: Vec<types::ProblemText> = problems.iter().map(types::ProblemText::from).collect();
        let ids: Vec<&str> = problems.iter().map(|problem| problem.id.as_str()).collect();
        let batch = batch_name(&ids);
        let classify = async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_classifier().call_classify(store, &texts).await
        };
        let answer = self.plugin.call("classify", batch, CLASSIFIED_BYTES_MAX, classify)?;
        let classified = answer.map_err(|ClassifyError::Rejected((index, why))| {
            self.plugin.refused(&format!("{}: {}", item_name(&ids, index), shortened(&why)))
        })?;
        self.plugin.check_count("classify", problems.len(), classified.len())?;
        problems.iter().zip(classified).map(|(problem, answer)| self.checked(problem, answer)).collect()
    }

    fn checked(&self, problem: &ProblemText, answer: WitClassification) -> Result<Classification, PluginError> {
        let score =
            |score: Score| Answered { domain: Domain(score.domain), score: score.score, signals: score.signals };
        let answer =
            Classification { domain: Domain(answer.domain), scores: answer.scores.into_iter().map(score).collect() };
        let wrong = |message| self.plugin.contract("classify", Some(format!("`{}`", problem.id)), message);
        answer.check(&self.known()?.names).map_err(wrong)?;
        Ok(answer)
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
        self.known().map(|known| known.domains.clone())
    }

    fn classify(&self, problems: &[ProblemText]) -> Result<Vec<Classification>, PluginError> {
        self.plugin.in_calls(problems, |problems| {
            self.plugin.locate(problems, self.classify_batch(problems), |problem| {
                self.classify_batch(std::slice::from_ref(problem))
            })
        })
    }
}
