//! Functional tests: the program that calls a candidate's function, and the comparison of what it returned.
//!
//! A test's input holds one JSON value a line, one line an argument; its expected output is one JSON value. The driver
//! is appended to the candidate's code, so it runs in the candidate's instance and can be forged by it; like every
//! program's output, what it writes is only ever compared with an expected value that never entered the instance.

use hilora_contract::dataset::Language;

/// Stands before a candidate in Python.
///
/// It takes the names that starter codes use without importing them (`List`, `deque`, `inf`), as the graders of
/// functional datasets do, and renames the module, so that a candidate's `if __name__ == "__main__":` does not run.
const PYTHON_PRELUDE: &str = "\
import sys
__name__ = 'solution'
sys.modules['solution'] = sys.modules['__main__']
import bisect, collections, copy, functools, heapq, itertools, math, operator, random, re, string
from typing import *
from math import *
from collections import *
from functools import *
from itertools import *
from heapq import *
from bisect import *
from builtins import pow
";

/// Stands after a candidate in Python: reads the arguments, calls, and writes what was returned as one JSON value. What
/// the candidate itself prints goes to standard error. `{entry_point}` is replaced by the function's name.
const PYTHON_DRIVER: &str = "

def __call_entry_point():
    import json
    sys.set_int_max_str_digits(0)
    answer = sys.stdout
    sys.stdout = sys.stderr
    arguments = [json.loads(line) for line in sys.stdin.read().split('\\n') if line.strip()]
    defined = globals()
    solution = defined.get('Solution')
    if isinstance(solution, type) and hasattr(solution, '{entry_point}'):
        function = getattr(solution(), '{entry_point}')
    else:
        function = defined['{entry_point}']
    answer.write(json.dumps(function(*arguments)) + '\\n')
    answer.flush()


__call_entry_point()
";

/// Whether tests can call a function of this name in this language.
pub fn can_call(language: Language, entry_point: &str) -> bool {
    program(language, "", entry_point).is_some()
}

/// The whole program that calls `entry_point` of this code; `None` where the name is no identifier or there is no driver
/// for the language.
pub(super) fn program(language: Language, code: &str, entry_point: &str) -> Option<String> {
    let begins = entry_point.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if !begins || !entry_point.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    match language {
        Language::Python3 => {
            Some(format!("{PYTHON_PRELUDE}{code}{}", PYTHON_DRIVER.replace("{entry_point}", entry_point)))
        }
        Language::Javascript => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_an_identifier_and_nothing_else() {
        assert!(program(Language::Python3, "", "twoSum").is_some_and(|text| text.contains("'twoSum'")));
        for forged in ["", "a b", "a');import os#", "1a", "a.b"] {
            assert_eq!(program(Language::Python3, "", forged), None, "{forged}");
        }
    }
}
