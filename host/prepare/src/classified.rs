//! The classified rows: a domain for every verified row, kept in a phase file.

use rayon::prelude::*;

use super::classify::{ChosenDomain, Classifier};
use super::error::PrepareError;
use super::inputs::PrepareInputs;
use super::material::Material;
use super::phase_file::{PhaseFile, PhaseFolder, PhaseWriter};
use super::verified::VerifiedFile;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::ProblemText;
use hilora_contract::plugin::PluginError;

/// The most texts that one call of the classifier gets. The same whatever the number of threads.
const TEXTS_PER_CALL: usize = 128;

/// Gives each row its domain, in the order of the verified rows.
pub(super) struct Classified<'a> {
    /// What decides the domains beside the rows.
    decided_by: [ContentHash; 2],
    source: Source<'a>,
}

enum Source<'a> {
    /// The classifier was asked before.
    Kept(std::vec::IntoIter<ChosenDomain>),
    /// It is asked now.
    Asked { classifier: Classifier<'a>, writer: Box<PhaseWriter<ChosenDomain>> },
}

impl<'a> Classified<'a> {
    /// Finds the domains of these rows, or makes ready to ask for them. Rows that are only being verified were never
    /// classified.
    pub(super) fn begin(
        inputs: &PrepareInputs<'a>,
        rows: Option<&VerifiedFile>,
        folder: &PhaseFolder,
    ) -> Result<Self, PrepareError> {
        let decided_by = [inputs.classifier.identity().content, inputs.program];
        let kept = rows.and_then(|rows| folder.find("classified", key(rows, decided_by)));
        let source = match kept {
            Some(kept) => {
                let kept: PhaseFile<ChosenDomain, ()> = kept;
                let parts: Vec<Vec<ChosenDomain>> = kept.parts()?.collect::<Result<_, _>>()?;
                Source::Kept(parts.concat().into_iter())
            }
            None => Source::Asked {
                classifier: Classifier::new(inputs.classifier)?,
                writer: Box::new(folder.create("classified")?),
            },
        };
        Ok(Self { decided_by, source })
    }

    /// Whether the classifier is asked.
    pub(super) fn asks(&self) -> bool {
        matches!(self.source, Source::Asked { .. })
    }

    /// The domains of the next rows.
    pub(super) fn of(&mut self, rows: &[Material]) -> Result<Vec<ChosenDomain>, PrepareError> {
        match &mut self.source {
            Source::Kept(domains) => Ok(domains.by_ref().take(rows.len()).collect()),
            Source::Asked { classifier, writer } => {
                let texts: Vec<ProblemText> = rows.iter().map(|row| row.text.clone()).collect();
                let calls = texts.par_chunks(TEXTS_PER_CALL).map(|texts| classifier.choose(texts));
                let answers: Vec<Vec<ChosenDomain>> = calls.collect::<Result<_, PluginError>>()?;
                let answers = answers.concat();
                writer.push(&answers)?;
                Ok(answers)
            }
        }
    }

    /// Keeps what was asked for, now that all rows are known.
    pub(super) fn finish(self, rows: &VerifiedFile) -> Result<(), PrepareError> {
        match self.source {
            Source::Kept(_) => Ok(()),
            Source::Asked { writer, .. } => writer.finish(key(rows, self.decided_by), ()).map(drop),
        }
    }
}

fn key(rows: &VerifiedFile, [classifier, program]: [ContentHash; 2]) -> ContentHash {
    ContentHash::of_parts([rows.content(), classifier, program].iter().map(ContentHash::as_bytes))
}
