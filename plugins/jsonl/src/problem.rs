//! Problems: a statement, programs that solve it, and tests.

use hilora_dataset_formats::asserts::{self, Asserts};
use hilora_dataset_formats::function_calls;
use hilora_dataset_formats::input_output;
use hilora_dataset_formats::json::{Fields, Json};
use hilora_dataset_formats::skip::{Skip, shown};
use hilora_plugin_sdk::loader::LoadError;
use hilora_plugin_sdk::types::{Problem, ProblemText, Solution, TestCase, language};

use crate::checker::CheckerOption;
use crate::field::{Field, texts, with_embedded};
use crate::mapping::Labels;
use crate::options::{Options, refusal};

/// The longest name of a language, in characters.
const LANGUAGE_CHARACTERS_MAX: usize = 32;

/// `kind: problem`.
pub(crate) struct Problems {
    title: Field,
    statement: Field,
    solution: Field,
    solutions: Field,
    tests: Field,
    input: Field,
    output: Field,
    entry_point: Field,
    starter_code: Field,
    asserts: Field,
    assert_setup: Field,
    assert_imports: Field,
    assert_script: Field,
    checker: CheckerOption,
    /// Of all programs.
    language: String,
}

impl Problems {
    pub(crate) fn from_options(options: &mut Options<'_>) -> Result<Self, LoadError> {
        let problems = Self {
            title: options.field("title", "title")?,
            statement: options.field("statement", "problem")?,
            solution: options.field("solution", "solution")?,
            solutions: options.field("solutions", "solutions")?,
            tests: options.field("tests", "tests")?,
            input: options.field("input", "input")?,
            output: options.field("output", "output")?,
            entry_point: options.field("entry_point", "entry_point")?,
            starter_code: options.field("starter_code", "starter_code")?,
            asserts: options.field("asserts", "test_list")?,
            assert_setup: options.field("assert_setup", "test_setup_code")?,
            assert_imports: options.field("assert_imports", "test_imports")?,
            assert_script: options.field("assert_script", "test")?,
            checker: CheckerOption::from_options(options)?,
            language: language_option(options)?,
        };
        match problems.solution.given && problems.solutions.given {
            true => Err(refusal("`solution` and `solutions`: expected one of them, got both")),
            false => Ok(problems),
        }
    }

    pub(crate) fn read(&self, labels: Labels, row: &Fields<'_>) -> Result<Problem, Skip> {
        let title = self.title.value(row)?.map(|value| value.text_or_number(&self.title.path)).transpose()?;
        let title = title.unwrap_or_default().into_owned();
        let statement = self.statement.required_text(row, "empty-description")?;
        let text = |field: &Field| match field.value(row)? {
            Some(value) => value.text(&field.path).map(|text| text.trim_matches(['\n', '\r']).to_owned()),
            None => Ok(String::new()),
        };
        let (entry_point, starter_code) = (text(&self.entry_point)?, text(&self.starter_code)?);
        let entry_point = Some(entry_point.trim().to_owned()).filter(|name| !name.is_empty());
        let statement = function_calls::statement_in(&self.language, statement, entry_point.as_deref(), &starter_code);
        let checker = self.checker.value(row)?;
        if let (Some(name), Some(_)) = (&entry_point, &checker) {
            let detail =
                format!("what `{}` returns is compared as a JSON value, so a checker has no place", shown(name));
            return Err(Skip::new("checker-of-function", detail));
        }
        let mut solutions = self.solutions(row)?;
        let (mut statement, mut test_code) = (statement, None);
        let (tests, entry_point) = match self.asserts(row, entry_point.as_deref())? {
            Some(given) => {
                let starter_code = if starter_code.is_empty() { statement.clone() } else { starter_code };
                solutions.iter_mut().for_each(|solution| complete(&mut solution.code, &starter_code));
                let asserts = given.asserts(&starter_code, entry_point.as_deref());
                test_code = Some(asserts.test_code());
                let cases = asserts.test_cases();
                if let (None, Some(example)) = (&entry_point, given.tests.first()) {
                    // Nothing else tells the function's name.
                    statement =
                        format!("{}\n\nIt must pass this test:\n```python\n{example}\n```\n", statement.trim_end());
                }
                (cases, Some(asserts::ENTRY_POINT.to_owned()))
            }
            None => (self.tests(row, entry_point.is_some())?, entry_point),
        };
        if let (Some(_), Some(_)) = (&test_code, &checker) {
            let detail = "asserts decide by themselves, so a checker has no place".to_owned();
            return Err(Skip::new("checker-of-function", detail));
        }
        Ok(Problem {
            text: ProblemText { id: labels.id, title, statement, tags: labels.tags, difficulty: labels.difficulty },
            source: String::new(),
            solutions,
            incorrect_solutions: Vec::new(),
            tests,
            entry_point,
            test_code,
            checker,
            time_limit_ms: None,
            memory_limit_bytes: None,
            attributes: Vec::new(),
        })
    }

