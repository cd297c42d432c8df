//! What a checker is asked. Only its cases tell which inputs it knows; of all others it may say that they are not of its
//! format.

use hilora_contract::dataset::TestCase;
use hilora_contract::plugin::{CheckerOptions, Decision, OutputChecker, PluginError};

use super::inputs::{hostile_bytes, hostile_texts};
use super::{Case, CaseError, Check, Meter, Report, answered};

/// An option that no checker has.
const NO_OPTION: &str = "an option that no checker has";

pub(crate) fn examine(
    checker: &dyn OutputChecker,
    cases: &[Case],
    meter: &dyn Meter,
    report: &mut Report,
) -> Result<(), CaseError> {
    let none = CheckerOptions::new();
    let mut tests = vec![test("1\n", "1\n"), test("2 3\n", "5\n"), test("", "a\nb\n")];
    let mut right = Check::new("the expected output is right");
    for case in cases {
        let question = case.checker()?;
        let test = TestCase { input: question.input, output: question.expected };
        match checker.check(&test, question.actual.as_bytes(), &question.options) {
            // A case about a test or options that cannot be used says nothing of the expected output.
            Err(PluginError::Refused { .. } | PluginError::Options { .. }) => {}
            _ => {
                right.ask(
                    &case.place,
                    match checker.check(&test, test.output.as_bytes(), &question.options) {
                        Ok(Decision::Accepted) => Ok(()),
                        Ok(Decision::Rejected(why)) => Err(format!("it was rejected: {why}")),
                        Err(error) => Err(error.to_string()),
                    },
                );
                tests.push(test);
            }
        }
    }
    report.add(if cases.is_empty() { Check::skipped(right.name, "there are no cases") } else { right });

    let mut costs = Vec::new();
    let mut decided = Check::new("hostile outputs are judged, or the test is refused");
    let mut again = Check::new("the same output has the same decision");
    meter.take();
    for test in &tests {
        for (name, actual) in hostile_bytes() {
            let decision = answered(checker.check(test, &actual, &none));
            costs.push(meter.take());
            let second = answered(checker.check(test, &actual, &none));
            meter.take();
            again.ask(name, if decision == second { Ok(()) } else { Err(format!("{decision:?} and {second:?}")) });
            decided.ask(name, decision.map(drop));
        }
    }
    report.add(decided);
    report.add(again);

    let mut hostile = Check::new("hostile tests are judged or refused");
    for (name, text) in hostile_texts() {
        for test in [test(&text, "1\n"), test("1\n", &text)] {
            hostile.ask(name, answered(checker.check(&test, b"1\n", &none)).map(drop));
        }
    }
    report.add(hostile);

    let mut options = Check::new("unknown options are refused");
    let unknown = [(NO_OPTION.to_owned(), true.into())].into_iter().collect();
    options.ask(
        NO_OPTION,
        match answered(checker.check(&test("1\n", "1\n"), b"1\n", &unknown)) {
            Ok(Some(_)) => Err("it was taken".to_owned()),
            Ok(None) => Ok(()),
            Err(why) => Err(why),
        },
    );
    report.add(options);
    report.measured(&costs);
    Ok(())
}

fn test(input: &str, output: &str) -> TestCase {
    TestCase { input: input.to_owned(), output: output.to_owned() }
}
