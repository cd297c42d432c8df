//! The kit on plugins that are written natively: an honest one passes, and one that is wrong in one way fails by the name of
//! just that.

use std::sync::atomic::{AtomicUsize, Ordering};

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Domain, ProblemText, TestCase};
use hilora_contract::plugin::{
    CheckerOptions, Classification, Decision, DomainClassifier, DomainInfo, OutputChecker, PluginError, PluginIdentity,
    PluginKind, Score,
};
use serde_json::json;

use super::*;

struct NoMeter;

impl Meter for NoMeter {
    fn take(&self) -> Usage {
        Usage { fuel: 1, cpu_time_us: 2, memory_bytes: 3 }
    }
}

fn identity(kind: PluginKind) -> PluginIdentity {
    PluginIdentity { name: "native".to_owned(), version: "1".to_owned(), kind, content: ContentHash::of(b"") }
}

/// How a classifier is wrong.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    KnowsItsBatch,
    Forgets,
    TrapsOnEmptyText,
}

struct Classifier {
    identity: PluginIdentity,
    fault: Fault,
    calls: AtomicUsize,
}

impl DomainClassifier for Classifier {
    fn identity(&self) -> &PluginIdentity {
        &self.identity
    }

    fn domains(&self) -> Result<Vec<DomainInfo>, PluginError> {
        Ok(vec![DomainInfo { domain: Domain("all".to_owned()), description: String::new() }])
    }

    fn classify(&self, problems: &[ProblemText]) -> Result<Vec<Classification>, PluginError> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::TrapsOnEmptyText && problems.iter().any(|problem| problem.statement.is_empty()) {
            return Err(PluginError::Trap {
                plugin: self.identity.clone(),
                call: "classify",
                row: None,
                message: "index out of bounds".to_owned(),
            });
        }
        let score = match self.fault {
            Fault::KnowsItsBatch => problems.len(),
            Fault::Forgets => calls + 1,
            Fault::None | Fault::TrapsOnEmptyText => 1,
        };
        let domain = Domain("all".to_owned());
        let scores = vec![Score { domain: domain.clone(), score: score as f32, signals: Vec::new() }];
        Ok(vec![Classification { domain, scores }; problems.len()])
    }
}

fn failures(fault: Fault) -> Vec<&'static str> {
    let identity = identity(PluginKind::DomainClassifier);
    let plugin = Plugin::Classifier(Box::new(Classifier { identity, fault, calls: AtomicUsize::new(0) }));
    let report = examine(&plugin, &[], &NoMeter).expect("there are no cases that could be wrong");
    assert_eq!(report.costs.map(|costs| costs.memory_bytes), Some(Quantiles { median: 3, p99: 3 }));
    report.failures().map(|check| check.name).collect()
}

#[test]
fn a_classifier_fails_by_the_name_of_what_is_wrong() {
    assert_eq!(failures(Fault::None), [""; 0]);
    assert_eq!(failures(Fault::KnowsItsBatch), ["no answer depends on its batch"]);
    assert_eq!(failures(Fault::TrapsOnEmptyText), ["hostile problems are classified or refused"]);
    assert_eq!(failures(Fault::Forgets), ["the same problem has the same answer", "no answer depends on its batch"]);
}

/// Accepts what is expected; with `takes_options` it does not look at its options.
struct Checker {
    identity: PluginIdentity,
    takes_options: bool,
}

impl OutputChecker for Checker {
    fn identity(&self) -> &PluginIdentity {
        &self.identity
    }

    fn check(&self, test: &TestCase, actual: &[u8], options: &CheckerOptions) -> Result<Decision, PluginError> {
        if !options.is_empty() && !self.takes_options {
            let message = "the checker's options: none are known".to_owned();
            return Err(PluginError::Refused { plugin: self.identity.clone(), message });
        }
        Ok(match test.output.as_bytes() == actual {
            true => Decision::Accepted,
            false => Decision::Rejected("another output".to_owned()),
        })
    }
}

fn case(value: serde_json::Value) -> Case {
    let value = serde_json::from_value(value).expect("a case is an object");
    Case { place: "cases, line 1".to_owned(), folder: "".into(), value }
}

#[test]
fn a_case_holds_by_what_it_names() {
    let identity = identity(PluginKind::OutputChecker);
    let checker = |takes_options| Plugin::Checker(Box::new(Checker { identity: identity.clone(), takes_options }));
    let question = json!({"input": "", "expected": "1", "actual": "2"});
    let case_of = |key: &str, value: serde_json::Value| {
        let mut case = case(question.clone());
        case.value.insert(key.to_owned(), value);
        case
    };
    let failures = |plugin: &Plugin, case: Case| {
        let report = examine(plugin, &[case], &NoMeter).map_err(|error| error.to_string())?;
        Ok::<_, String>(report.failures().map(|check| check.name).collect::<Vec<_>>())
    };
    let honest = checker(false);
    assert_eq!(failures(&honest, case_of("decision", json!("rejected"))), Ok(vec![]));
    let golden = "golden cases are answered as they say";
    assert_eq!(failures(&honest, case_of("decision", json!("accepted"))), Ok(vec![golden]));
    assert_eq!(failures(&honest, case(question.clone())), Ok(vec![golden]), "a case without an answer holds nothing");
    let unknown = failures(&honest, case_of("verdict", json!("rejected")));
    assert!(unknown.is_err_and(|why| why.contains("got `verdict`")));
    let careless = failures(&checker(true), case_of("decision", json!("rejected")));
    assert_eq!(careless, Ok(vec!["unknown options are refused"]));
}