    /// The programs; a row may have none.
    fn solutions(&self, row: &Fields<'_>) -> Result<Vec<Solution>, Skip> {
        let mut programs = Vec::new();
        // A field that the options name goes alone.
        let program = if self.solutions.given { None } else { self.solution.value(row)? };
        if let Some(program) = program {
            programs.push(program.text(&self.solution.path)?.into_owned());
        }
        let list = if self.solution.given { None } else { self.solutions.value(row)? };
        if let Some(list) = list {
            let field = &self.solutions.path;
            with_embedded(list, field, |list| {
                for (index, program) in list.items(field)?.into_iter().enumerate() {
                    programs.push(program.text(&format!("{field}[{index}]"))?.into_owned());
                }
                Ok(())
            })?;
        }
        programs.retain(|program| !program.trim().is_empty());
        Ok(programs.into_iter().map(|code| Solution { language: self.language.clone(), code }).collect())
    }

    /// The tests. A row without the field has none; where the options name the field, an empty list is `no-tests`.
    fn tests(&self, row: &Fields<'_>, functional: bool) -> Result<Vec<TestCase>, Skip> {
        let Some(list) = self.tests.value(row)? else { return Ok(Vec::new()) };
        let field = &self.tests.path;
        let tests = with_embedded(list, field, |list| {
            let items = list.items(field)?.into_iter().enumerate();
            items.map(|(index, item)| self.test(item, &format!("{field}[{index}]"), functional)).collect()
        });
        match tests {
            Ok(tests) if Vec::is_empty(&tests) && self.tests.given => {
                Err(Skip::new("no-tests", format!("`{field}` is empty")))
            }
            tests => tests,
        }
    }

    /// The row's asserts; `None` where it has other tests or none. Where it has a script and a list, the script is the
    /// larger (EvalPlus).
    fn asserts(&self, row: &Fields<'_>, entry_point: Option<&str>) -> Result<Option<GivenAsserts>, Skip> {
        let fields = [&self.asserts, &self.assert_setup, &self.assert_imports, &self.assert_script];
        let is_given = fields.iter().any(|field| field.given);
        if !is_given && self.tests.value(row)?.is_some() {
            return Ok(None);
        }
        // A field that has a common name and holds something else is no test.
        let script = self.assert_script.value(row)?.filter(|value| self.assert_script.given || value.is_text());
        let script = script.map(|script| script.text(&self.assert_script.path)).transpose()?;
        let script = script.filter(|script| self.assert_script.given || script.contains("assert"));
        let list = self.asserts.value(row)?.filter(|value| self.asserts.given || value.is_list());
        let mut tests = match list {
            Some(list) => with_embedded(list, &self.asserts.path, |list| texts(list, &self.asserts.path))?,
            None => Vec::new(),
        };
        if let Some(script) = script {
            let call = match (script.contains("def check("), entry_point) {
                (false, _) => String::new(),
                (true, Some(function)) => format!("\n\ncheck({function})\n"),
                (true, None) => {
                    return Err(Skip::missing_field(&self.entry_point.path, "the function that `check` tests"));
                }
            };
            tests = vec![format!("{script}{call}")];
        }
        tests.retain(|test| !test.trim().is_empty());
        if tests.is_empty() {
            return match is_given {
                true => Err(Skip::new("no-tests", format!("`{}` is empty", self.asserts.path))),
                false => Ok(None),
            };
        }
        if self.language != language::PYTHON3 {
            let detail = format!("asserts are Python, and the programs are {}", self.language);
            return Err(Skip::new("asserts-of-other-language", detail));
        }
        let setup = self.assert_setup.value(row)?.map(|setup| setup.text(&self.assert_setup.path)).transpose()?;
        let imports = match self.assert_imports.value(row)? {
            Some(list) => {
                with_embedded(list, &self.assert_imports.path, |list| texts(list, &self.assert_imports.path))?
            }
            None => Vec::new(),
        };
        Ok(Some(GivenAsserts { tests, imports, setup: setup.map(|setup| setup.into_owned()) }))
    }

