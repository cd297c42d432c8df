//! The classified stage: a domain for every row of the verified stage, written to a stage file.

use rayon::prelude::*;

use super::classify::{ChosenDomain, Classifier};
use super::stage_file::StageFolder;
use super::verified::VerifiedFile;
use super::{PrepareError, PrepareInputs, PrepareProgress, PrepareStage};
use crate::artifact::ContentHash;
use crate::dataset::ProblemText;
use crate::plugin::PluginError;

/// Texts that one call of the classifier gets. The same whatever the number of threads.
const TEXTS_PER_CALL: usize = 128;
/// Calls whose texts are in memory at once.
const CALLS_AT_ONCE: usize = 16;

/// The domain of each row, in the order of the verified stage's file.
pub(super) fn classified(
    inputs: &PrepareInputs<'_>,
    verified: &VerifiedFile,
    stages: &StageFolder,
    progress: &(dyn Fn(PrepareProgress) + Sync),
) -> Result<Vec<ChosenDomain>, PrepareError> {
    let parts = [verified.content(), inputs.classifier.identity().content, inputs.program];
    let key = ContentHash::of_parts(parts.iter().map(ContentHash::as_bytes));
    if let Some(found) = stages.find::<ChosenDomain, ()>("classified", key) {
        return found.rows()?.collect();
    }
    let classifier = Classifier::new(inputs.classifier)?;
    let mut writer = stages.create("classified")?;
    let mut domains = Vec::new();
    let mut texts: Vec<ProblemText> = Vec::new();
    let total = verified.summary.rows - verified.summary.skipped.len() as u64;
    let mut flush = |texts: &mut Vec<ProblemText>| -> Result<(), PrepareError> {
        let calls = texts.par_chunks(TEXTS_PER_CALL).map(|texts| classifier.choose(texts));
        let answers: Vec<Vec<ChosenDomain>> = calls.collect::<Result<_, PluginError>>()?;
        for chosen in answers.into_iter().flatten() {
            writer.push(&chosen)?;
            domains.push(chosen);
        }
        texts.clear();
        let done = domains.len() as u64;
        progress(PrepareProgress { stage: PrepareStage::Classify, done, total: Some(total) });
        Ok(())
    };
    for material in verified.rows()? {
        texts.push(material?.text);
        if texts.len() == TEXTS_PER_CALL * CALLS_AT_ONCE {
            flush(&mut texts)?;
        }
    }
    flush(&mut texts)?;
    writer.finish(key, ())?;
    Ok(domains)
}
