//! The Jinja environment that chat templates expect: transformers' settings, its functions and its `tojson`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, context};
use serde::Serialize;
use serde_json::ser::Formatter;

use super::{Dialogue, generation_blocks, tools};
use hilora_contract::dataset::{Message, ToolCall};

/// The name under which the template is kept; errors show it.
const NAME: &str = "chat_template";
/// Steps of one rendering: a few for each message and each loop, so a conversation of thousands of turns has enough.
const STEPS_MAX: u64 = 10_000_000;
/// Bytes of one rendering.
const RENDERED_BYTES_MAX: usize = 64 << 20;

/// An environment with one template.
pub(super) fn environment(template: String) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(write_as_python);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.set_fuel(Some(STEPS_MAX));
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", |format: String| fixed_date(&format));
    environment.add_template_owned(NAME, generation_blocks::rewritten(&template))?;
    Ok(environment)
}

/// Renders the environment's template. What its generation blocks write stands between the two marks.
pub(super) fn render(
    environment: &Environment<'_>,
    Dialogue { messages, tools }: Dialogue<'_>,
    add_generation_prompt: bool,
    special_tokens: &BTreeMap<&'static str, String>,
    (begin, end): (&str, &str),
) -> Result<String, String> {
    let template = environment.get_template(NAME).map_err(|error| error.to_string())?;
    let messages = messages.iter().map(message_value).collect::<Result<Vec<Value>, String>>()?;
    let tools = tools.iter().map(|tool| tools::value("a tool", tool)).collect::<Result<Vec<Value>, String>>()?;
    let marks = BTreeMap::from([(generation_blocks::BEGIN, begin), (generation_blocks::END, end)]);
    let values = context! {
        messages,
        tools => if tools.is_empty() { Value::from(()) } else { Value::from(tools) },
        documents => Value::from(()),
        add_generation_prompt => add_generation_prompt,
        ..context! { ..Value::from(Serde(special_tokens)), ..Value::from(Serde(marks)) }
    };
    let mut output = BoundedText(Vec::new());
    template.render_captured_to(values, &mut output).map_err(|error| match error.kind() {
        ErrorKind::OutOfFuel => format!("a rendering takes more than {STEPS_MAX} steps"),
        ErrorKind::WriteFailure => format!("a rendering has more than {RENDERED_BYTES_MAX} bytes"),
        // The template's own words, as far as it has any.
        _ => error.detail().map_or_else(|| error.to_string(), str::to_owned),
    })?;
    String::from_utf8(output.0).map_err(|error| error.to_string())
}

/// A message as templates know it: a thought beside the text has other names there, and the arguments of a call are an
/// object.
fn message_value(message: &Message) -> Result<Value, String> {
    let mut value = Value::from(Serde(message));
    if let Some(reasoning) = &message.reasoning {
        let reasoning = Value::from(reasoning.as_str());
        value = context! { reasoning_content => reasoning.clone(), thinking => reasoning, ..value };
    }
    if message.tool_calls.is_empty() {
        return Ok(value);
    }
    let call = |call: &ToolCall| {
        let arguments = tools::value("the arguments of a call", &call.arguments)?;
        let function = context! { name => call.name.as_str(), arguments };
        let called = context! { type => "function", function };
        Ok(match &call.id {
            Some(id) => context! { id => id.as_str(), ..called },
            None => called,
        })
    };
    let tool_calls = message.tool_calls.iter().map(call).collect::<Result<Vec<Value>, String>>()?;
    Ok(context! { tool_calls, ..value })
}

/// What Python's `iter` takes; Jinja2 asks it.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// What has a length and items in Python; texts and mappings have, too.
fn is_sequence(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Undefined | ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Bytes => true,
        ValueKind::Iterable => value.len().is_some(),
        _ => false,
    }
}

/// Writes the constants as Python spells them.
fn write_as_python(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let constant = match value.kind() {
        ValueKind::None => "None",
        ValueKind::Bool if value.is_true() => "True",
        ValueKind::Bool => "False",
        _ => return minijinja::escape_formatter(output, state, value),
    };
    output.write_str(constant).map_err(Error::from)
}

/// Text that may not grow beyond all bounds.
struct BoundedText(Vec<u8>);

impl Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > RENDERED_BYTES_MAX {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("the template refuses the messages: {message}")))
}

