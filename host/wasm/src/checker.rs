//! Output checkers over components. A checker's instance never meets the candidate's.

use wasmtime::Store;

use super::answer::{WORDS_BYTES_MAX, shortened};
use super::bindings::output_checker::OutputCheckerPre;
use super::bindings::output_checker::exports::hilora::plugin::checker::{CheckError, Decision as WitDecision};
use super::guest::GuestState;
use super::loaded_plugin::LoadedPlugin;
use hilora_contract::dataset::TestCase;
use hilora_contract::plugin::{CheckerOptions, Decision, OutputChecker, PluginError, PluginIdentity};

/// An output checker in a component.
pub(super) struct ComponentChecker {
    plugin: LoadedPlugin,
    world: OutputCheckerPre<GuestState>,
}

impl ComponentChecker {
    pub(super) fn new(plugin: LoadedPlugin) -> wasmtime::Result<Self> {
        Ok(Self { world: OutputCheckerPre::new(plugin.instance.clone())?, plugin })
    }
}

impl OutputChecker for ComponentChecker {
    fn identity(&self) -> &PluginIdentity {
        &self.plugin.identity
    }

    fn check(&self, test: &TestCase, actual: &[u8], options: &CheckerOptions) -> Result<Decision, PluginError> {
        let options = serde_json::to_string(options).unwrap_or_else(|_| "{}".to_owned());
        let answer = self.plugin.call("check", None, WORDS_BYTES_MAX, async |store: &mut Store<GuestState>| {
            let instance = self.world.instantiate_async(&mut *store).await?;
            instance.hilora_plugin_checker().call_check(store, &test.input, &test.output, actual, &options).await
        })?;
        match answer {
            Ok(WitDecision::Accepted) => Ok(Decision::Accepted),
            Ok(WitDecision::Rejected(why)) => Ok(Decision::Rejected(shortened(&why))),
            Err(CheckError::BadTest(why)) => Err(self.plugin.refused(&format!("the test is not of its format: {why}"))),
            Err(CheckError::Options(why)) => Err(self.plugin.refused(&format!("the checker's options: {why}"))),
        }
    }
}
