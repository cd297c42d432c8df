//! The checkers that the programs of a batch name: the built-in ones, and plugins that whoever judges can find.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checker::Checker;
use super::program::{Program, ProgramError};
use hilora_contract::plugin::{OutputChecker, PluginError};

/// Finds the output checker of a name; `None` if there is no such plugin.
pub type FindChecker<'a> = &'a dyn Fn(&str) -> Result<Option<Arc<dyn OutputChecker>>, PluginError>;

/// The checkers by name. Each plugin is looked for once.
pub(super) struct Checkers<'a> {
    find: FindChecker<'a>,
    plugins: BTreeMap<String, Option<Arc<dyn OutputChecker>>>,
}

impl<'a> Checkers<'a> {
    /// Checkers whose plugins are found so.
    pub(super) fn new(find: FindChecker<'a>) -> Self {
        Self { find, plugins: BTreeMap::new() }
    }

    /// The checker of a program: a built-in one, else the plugin of that name.
    pub(super) fn of(&mut self, program: &Program) -> Result<Result<Checker, ProgramError>, PluginError> {
        let Some(name) = &program.checker else { return Ok(Ok(Checker::default())) };
        if let Some(checker) = Checker::built_in(name) {
            return Ok(Ok(checker));
        }
        if !self.plugins.contains_key(name) {
            self.plugins.insert(name.clone(), (self.find)(name)?);
        }
        let plugin = self.plugins.get(name).cloned().flatten();
        let unknown = || ProgramError::UnknownChecker { id: program.id.clone(), checker: name.clone() };
        Ok(plugin.map(Checker::Plugin).ok_or_else(unknown))
    }
}
