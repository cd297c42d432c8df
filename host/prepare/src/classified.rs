//! The classified rows: a domain for every verified row, kept in a phase file.

use rayon::prelude::*;

use super::classify::{Batching, ChosenDomain, Classifier, TextBatch};
use super::error::PrepareError;
use super::inputs::PrepareInputs;
use super::material::Material;
use super::phase_file::{PhaseFile, PhaseFolder, PhaseWriter};
use super::verified::VerifiedFile;
use hilora_contract::artifact::ContentHash;
use hilora_contract::plugin::PluginError;

/// Gives each row its domain, in the order of the verified rows.
pub(super) struct Classified<'a> {
    /// What decides the domains beside the rows.
    decided_by: ContentHash,
    source: Source<'a>,
}

enum Source<'a> {
    /// The classifier was asked before.
    Kept(std::vec::IntoIter<ChosenDomain>),
    /// They are asked now: one for each source.
    Asked(Box<Asking<'a>>),
}

/// What is being asked.
struct Asking<'a> {
    classifiers: Vec<Classifier<'a>>,
    batching: Batching,
    writer: PhaseWriter<ChosenDomain>,
}

impl Asking<'_> {
    fn ask(&mut self, batches: Vec<TextBatch>) -> Result<Vec<ChosenDomain>, PrepareError> {
        let Self { classifiers, writer, .. } = self;
        let calls = batches.par_iter().map(|batch| classifiers[batch.source].choose(batch));
        // All are waited for, so that of several errors the first by rows is told, whatever the threads.
        let answers: Vec<Result<Vec<ChosenDomain>, PluginError>> = calls.collect();
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        writer.push(&answers)?;
        Ok(answers)
    }
}

impl<'a> Classified<'a> {
    /// Finds the domains of these rows, or makes ready to ask for them. Rows that are only being verified were never
    /// classified.
    pub(super) fn begin(
        inputs: &PrepareInputs<'a>,
        rows: Option<&VerifiedFile>,
        folder: &PhaseFolder,
    ) -> Result<Self, PrepareError> {
        let sources = inputs.in_order();
        let plugins = sources.iter().map(|source| source.inputs.classifier.identity().content);
        let hashes: Vec<ContentHash> = plugins.chain([inputs.program]).collect();
        let decided_by = ContentHash::of_parts(hashes.iter().map(ContentHash::as_bytes));
        let kept = rows.and_then(|rows| folder.find("classified", key(rows, decided_by)));
        let source = match kept {
            Some(kept) => {
                let kept: PhaseFile<ChosenDomain, ()> = kept;
                let parts: Vec<Vec<ChosenDomain>> = kept.parts()?.collect::<Result<_, _>>()?;
                Source::Kept(parts.concat().into_iter())
            }
            None => {
                let classifiers = sources.iter().map(|source| Classifier::new(source.inputs.classifier));
                Source::Asked(Box::new(Asking {
                    classifiers: classifiers.collect::<Result<_, PluginError>>()?,
                    batching: Batching::default(),
                    writer: folder.create("classified")?,
                }))
            }
        };
        Ok(Self { decided_by, source })
    }

    /// Whether the classifier is asked.
    pub(super) fn asks(&self) -> bool {
        matches!(self.source, Source::Asked(_))
    }

    /// Takes the next rows, and gives the domains of the next of all rows that are not told yet: a batch is asked about
    /// once it is whole.
    pub(super) fn of(&mut self, rows: &[Material]) -> Result<Vec<ChosenDomain>, PrepareError> {
        match &mut self.source {
            Source::Kept(domains) => Ok(domains.by_ref().take(rows.len()).collect()),
            Source::Asked(asking) => {
                let whole = rows.iter().filter_map(|row| asking.batching.add(row.source, row.text.clone())).collect();
                asking.ask(whole)
            }
        }
    }

    /// The domains of the last rows. What was asked is kept, now that all rows are known.
    pub(super) fn finish(self, rows: &VerifiedFile) -> Result<Vec<ChosenDomain>, PrepareError> {
        match self.source {
            Source::Kept(_) => Ok(Vec::new()),
            Source::Asked(mut asking) => {
                let last = asking.batching.end().into_iter().collect();
                let answers = asking.ask(last)?;
                asking.writer.finish(key(rows, self.decided_by), ()).map(drop)?;
                Ok(answers)
            }
        }
    }
}

fn key(rows: &VerifiedFile, decided_by: ContentHash) -> ContentHash {
    ContentHash::of_parts([rows.content(), decided_by].iter().map(ContentHash::as_bytes))
}