/// `strftime` of 2024-01-01 00:00:00, a Monday: the date at which the sandbox's clock starts, too. What is not known
/// here stays as it stands, as Python's own does on most systems.
fn fixed_date(format: &str) -> String {
    const PARTS: [(&str, &str); 17] = [
        ("%Y", "2024"),
        ("%y", "24"),
        ("%m", "01"),
        ("%B", "January"),
        ("%b", "Jan"),
        ("%d", "01"),
        ("%e", " 1"),
        ("%j", "001"),
        ("%A", "Monday"),
        ("%a", "Mon"),
        ("%H", "00"),
        ("%I", "12"),
        ("%M", "00"),
        ("%S", "00"),
        ("%p", "AM"),
        ("%F", "2024-01-01"),
        ("%%", "%"),
    ];
    let mut text = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        match PARTS.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                text.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    text
}

/// `json.dumps(value, ensure_ascii=False)`, with `indent` where it is asked for.
fn to_json(value: &Value, arguments: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    // It is what happens anyhow.
    let ensure_ascii: Option<bool> = arguments.get("ensure_ascii")?;
    arguments.assert_all_used()?;
    if ensure_ascii == Some(true) || indent.is_some_and(|indent| indent > 16) {
        let message = "tojson: expected ensure_ascii=False and an indent of at most 16";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let mut text = Vec::new();
    let formatter = PythonJson { indent, level: 0, has_values: false };
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    String::from_utf8(text).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// JSON as Python's `json.dumps` spells it: its separators, its lines, its floats.
struct PythonJson {
    /// Spaces of a level; all in one line where there are none.
    indent: Option<usize>,
    level: usize,
    /// Whether the array or object that ends has any.
    has_values: bool,
}

impl PythonJson {
    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.level += 1;
        self.has_values = false;
        writer.write_all(bracket)
    }

    fn begin_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        match (self.indent, first) {
            (None, true) => Ok(()),
            (None, false) => writer.write_all(b", "),
            (Some(_), true) => self.new_line(writer),
            (Some(_), false) => {
                writer.write_all(b",")?;
                self.new_line(writer)
            }
        }
    }

    fn end_value(&mut self) -> io::Result<()> {
        self.has_values = true;
        Ok(())
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.level -= 1;
        if self.indent.is_some() && self.has_values {
            self.new_line(writer)?;
        }
        writer.write_all(bracket)
    }

    fn new_line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        writer.write_all(" ".repeat(self.indent.unwrap_or(0) * self.level).as_bytes())
    }
}

impl Formatter for PythonJson {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(python_float(value).as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.end_value()
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.end_value()
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }
}