    /// One test: an object, or a pair.
    fn test(&self, item: Json<'_>, place: &str, functional: bool) -> Result<TestCase, Skip> {
        let place_of = |field: &Field| format!("{place}.{}", field.path);
        let ((input, input_field), (output, output_field)) = match item.is_list() {
            true => match item.items(place)?[..] {
                [input, output] => ((input, place_of(&self.input)), (output, place_of(&self.output))),
                ref items => {
                    return Err(Skip::wrong_type(
                        place,
                        "a pair of input and output",
                        &format!("{} items", items.len()),
                    ));
                }
            },
            false => {
                let fields = item.fields(place)?;
                let null = |field: &str| Skip::new("null-test", format!("`{field}` is missing or null"));
                let part = |field: &Field| field.required_below(&fields, place, null);
                (part(&self.input)?, part(&self.output)?)
            }
        };
        if !functional {
            let (input, expected) =
                (input_output::lines(input, &input_field)?, input_output::lines(output, &output_field)?);
            return Ok(TestCase { input, expected });
        }
        // An input that is text has a JSON value a line, and then an output that is text is JSON as well. Any other
        // input is the list of arguments or the only one, and the output is the value that it is.
        if !input.is_text() {
            let arguments = if input.is_list() { input.items(&input_field)? } else { vec![input] };
            return Ok(TestCase { input: function_calls::argument_lines(&arguments), expected: output.compact() });
        }
        let input = function_calls::parse_argument_lines(&input.text(&input_field)?, &input_field)?;
        let expected = with_embedded(output, &output_field, |output| Ok(output.compact()))?;
        Ok(TestCase { input, expected })
    }
}

/// The asserts of a row.
struct GivenAsserts {
    tests: Vec<String>,
    imports: Vec<String>,
    setup: Option<String>,
}

impl GivenAsserts {
    /// With the names that the prompt's code gives.
    fn asserts<'a>(&'a self, prompt: &'a str, function: Option<&'a str>) -> Asserts<'a> {
        let prompt = Some(prompt).filter(|prompt| prompt.contains("def "));
        Asserts {
            given: self.imports.iter().map(String::as_str).chain(prompt).collect(),
            setup: self.setup.as_deref().into_iter().filter(|setup| !setup.trim().is_empty()).collect(),
            tests: self.tests.clone(),
            function,
        }
    }
}

/// Puts the prompt's code before a solution that is the body of the function it ends with (HumanEval).
fn complete(solution: &mut String, prompt: &str) {
    let first = solution.lines().find(|line| !line.trim().is_empty());
    if prompt.contains("def ") && first.is_some_and(|line| line.starts_with([' ', '\t'])) {
        *solution = format!("{}\n{solution}", prompt.trim_end());
    }
}

/// The option `language`: what all programs are written in.
fn language_option(options: &mut Options<'_>) -> Result<String, LoadError> {
    let Some(name) = options.text("language")? else { return Ok(language::PYTHON3.to_owned()) };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+#-_.".contains(&byte);
    match (1..=LANGUAGE_CHARACTERS_MAX).contains(&name.len()) && name.bytes().all(plain) {
        true => Ok(name),
        false => Err(refusal(format!(
            "`language`: expected a name of lower-case letters, digits and `+`, `#`, `-`, `_`, `.`, got `{name}`"
        ))),
    }
}
