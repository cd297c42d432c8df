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
    decided_by: ContentHash,
    source: Source<'a>,
}

enum Source<'a> {
    /// The classifier was asked before.
    Kept(std::vec::IntoIter<ChosenDomain>),
    /// They are asked now: one for each source.
    Asked { classifiers: Vec<Classifier<'a>>, writer: Box<PhaseWriter<ChosenDomain>> },
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
            None => Source::Asked {
                classifiers: sources.iter().map(|source| Classifier::new(source.inputs.classifier)).collect::<Result<
                    _,
                    PluginError,
                >>(
                )?,
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
            Source::Asked { classifiers, writer } => {
                let of_source = rows.chunk_by(|one, next| one.source == next.source);
                let parts: Vec<&[Material]> = of_source.flat_map(|rows| rows.chunks(TEXTS_PER_CALL)).collect();
                let calls = parts.into_par_iter().map(|rows| {
                    let texts: Vec<ProblemText> = rows.iter().map(|row| row.text.clone()).collect();
                    classifiers[rows[0].source].choose(&texts)
                });
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

fn key(rows: &VerifiedFile, decided_by: ContentHash) -> ContentHash {
    ContentHash::of_parts([rows.content(), decided_by].iter().map(ContentHash::as_bytes))
}
