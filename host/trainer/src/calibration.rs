//! Calibration: what a training pass takes on this machine, in seconds and bytes, measured on skeletons of one and of two
//! layers with few tokens.
//!
//! A pass over n tokens through L layers is taken to cost (f₁ + p₁ n) + (L − 1) (f + p n): widening the weights costs the
//! same for any n, all else grows with it. Four passes give the four numbers, for the seconds and for the bytes alike. A
//! machine's speed wanders, so the four are taken again and again, and of all the rounds the one counts whose run takes
//! the median time. Two parts do not grow so and are measured by themselves: attention over long documents, and the
//! output layer, which a skeleton has with a short vocabulary.

use std::time::{Duration, Instant};

use half::bf16;

use super::batches::{MicroBatch, pack};
use super::learner::{Learner, LearnerOptions, StepOptions};
use super::{TrainingConfig, TrainingError, TrainingSample};
use hilora_kernels::attention::{self, Document, Heads};
use hilora_kernels::cross_entropy::Trained;
use hilora_kernels::element::Element;
use hilora_kernels::scratch::{self, Scratch};
use hilora_kernels::{cross_entropy, in_pool};
use hilora_model::{ComputeType, LoraConfig, Model, ModelConfig, ModelError, SkeletonShape, StoredType};

/// Token ids of a skeleton.
const VOCABULARY: usize = 2048;
/// Tokens of a document of the passes.
const DOCUMENT: usize = 64;
/// Fewest and most tokens of the larger pass.
const TOKENS: [usize; 2] = [48, 1024];
/// The longest document whose attention is measured.
const ATTENTION_TOKENS: usize = 1024;
/// Rows at which the output layer is measured.
const HEAD_ROWS: [usize; 2] = [64, 256];
/// What the passes together should take.
const BUDGET: Duration = Duration::from_secs(6);
/// How many rounds there are at least, and how many are aimed at.
const ROUNDS: [usize; 2] = [2, 5];
/// How often another measurement is repeated at least; the fastest counts.
const REPEATS: usize = 3;
/// For how long a quick measurement is repeated.
const QUICK: Duration = Duration::from_millis(300);
/// A measurement that takes this long is not repeated.
const LONG: Duration = Duration::from_secs(1);

/// A quantity that grows in a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    fixed: f64,
    slope: f64,
}

impl Line {
    fn through([x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) -> Self {
        // Noise must not make a cost fall.
        let slope = if x1 == x2 { y2 / x2 } else { ((y2 - y1) / (x2 - x1)).max(0.0) };
        Self { fixed: (y2 - slope * x2).max(0.0), slope }
    }

    pub(super) fn at(self, x: usize) -> f64 {
        self.fixed + self.slope * x as f64
    }
}

/// A quantity of a model of some layers: that of the first, and that of each further one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ByLayer<T> {
    pub(super) first: T,
    pub(super) further: T,
}

impl ByLayer<f64> {
    fn of(one: f64, two: f64) -> Self {
        Self { first: one, further: (two - one).max(0.0) }
    }

    pub(super) fn of_layers(self, layers: usize) -> f64 {
        self.first + self.further * layers.saturating_sub(1) as f64
    }
}

impl ByLayer<Line> {
    pub(super) fn at(self, tokens: usize, layers: usize) -> f64 {
        ByLayer { first: self.first.at(tokens), further: self.further.at(tokens) }.of_layers(layers)
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calibration {
    /// Seconds of a pass with gradients, of the blocks alone.
    pub(super) pass: ByLayer<Line>,
    /// Bytes of a pass's results, without the output layer's.
    pub(super) results: ByLayer<Line>,
    /// Bytes of the results of a pass without gradients, whatever the layers, without the output layer's.
    pub(super) loss_results: Line,
    /// Seconds of the output layer's chunk of rows, at the skeleton's vocabulary.
    pub(super) head: Line,
    /// The skeleton's vocabulary.
    pub(super) vocabulary: usize,
    /// Seconds of one layer's attention per squared token of a document.
    pub(super) attention: f64,
    /// A pass without gradients in parts of one with them.
    pub(super) loss_share: f64,
    /// Seconds of an optimizer's step.
    pub(super) update: ByLayer<f64>,
    /// Bytes of the blocks' weights.
    pub(super) weights: ByLayer<f64>,
    /// Bytes of an element of the embedding.
    pub(super) table_element_bytes: usize,
    /// Trained parameters.
    pub(super) parameters: ByLayer<f64>,
    /// Bytes of the optimizer's state.
    pub(super) optimizer: ByLayer<f64>,
    /// What the calibration took.
    pub(super) seconds: f64,
}

/// What is calibrated for.
pub(super) struct Calibrated<'a> {
    pub(super) model: &'a ModelConfig,
    pub(super) stored: StoredType,
    pub(super) compute: ComputeType,
    pub(super) lora: &'a LoraConfig,
    pub(super) training: &'a TrainingConfig,
    /// Tokens and targets of the largest micro-batch.
    pub(super) largest: (usize, usize),
    /// The longest document.
    pub(super) longest: usize,
}

/// Skeletons of one and of two layers.
struct Skeletons {
    learners: [Learner; 2],
    /// A small and a large micro-batch.
    batches: [MicroBatch; 2],
}

/// Told of the progress.
pub(super) type OnPart<'a> = dyn FnMut() + Send + 'a;

impl Calibrated<'_> {
    /// How often `measure` tells of its progress.
    pub(super) const PARTS: u64 = 4;

