use super::{answers_match, final_answer};

/// Our own table of answers: expected, given, whether they are the same. `tests/oracle/answers.py` holds it against
/// `math_verify`.
#[derive(serde::Deserialize)]
struct Row {
    expected: String,
    answer: String,
    is_right: bool,
}

#[test]
fn the_same_answer_in_other_words_is_right_and_nothing_else_is() {
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("../../../../tests/data/answers.json")).expect("the rows parse");
    assert!(rows.len() > 150);
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| answers_match(&row.expected, &row.answer) != row.is_right)
        .map(|Row { expected, answer, is_right }| format!("{expected:?} {answer:?}: expected {is_right}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn being_the_same_has_no_direction() {
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("../../../../tests/data/answers.json")).expect("the rows parse");
    for Row { expected, answer, is_right } in rows.iter().filter(|row| !row.answer.trim().is_empty()) {
        assert_eq!(answers_match(answer, expected), *is_right, "{answer:?} {expected:?}");
        assert!(answers_match(answer, answer) && answers_match(expected, expected), "{answer:?} {expected:?}");
    }
}

#[test]
fn the_last_thing_that_is_said_to_be_the_answer_is_the_answer() {
    for (text, expected) in [
        ("She has 3 * 4 = 12 eggs.\n#### 12", Some("12")),
        ("#### 7\nNo, again.\n#### 1,200 dollars\n", Some("1,200 dollars")),
        ("so $\\boxed{1}$ or rather $\\boxed{\\frac{1}{2}}$, which is 0.5", Some("\\frac{1}{2}")),
        ("\\boxed{\\{1, 2\\}}", Some("\\{1, 2\\}")),
        ("\\boxed 5$ it is", Some("5")),
        ("\\boxed{never closed", None),
        ("#### 3\nThus \\boxed{4}", Some("4")),
        ("Final Answer: The final answer is $x=5$. I hope it is correct.", Some("$x=5$")),
        ("**Answer:** 3.5", Some("3.5")),
        ("The answer is:\n\n**42**", Some("42")),
        ("<think>\\boxed{1}</think>The answer is 2.", Some("2")),
        ("<think>\\boxed{1}</think>I do not know", None),
        ("Adding up:\n12", Some("12")),
        ("Adding up:\n$\\frac12$.", Some("$\\frac12$")),
        ("There are 5 apples and 3 pears.", None),
        ("I think it is about 5", None),
        ("", None),
        ("####   \n", None),
        ("ÄÖÜ THE ANSWER IS ß", Some("ß")),
        ("The answer is **18**.", Some("18")),
        ("**Answer**: 18", Some("18")),
        ("**Final Answer**: $18$", Some("$18$")),
        ("The answer is 18, as shown.", Some("18")),
        ("The answer is 18 because 9*2 = 18.", Some("18")),
        ("The answer is (1, 2).", Some("(1, 2)")),
        ("#### Answer: 18", Some("18")),
        ("#### The answer is 18", Some("18")),
        ("#### = 18", Some("18")),
        ("#### 18<|im_end|>", Some("18")),
        ("#### 18</s>", Some("18")),
        ("#### Conclusion\nThe answer is 18.", Some("18")),
        ("#### yes", Some("yes")),
        ("so \\boxed{18}, in the form \\boxed{}", Some("18")),
        ("it ends \\boxed{1", None),
    ] {
        assert_eq!(final_answer(text), expected, "{text:?}");
    }
}

#[test]
fn hostile_answers_end_in_time_and_are_wrong() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    for answer in [
        deep("(", ")"),
        deep("\\frac{", "}{2}"),
        deep("{", "}"),
        format!("{}1{}", "1\\frac{".repeat(40), "}{2}".repeat(40)),
        format!("{}1{}", "(1,".repeat(40), ")".repeat(40)),
        "9".repeat(5_000),
        format!("2{}", "^2".repeat(1_500)),
        format!("{}1", "\\sqrt".repeat(800)),
        format!("\\boxed{{{}", "{".repeat(100_000)),
        "1000000!".to_owned(),
        "(99999999999999999999!)^{99999999999999999999}".to_owned(),
        "\\text{".repeat(1_000),
    ] {
        assert!(!answers_match("2", &answer));
        assert!(!answers_match(&answer, "2"));
        let _none = final_answer(&answer);
    }
}
