//! The main job: prepare → enrich (if the config asks for traces) → train → the control → evaluate → gate and register.

use super::config::RunConfig;
use super::enrich_stage::EnrichStage;
use super::evaluate_stage::EvaluateStage;
use super::prepare_stage::PrepareStage;
use super::register_stage::RegisterStage;
use super::stage::AnyStage;
use super::train_stage::{Answers, TrainStage};

/// The stages of a config's main job, in their order.
pub fn main_job(config: &RunConfig) -> Vec<Box<dyn AnyStage>> {
    let mut stages: Vec<Box<dyn AnyStage>> = vec![Box::new(PrepareStage)];
    if config.enrich.is_some() {
        stages.push(Box::new(EnrichStage));
    }
    stages.push(Box::new(TrainStage { answers: Answers::Own }));
    if config.controls.shuffled_answers {
        stages.push(Box::new(TrainStage { answers: Answers::Shuffled }));
    }
    stages.push(Box::new(EvaluateStage));
    stages.push(Box::new(RegisterStage));
    stages
}
