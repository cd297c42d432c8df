//! A runner: programs of a calculator that reads whole numbers from standard input and writes one a line.
//!
//! A program is a list of words. `read` puts the next number of the input on the stack, a number puts itself there, `+`, `-`
//! and `*` take two and put one, `print` takes one and writes it.

use std::io::{self, Read, Write};

use hilora_plugin_sdk::runner::{Outcome, RunnerInfo, SolutionRunner, Uncaught};

/// The plugin.
pub struct CalculatorRunner;

impl SolutionRunner for CalculatorRunner {
    // Fill in here: the language. `language` is the name that solutions of a dataset give it.
    fn describe() -> RunnerInfo {
        RunnerInfo {
            language: "calculator".to_owned(),
            file_extension: "calc".to_owned(),
            interpreter: concat!("calculator ", env!("CARGO_PKG_VERSION")).to_owned(),
            calls_functions: false,
        }
    }

    fn run(code: String, _entry_point: Option<String>) -> Outcome {
        let mut output = Vec::new();
        let mut input = String::new();
        let ended = match io::stdin().read_to_string(&mut input) {
            Ok(_) => interpret(&code, &input, &mut output),
            Err(error) => Err(("InputError", error.to_string())),
        };
        // What was printed before an exception counts as printed.
        let written = io::stdout().write_all(&output).and_then(|()| io::stdout().flush());
        match (ended, written) {
            (Ok(()), Ok(())) => Outcome::Exited(0),
            (Err((exception, message)), _) => Outcome::Raised(Uncaught { exception: exception.to_owned(), message }),
            (Ok(()), Err(error)) => {
                Outcome::Raised(Uncaught { exception: "OutputError".to_owned(), message: error.to_string() })
            }
        }
    }
}

hilora_plugin_sdk::export_runner!(CalculatorRunner);
hilora_plugin_sdk::manifest!("plugin.toml");

// Fill in here: what a program does. An error is an exception's type and its message.
fn interpret(code: &str, input: &str, output: &mut Vec<u8>) -> Result<(), (&'static str, String)> {
    let mut numbers = input.split_whitespace();
    let mut stack: Vec<i64> = Vec::new();
    let take = |stack: &mut Vec<i64>| stack.pop().ok_or(("StackError", "the stack is empty".to_owned()));
    for word in code.split_whitespace() {
        let number = match word {
            "read" => {
                let number = numbers.next().ok_or(("InputError", "the input has ended".to_owned()))?;
                number.parse().map_err(|_| ("InputError", format!("`{number}` is no whole number")))?
            }
            "+" | "-" | "*" => {
                let (second, first) = (take(&mut stack)?, take(&mut stack)?);
                let result = match word {
                    "+" => first.checked_add(second),
                    "-" => first.checked_sub(second),
                    _ => first.checked_mul(second),
                };
                result.ok_or(("OverflowError", format!("{first} {word} {second} is too large")))?
            }
            "print" => {
                output.extend_from_slice(format!("{}\n", take(&mut stack)?).as_bytes());
                continue;
            }
            word => word.parse().map_err(|_| ("SyntaxError", format!("unknown word `{word}`")))?,
        };
        stack.push(number);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(code: &str, input: &str) -> Result<String, &'static str> {
        let mut output = Vec::new();
        interpret(code, input, &mut output).map_err(|(exception, _)| exception)?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    #[test]
    fn runs_programs() {
        assert_eq!(run("read read + print", "2 3\n"), Ok("5\n".to_owned()));
        assert_eq!(run("2 3 - print 7 print", ""), Ok("-1\n7\n".to_owned()));
        assert_eq!(run("", ""), Ok(String::new()));
    }

    #[test]
    fn a_wrong_program_raises() {
        assert_eq!(run("+", ""), Err("StackError"));
        assert_eq!(run("read", ""), Err("InputError"));
        assert_eq!(run("frobnicate", ""), Err("SyntaxError"));
        assert_eq!(run("9223372036854775807 1 +", ""), Err("OverflowError"));
    }
}
