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

/// Answers that would take long, or more stack than there is, if anything were unbounded.
fn hostile_answers() -> Vec<String> {
    let deep = |open: &str, close: &str, count: usize| format!("{}1{}", open.repeat(count), close.repeat(count));
    let many = |item: &str, count: usize| vec![item; count].join(",");
    vec![
        deep("(", ")", 100_000),
        deep("(", ")", 47),
        deep("{", "}", 100_000),
        deep("{", "}", 47),
        deep("\\{", "\\}", 47),
        deep("\\frac{", "}{2}", 100_000),
        deep("1\\frac{", "}{2}", 40),
        deep("(1,", ")", 40),
        deep("\\{\\pm", "\\}", 40),
        deep("|", "|", 40),
        "{".repeat(1_000_000),
        format!("\\boxed{{{}", "{".repeat(100_000)),
        "\\boxed{}".repeat(120_000),
        "\\boxed{".repeat(120_000),
        "#### ".repeat(200_000),
        "answer is ".repeat(100_000),
        "*=".repeat(500_000),
        "\\left".repeat(200_000),
        "\\text{".repeat(1_000),
        "9".repeat(5_000),
        "9".repeat(4_000),
        format!("0.\\overline{{{}}}", "9".repeat(4_000)),
        format!("2{}", "^2".repeat(1_500)),
        format!("{}1", "\\sqrt".repeat(800)),
        format!("{}2", "\\sin".repeat(800)),
        format!("3{}", "!".repeat(900)),
        format!("{}2", "-".repeat(900)),
        "10^{10^{10}}".to_owned(),
        "10^10^10".to_owned(),
        "(10^{10^{10}})!".to_owned(),
        "1000000!".to_owned(),
        "\\binom{1000000000}{500000000}".to_owned(),
        "(99999999999999999999!)^{99999999999999999999}".to_owned(),
        format!("({})^{{1000000}}", "x+".repeat(40) + "1"),
        vec!["(a+b+c+d)^{99}"; 60].join("+"),
        vec!["200!"; 300].join("+"),
        vec!["\\frac{1}{99999999999}"; 80].join("+"),
        many("x\\%", 450),
        many("\\sqrt{2}", 300),
        many("1:3", 250),
        many("x<3", 250),
        many("\\{1\\}", 250),
    ]
}

#[test]
fn hostile_answers_end_in_time_and_are_wrong() {
    let judge = || {
        for answer in hostile_answers() {
            let shown: String = answer.chars().take(60).collect();
            let begun = std::time::Instant::now();
            for expected in ["2", "\\{7, 8\\}", "\\sqrt{7}"] {
                assert!(!answers_match(expected, &answer), "{expected:?} {shown:?}");
                assert!(!answers_match(&answer, expected), "{expected:?} {shown:?}");
            }
            // Longer than itself by a little, so that all is read and compared.
            let other = format!("{answer}+1");
            let _unsaid = (answers_match(&answer, &other), final_answer(&answer));
            // Some milliseconds, where a machine has nothing else to do.
            assert!(begun.elapsed().as_secs() < 5, "{:?} for {shown:?}", begun.elapsed());
        }
    };
    on_a_small_stack(judge);
}

#[test]
fn random_answers_end_and_have_no_direction() {
    const PARTS: [&str; 60] = [
        "1",
        "2",
        "12",
        "0",
        ".5",
        "1,234",
        "3.25",
        "x",
        "y",
        "i",
        "e",
        "\\pi",
        "π",
        "+",
        "-",
        "*",
        "/",
        "^",
        "_",
        "!",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\\{",
        "\\}",
        "|",
        ",",
        ";",
        ":",
        "=",
        "<",
        ">",
        "\\le",
        "\\ne",
        "\\in",
        "\\cup",
        "\\pm",
        "\\infty",
        "\\frac",
        "\\sqrt",
        "\\sin",
        "\\log_",
        "\\binom",
        "\\circ",
        "%",
        "\\%",
        "$",
        "\\$",
        "\\text{ cm}",
        " m",
        "\\overline{3}",
        "e5",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "\\\\",
        "&",
        " ",
    ];
    let judge = || {
        let mut state = 17_u64;
        let mut below = |bound: usize| {
            // An LCG of Knuth's; its upper bits are the random ones.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let begun = std::time::Instant::now();
        for _ in 0..8_000 {
            let mut text = || -> String { (0..below(24)).map(|_| PARTS[below(PARTS.len())]).collect() };
            let (expected, answer) = (text(), text());
            if !expected.trim().is_empty() && !answer.trim().is_empty() {
                assert_eq!(
                    answers_match(&expected, &answer),
                    answers_match(&answer, &expected),
                    "{expected:?} {answer:?}"
                );
                assert!(answers_match(&answer, &answer), "{answer:?}");
            }
            let _unsaid = final_answer(&answer);
        }
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    };
    on_a_small_stack(judge);
}

/// Runs this on a quarter of the stack that threads have.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(work).expect("a thread starts");
    thread.join().expect("it ends");
}