/// `repr` of a float: the shortest digits that are it, with an exponent of at least two digits from 1e16 and below 1e-4.
fn python_float(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e16).contains(&value.abs()) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat_template::confined::confined;

    const NOTHING: Dialogue<'_> = Dialogue { messages: &[], tools: &[] };

    fn rendered(template: &str) -> Result<String, String> {
        let environment = environment(template.to_owned()).map_err(|error| error.to_string())?;
        render(&environment, NOTHING, false, &BTreeMap::new(), ("", ""))
    }

    #[test]
    fn json_looks_as_pythons() {
        // python3 -c 'import json; print(json.dumps({"b": [1, "ü<>&\'"], "a": {}, "c": None}, ensure_ascii=False))'
        let expected = r#"{"b": [1, "ü<>&'"], "a": {}, "c": null}"#;
        let template = r#"{{ {"b": [1, "ü<>&'"], "a": {}, "c": none} | tojson }}"#;
        assert_eq!(rendered(template), Ok(expected.to_owned()));
        let lines = rendered("{{ [1, [], {'a': {}, 'b': [2]}] | tojson(indent=2) }}");
        let expected = "[\n  1,\n  [],\n  {\n    \"a\": {},\n    \"b\": [\n      2\n    ]\n  }\n]";
        assert_eq!(lines.as_deref(), Ok(expected));
        // python3 -c 'import json; print(json.dumps([1.0, 1e15, 1e16, 1.5e-5, -1e-4, 1e300, 0.0, -0.0, 0.1]))'
        let floats = rendered("{{ [1.0, 1e15, 1e16, 1.5e-5, -1e-4, 1e300, 0.0, -0.0, 0.1] | tojson }}");
        let expected = "[1.0, 1000000000000000.0, 1e+16, 1.5e-05, -0.0001, 1e+300, 0.0, -0.0, 0.1]";
        assert_eq!(floats.as_deref(), Ok(expected));
    }

    /// Jinja2 3.1 made the answers: `jinja2.Environment().from_string("{{ V is T }}").render()`.
    #[test]
    fn tests_answer_as_jinja2s() {
        for (value, expected) in [
            ("none", "False False False False False"),
            ("nothing", "True True False False False"),
            ("true", "False False False False True"),
            ("7", "False False False False True"),
            ("1.5", "False False False False True"),
            ("'text'", "True True False True False"),
            ("''", "True True False True False"),
            ("[]", "True True False False False"),
            ("(1, 2)", "True True False False False"),
            ("{}", "True True True False False"),
            ("range(3)", "True True False False False"),
        ] {
            let tests = ["iterable", "sequence", "mapping", "string", "number"];
            let tests = tests.map(|test| format!("{{{{ {value} is {test} }}}}")).join(" ");
            assert_eq!(rendered(&tests).as_deref(), Ok(expected), "{value}");
        }
        assert_eq!(rendered("{{ none }} {{ true }} {{ 1 == 2 }}").as_deref(), Ok("None True False"));
    }

    /// transformers 5.13 renders the same.
    #[test]
    fn a_generation_block_writes_what_is_in_it_and_is_a_scope_of_its_own() {
        for (template, expected) in [
            ("{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "21"),
            ("{% for i in [1, 2] %}{% generation %}{{ i ~ loop.last }}{% endgeneration %}{% endfor %}", "1False2True"),
            ("a {%- generation -%} b {%- endgeneration %} c", "ab c"),
            ("a\n  {% generation %}\n b\n  {% endgeneration %}\nc", "a\n b\nc"),
        ] {
            assert_eq!(rendered(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn the_date_is_fixed() {
        assert_eq!(rendered("{{ strftime_now('%d %b %Y, %H:%M %% ü%Q') }}"), Ok("01 Jan 2024, 00:00 % ü%Q".to_owned()));
    }

    /// What becomes of a template in confinement, read and rendered: its length, or why there is none.
    fn confined_length(template: &'static str) -> Result<usize, String> {
        let environment = confined(|| environment(template.to_owned()).map_err(|error| error.to_string()))
            .map_err(|error| error.to_string())??;
        let render = move || render(&environment, NOTHING, false, &BTreeMap::new(), ("", "")).map(|text| text.len());
        confined(render).map_err(|error| error.to_string())?
    }

    #[test]
    fn no_template_takes_more_memory_than_it_may() {
        let memory = "bytes of memory";
        for (template, part) in [
            // Constants are computed while the template is read.
            ("{{ ('x' * 99999999) ~ ('y' * 99999999) }}", memory),
            ("{{ 'x' * 10**9 }}", "too large"),
            (
                "{% set n = namespace(x='x' * 99) %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
                memory,
            ),
            (
                "{% set n = namespace(x='x' * 99) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
                memory,
            ),
            (
                "{% set n = namespace(x='xx') %}{% for i in range(99) %}{% set n.x = n.x.replace('x', n.x) %}{% endfor %}",
                memory,
            ),
            (
                "{% set n = namespace(x='x') %}{% for i in range(99) %}{% set x %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = x %}{% endfor %}",
                memory,
            ),
            (
                "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ (n.x | string) | length }}",
                memory,
            ),
            (
                "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson | length }}",
                memory,
            ),
            (
                "{% set n = namespace(x=[1, 2]) %}{% for i in range(99) %}{% set n.x = (n.x + n.x) | list %}{% endfor %}",
                memory,
            ),
            ("{{ ([0] * 99999999) | list | length }}", memory),
            ("{{ (('x,' * 49999999) | string).split(',') | length }}", memory),
            ("{{ ('x\n' * 999999) | indent(999) | length }}", memory),
            ("{{ range(100000) | map('string') | join('x' * 99999) | length }}", memory),
            ("{{ range(10**9) | list }}", "too many elements"),
            ("{{ 'x'.ljust(10**9) }}", "ljust"),
            ("{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m('x') }}", memory),
        ] {
            let refused = confined_length(template);
            assert!(refused.as_ref().is_err_and(|message| message.contains(part)), "{template}: {refused:?}");
        }
    }

    #[test]
    fn values_within_values_end_no_process() {
        let nested = "{% set n = namespace(x=[]) %}{% for i in range(99999) %}{% for j in range(10) %}{% set n.x = [n.x] %}\
                      {% endfor %}{% endfor %}{{ n.x | length }}";
        assert!(confined_length(nested).is_ok_and(|length| length == 1));
        let cyclic = "{% set n = namespace() %}{% set n.a = n %}{{ n }}";
        let shown = confined_length(cyclic);
        assert!(shown.as_ref().is_err_and(|message| message.contains("bytes of memory")), "{shown:?}");
    }

    #[test]
    fn a_template_that_refuses_loops_or_grows_is_an_error() {
        let refused = rendered("{{ raise_exception('no system role') }}");
        assert_eq!(refused, Err("the template refuses the messages: no system role".to_owned()));
        let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert!(rendered(loops).is_err_and(|message| message.contains("steps")));
        let grows = "{% set s = 'x' * 100000 %}{% for a in range(9999) %}{{ s }}{% endfor %}";
        assert!(rendered(grows).is_err_and(|message| message.contains("bytes")));
    }
}
