//! What is looked at of a run's benchmarks before its first stage, and the rows that they are held against after its last.

use hilora_contract::dataset::Lesson;
use hilora_contract::fault::BadInput;
use hilora_model::{ChatTemplateSource, ModelConfig, Tokenizer};

use super::enrich_stage::training_rows;
use super::error::RunError;
use super::measured_benchmark::MeasuredBenchmark;
use super::observer::RunObserver;
use super::rows::read_rows_watched;
use super::run::Run;

/// Lays out every prompt, and says how many leave no room for an answer in the base's context; an error if all do.
/// Nobody knows the context of an endpoint's model.
pub(crate) fn check_benchmark(
    benchmark: &MeasuredBenchmark,
    run: &Run,
    template: ChatTemplateSource,
    observer: &dyn RunObserver,
) -> Result<(), RunError> {
    let formatter = benchmark.formatter(run.plugins.formatter(template, || run.base.description(observer))?);
    let prompts = benchmark.prompts(&*formatter, run.config.specialist_type())?;
    let name = benchmark.benchmark.name;
    if run.is_dry() {
        let (problems, samples) = (benchmark.problems.problems.len(), benchmark.evaluation.samples_per_problem);
        let answers = 2 * problems as u64 * u64::from(samples);
        observer.note(&format!(
            "{name}: {problems} problems, {samples} answers each of base and adapter: {answers} answers"
        ));
    }
    if run.config.evaluation.generator.is_some() {
        return Ok(());
    }
    let base = run.base.description(observer)?;
    let (tokenizer, context) = (Tokenizer::load(&base)?, ModelConfig::load(&base)?.max_position_embeddings);
    let room = benchmark.evaluation.max_new_tokens;
    let mut too_long = 0;
    for prompt in &prompts {
        too_long += usize::from(tokenizer.encode_segments(&prompt.segments)?.0.len() + room > context);
    }
    match too_long {
        0 => Ok(()),
        all if all == prompts.len() => {
            let message = format!(
                "no prompt of {name} leaves room for an answer: the base's context has {context} tokens, and an answer may \
                 have {room}"
            );
            Err(BadInput::with_hint(message, "`max_new_tokens` of the benchmark may be smaller").into())
        }
        some => {
            observer.note(&format!(
                "{name}: {some} of {} prompts leave no room for {room} tokens in the base's context of {context}; their \
                 answers are errors by the name of `prompt-too-long`",
                prompts.len()
            ));
            Ok(())
        }
    }
}

/// The rows that the measured adapter learned from; why they are not known, if so.
pub(crate) fn rows_learned(
    run: &Run,
    observer: &dyn RunObserver,
) -> Result<Result<Vec<Lesson>, &'static str>, RunError> {
    if run.config.evaluation.generator.is_some() {
        return Ok(Err("nobody here knows what an endpoint's models learned from"));
    }
    if run.named_adapter.is_some() {
        return Ok(Err("nothing here says what the adapter was trained on"));
    }
    Ok(Ok(read_rows_watched(&training_rows(run)?, observer)?))
}