    /// Measures.
    pub(super) fn measure(&self, on_part: &mut OnPart<'_>) -> Result<Calibration, TrainingError> {
        match self.compute {
            ComputeType::F32 => in_pool(|| self.measure_in::<f32>(on_part)),
            ComputeType::Bf16 => in_pool(|| self.measure_in::<bf16>(on_part)),
        }
    }

    fn measure_in<T: Element>(&self, on_part: &mut OnPart<'_>) -> Result<Calibration, TrainingError> {
        let started = Instant::now();
        let mut learners = [self.learner(1)?, self.learner(2)?];
        let head = self.head::<T>(learners[0].model())?;
        let tokens = self.tokens(&mut learners[0])?;
        let mut skeletons = Skeletons { learners, batches: tokens.map(|tokens| self.batch(tokens)) };
        on_part();
        let results = self.results::<T>(&mut skeletons)?;
        let loss_results = self.loss_results(&mut skeletons)?;
        let pass = self.pass(&mut skeletons, head)?;
        on_part();
        let attention = self.attention::<T>()?;
        on_part();
        let [few, many] = &skeletons.batches;
        let [one, two] = &mut skeletons.learners;
        let loss = fastest(|| Ok(two.model().loss(&many.documents, two.adapter()).map(|_| ())?))?;
        let whole = self.seconds_of_pass(two, many)?;
        let update = ByLayer::of(self.seconds_of_update(one, few)?, self.seconds_of_update(two, few)?);
        on_part();
        let by_layer = |of: &dyn Fn(&Learner) -> usize| ByLayer::of(of(one) as f64, of(two) as f64);
        let embedding = &one.model().weights.embedding;
        Ok(Calibration {
            pass,
            results,
            loss_results,
            head,
            vocabulary: self.vocabulary(),
            attention,
            loss_share: loss / whole.max(f64::MIN_POSITIVE),
            update,
            weights: by_layer(&|learner| learner.model().weights.block_bytes()),
            table_element_bytes: embedding.bytes() / (self.vocabulary() * self.model.hidden_size),
            parameters: by_layer(&Learner::trained_parameters),
            optimizer: by_layer(&|learner| learner.optimizer().bytes()),
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    fn vocabulary(&self) -> usize {
        VOCABULARY.min(self.model.vocab_size)
    }

    fn learner(&self, layers: usize) -> Result<Learner, TrainingError> {
        let shape = SkeletonShape { layers, vocabulary: self.vocabulary(), positions: DOCUMENT };
        let precision = self.training.base_precision()?;
        let model = Model::skeleton(self.model, shape, precision, self.stored, self.compute)?;
        // Of few blocks, none may be one that the configuration names: the time is that of blocks with an update.
        let lora = LoraConfig { layers_to_transform: Vec::new(), ..self.lora.clone() };
        Learner::new_adapter(model, &lora, 0, &LearnerOptions::of(self.training))
    }

    /// How many tokens the two passes have, so that all of them together take about the budget.
    fn tokens(&self, learner: &mut Learner) -> Result<[usize; 2], TrainingError> {
        let largest = self.largest.0.max(2);
        let fewest = TOKENS[0].min(largest);
        let batch = self.batch(fewest);
        let seconds = fastest(|| self.seconds_of_pass(learner, &batch).map(|_| ()))?;
        // A round is the larger pass of one and of two layers, and the smaller ones of a quarter of its length.
        let affordable = BUDGET.as_secs_f64() / (4.0 * ROUNDS[1] as f64 * seconds / fewest as f64);
        let affordable = (affordable as usize).clamp(TOKENS[0], TOKENS[1]);
        // Halved as often as need be, sizes are rounded up by the same share as the whole.
        let mut many = largest;
        while many > affordable && many / 2 >= fewest {
            many = many.div_ceil(2);
        }
        Ok([many.div_ceil(4), many])
    }

    /// A micro-batch of this many tokens with as large a share of targets as the run's largest has.
    fn batch(&self, tokens: usize) -> MicroBatch {
        let share = self.largest.1 as f64 / self.largest.0.max(1) as f64;
        let mut samples = Vec::new();
        let mut left = tokens;
        while left > 0 {
            // A document of one token predicts nothing.
            let length = if left <= DOCUMENT + 1 { left } else { DOCUMENT };
            left -= length;
            let targets = ((share * length as f64).round() as usize).clamp(1, length);
            let ids = (0..length).map(|token| (token * 31 % self.vocabulary()) as u32).collect();
            let trained = (0..length).map(|token| token >= length - targets).collect();
            samples.push(TrainingSample { tokens: ids, trained });
        }
        MicroBatch { documents: pack(samples.iter()), samples: Vec::new() }
    }

    fn seconds_of_pass(&self, learner: &mut Learner, batch: &MicroBatch) -> Result<f64, TrainingError> {
        let started = Instant::now();
        learner.accumulate(batch, batch.documents.targets.len(), self.training.gradient_checkpointing)?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn seconds_of_update(&self, learner: &mut Learner, batch: &MicroBatch) -> Result<f64, TrainingError> {
        let options = StepOptions {
            learning_rate: self.training.learning_rate,
            weight_decay: self.training.weight_decay,
            max_grad_norm: self.training.max_grad_norm,
            gradient_checkpointing: self.training.gradient_checkpointing,
        };
        fastest(|| learner.update(std::slice::from_ref(batch), &options).map(|_| ()))
    }

    /// Four quantities, by layers and then by tokens, as lines.
    fn lines(skeletons: &Skeletons, [one, two]: [[f64; 2]; 2]) -> ByLayer<Line> {
        let [few, many] = [0, 1].map(|of| skeletons.batches[of].documents.tokens.len() as f64);
        ByLayer {
            first: Line::through([few, one[0]], [many, one[1]]),
            further: Line::through([few, two[0] - one[0]], [many, two[1] - one[1]]),
        }
    }

    /// Bytes of a pass's results, without the output layer's.
    fn results<T: Element>(&self, skeletons: &mut Skeletons) -> Result<ByLayer<Line>, TrainingError> {
        let mut bytes = [[0.0; 2]; 2];
        scratch::let_go();
        for (tokens, batch) in skeletons.batches.iter().enumerate() {
            let of_head = cross_entropy::chunk_bytes::<T>(self.vocabulary(), batch.documents.targets.len());
            // Two layers need all that one does.
            for (layers, learner) in skeletons.learners.iter_mut().enumerate() {
                self.seconds_of_pass(learner, batch)?;
                bytes[layers][tokens] = (scratch::free_bytes() - of_head) as f64;
            }
        }
        Ok(Self::lines(skeletons, bytes))
    }

    /// Bytes of the results of a pass without gradients: blocks are not kept, so that one layer takes what many do.
    fn loss_results(&self, skeletons: &mut Skeletons) -> Result<Line, TrainingError> {
        let learner = &skeletons.learners[0];
        let [few, many] = [0, 1].map(|of| {
            let documents = &skeletons.batches[of].documents;
            scratch::let_go();
            learner.model().loss(documents, learner.adapter())?;
            let rows = cross_entropy::chunk_rows(self.vocabulary(), documents.targets.len());
            let bytes = scratch::free_bytes() - rows * self.vocabulary() * size_of::<f32>();
            Ok::<_, TrainingError>([documents.tokens.len() as f64, bytes as f64])
        });
        Ok(Line::through(few?, many?))
    }

    /// Seconds of a pass, of the blocks alone.
    fn pass(&self, skeletons: &mut Skeletons, head: Line) -> Result<ByLayer<Line>, TrainingError> {
        let (begun, mut rounds) = (Instant::now(), Vec::new());
        while rounds.len() < ROUNDS[0] || begun.elapsed() < BUDGET {
            let mut seconds = [[0.0; 2]; 2];
            for (tokens, batch) in skeletons.batches.iter().enumerate() {
                for (layers, learner) in skeletons.learners.iter_mut().enumerate() {
                    let of_head = head.at(batch.documents.targets.len());
                    seconds[layers][tokens] = (self.seconds_of_pass(learner, batch)? - of_head).max(0.0);
                }
            }
            rounds.push(Self::lines(skeletons, seconds));
        }
        let of_largest = |round: &ByLayer<Line>| round.at(self.largest.0, self.model.num_hidden_layers);
        rounds.sort_by(|a, b| of_largest(a).total_cmp(&of_largest(b)));
        Ok(rounds[rounds.len() / 2])
    }

    /// Seconds of the output layer by rows.
    fn head<T: Element>(&self, model: &Model) -> Result<Line, TrainingError> {
        let [few, many] = HEAD_ROWS.map(|rows| {
            let h = Scratch::zeros::<T>((rows, self.model.hidden_size), &candle_core::Device::Cpu)?;
            let targets = vec![0; rows];
            let weight = model.weights.output();
            let seconds = fastest(|| {
                cross_entropy::forward_backward::<T>(&h, weight, None, &targets, 1.0, Trained::Nothing)
                    .map_err(ModelError::from)?;
                Ok(())
            })?;
            Ok::<_, TrainingError>([rows as f64, seconds])
        });
        Ok(Line::through(few?, many?))
    }

    /// Seconds of one layer's attention per squared token of a long document.
    fn attention<T: Element>(&self) -> Result<f64, TrainingError> {
        let length = self.longest.min(ATTENTION_TOKENS);
        if length <= 2 * DOCUMENT {
            return Ok(0.0);
        }
        // Heads are computed side by side; those of one round per thread stand for all.
        let all = self.model.heads();
        let keys = all.keys.min(rayon::current_num_threads());
        let heads = Heads { keys, queries: all.queries / all.keys * keys, ..all };
        let seconds = |length: usize| -> Result<f64, TrainingError> {
            let zeros = |heads: usize| Scratch::zeros::<T>((length, heads * all.dim), &candle_core::Device::Cpu);
            let wrong = ModelError::from;
            let (q, k, v) = (
                zeros(heads.queries).map_err(wrong)?,
                zeros(heads.keys).map_err(wrong)?,
                zeros(heads.keys).map_err(wrong)?,
            );
            let documents = [Document { rows: 0..length, seen: length }];
            let forwards = if self.training.gradient_checkpointing { 2 } else { 1 };
            fastest(|| {
                for pass in 1..=forwards {
                    let (o, lse) = attention::forward::<T>(&q, &k, &v, &documents, heads).map_err(wrong)?;
                    if pass == forwards {
                        let saved = attention::Backward { q: &q, k: &k, v: &v, o: &o, lse: &lse, d_o: &o };
                        attention::backward::<T>(&saved, &documents, heads).map_err(wrong)?;
                    }
                }
                Ok(())
            })
        };
        // Seconds are u l + w l² by the length l; u is in the passes already.
        let (half, whole) = (length / 2, length);
        let (t_half, t_whole) = (seconds(half)?, seconds(whole)?);
        let w = (t_whole - t_half * whole as f64 / half as f64) / (whole * (whole - half)) as f64;
        Ok(w.max(0.0) * all.keys as f64 / keys as f64)
    }
}

/// Seconds of the fastest of some repetitions.
fn fastest(mut body: impl FnMut() -> Result<(), TrainingError>) -> Result<f64, TrainingError> {
    let (begun, mut fastest, mut times) = (Instant::now(), f64::INFINITY, 0);
    while times < REPEATS || begun.elapsed() < QUICK {
        let started = Instant::now();
        body()?;
        let elapsed = started.elapsed();
        fastest = fastest.min(elapsed.as_secs_f64());
        times += 1;
        if elapsed > LONG {
            break;
        }
    }
    Ok(fastest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_its_points_and_never_falls() {
        let line = Line::through([10.0, 5.0], [30.0, 9.0]);
        assert_eq!((line.at(0), line.at(30), line.at(110)), (3.0, 9.0, 25.0));
        assert_eq!(Line::through([10.0, 5.0], [30.0, 4.0]).at(1000), 4.0);
        let layers = ByLayer { first: line, further: Line::through([0.0, 1.0], [10.0, 2.0]) };
        assert_eq!(layers.at(30, 3), 9.0 + 2.0 * 4.0);
    }
}
