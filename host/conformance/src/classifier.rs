//! What a classifier is asked. That it answers only domains that it lists, and the best first, is checked where
//! answers enter the host.

use std::collections::BTreeMap;

use hilora_contract::dataset::ProblemText;
use hilora_contract::plugin::{Classification, DomainClassifier};

use super::inputs::{hostile_problems, ordinary};
use super::{Check, Meter, Report, answered};

/// How many problems a batch has, where it is neither one nor all.
const BATCH: usize = 7;

pub(crate) fn examine(classifier: &dyn DomainClassifier, meter: &dyn Meter, report: &mut Report) {
    let mut listed = Check::new("the domains are listed");
    listed.ask("domains", classifier.domains().map(drop).map_err(|error| error.to_string()));
    report.add(listed);

    let ordinary = ordinary();
    let mut alone: BTreeMap<String, Classification> = BTreeMap::new();
    let mut costs = Vec::new();
    let mut answers = Check::new("ordinary problems are classified");
    let mut again = Check::new("the same problem has the same answer");
    meter.take();
    for problem in &ordinary {
        let answer = classify(classifier, problem);
        costs.push(meter.take());
        again.ask(&problem.id, same(&answer, &classify(classifier, problem)));
        meter.take();
        match answer {
            Ok(Some(answer)) => {
                answers.count();
                alone.insert(problem.id.clone(), answer);
            }
            Ok(None) => answers.ask(&problem.id, Err("it was refused".to_owned())),
            Err(why) => answers.ask(&problem.id, Err(why)),
        }
    }
    report.add(answers);

    let mut hostile_check = Check::new("hostile problems are classified or refused");
    let mut batch = ordinary;
    for (name, problem) in hostile_problems() {
        let answer = classify(classifier, &problem);
        if let Ok(Some(answer)) = &answer {
            alone.insert(problem.id.clone(), answer.clone());
            batch.push(problem);
        }
        hostile_check.ask(name, answer.map(drop));
    }
    report.add(hostile_check);
    report.add(again);

    let mut independent = Check::new("no answer depends on its batch");
    let mut reversed = batch.clone();
    reversed.reverse();
    for problems in batch.chunks(BATCH).chain([&batch[..], &reversed[..]]) {
        match answered(classifier.classify(problems)) {
            Ok(Some(answers)) => {
                for (problem, answer) in problems.iter().zip(answers) {
                    let expected = alone.get(&problem.id);
                    independent.ask(&problem.id, same(&Ok(expected.cloned()), &Ok(Some(answer))));
                }
            }
            Ok(None) => {
                independent.ask("a batch", Err("it was refused, and each of its problems alone was not".to_owned()))
            }
            Err(why) => independent.ask("a batch", Err(why)),
        }
    }
    report.add(independent);
    report.measured(&costs);
}

fn classify(classifier: &dyn DomainClassifier, problem: &ProblemText) -> Result<Option<Classification>, String> {
    Ok(answered(classifier.classify(std::slice::from_ref(problem)))?.and_then(|mut answers| answers.pop()))
}

fn same(
    first: &Result<Option<Classification>, String>,
    second: &Result<Option<Classification>, String>,
) -> Result<(), String> {
    match (first, second) {
        (Ok(Some(first)), Ok(Some(second))) if first != second => {
            Err(format!("{} ({:?}) and {} ({:?})", first.domain.0, first.scores, second.domain.0, second.scores))
        }
        (Ok(Some(_)), Ok(None)) | (Ok(None), Ok(Some(_))) => Err("answered and refused".to_owned()),
        (Ok(Some(_)), Err(why)) => Err(format!("answered, and then {why}")),
        _ => Ok(()),
    }
}
