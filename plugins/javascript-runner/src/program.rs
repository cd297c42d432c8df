//! One program in an interpreter of its own, from its first statement until nothing waits any more.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hilora_plugin_sdk::runner::{MissingModule, Outcome, Uncaught};
use rquickjs::context::EvalOptions;
use rquickjs::function::{Constructor, Func};
use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::{
    CatchResultExt, CaughtError, Context, Ctx, Exception, Function, Module, Object, Persistent, Runtime, TypedArray,
    Value,
};

use crate::entry_point::EntryPoint;
use crate::streams;

const PRELUDE: &str = include_str!("prelude.js");
/// The name of a program in its own traces.
const PROGRAM: &str = "program.js";
/// The host refuses longer strings; a message this long tells a person nothing more.
const MESSAGE_CHARACTERS_MAX: usize = 2_000;
/// What QuickJS throws where it is refused memory.
const OUT_OF_MEMORY: (&str, &str) = ("InternalError", "out of memory");
/// What an ES module declares at its top and a script cannot.
const MODULE_MARKS: [&str; 4] = ["import ", "import{", "export ", "await "];

/// What a program has said of its own end.
#[derive(Default)]
struct Ending {
    /// The exit code that it wants.
    exit: Cell<Option<u8>>,
    /// Whether what its function returned is written.
    answered: Cell<bool>,
}

/// Runs the program, or calls its function.
pub(crate) fn run(code: &str, entry_point: Option<&str>) -> Outcome {
    match start(code, entry_point.map(EntryPoint::new), &Rc::default()) {
        Ok(outcome) => outcome,
        Err(error) => raised("InternalError", &error.to_string()),
    }
}

fn start(code: &str, entry_point: Option<EntryPoint<'_>>, ending: &Rc<Ending>) -> rquickjs::Result<Outcome> {
    let runtime = Runtime::new()?;
    runtime.set_loader(BuiltIn, BuiltIn);
    let wanted = ending.clone();
    // `process.exit` cannot unwind what called it; the interpreter asks here whether to go on.
    runtime.set_interrupt_handler(Some(Box::new(move || wanted.exit.get().is_some())));
    let unhandled: Rc<RefCell<Vec<Unhandled>>> = Rc::default();
    let rejected = unhandled.clone();
    runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, is_handled| {
        let promise = Persistent::save(&ctx, promise);
        let mut rejected = rejected.borrow_mut();
        if is_handled {
            rejected.retain(|unhandled| unhandled.promise != promise);
        } else {
            rejected.push(Unhandled { promise, reason: Persistent::save(&ctx, reason) });
        }
    })));
    let context = Context::full(&runtime)?;
    let outcome = context.with(|ctx| {
        let ended = execute(&ctx, code, entry_point.as_ref(), ending, &unhandled);
        if let Some(code) = ending.exit.get() {
            return Outcome::Exited(code);
        }
        match ended.catch(&ctx) {
            Ok(()) => Outcome::Exited(exit_code(&ctx)),
            Err(error) => failed(&ctx, &error),
        }
    });
    // Values of the context must not outlive it.
    unhandled.borrow_mut().clear();
    Ok(outcome)
}

/// A promise that was rejected and that nobody has looked at.
struct Unhandled {
    promise: Persistent<Value<'static>>,
    reason: Persistent<Value<'static>>,
}

fn execute(
    ctx: &Ctx<'_>,
    code: &str,
    entry_point: Option<&EntryPoint<'_>>,
    ending: &Rc<Ending>,
    unhandled: &RefCell<Vec<Unhandled>>,
) -> rquickjs::Result<()> {
    let prelude: Function<'_> = ctx.eval(PRELUDE)?;
    let given: Object<'_> = prelude.call((host(ctx, ending)?,))?;
    let (turn, call): (Function<'_>, Function<'_>) = (given.get("turn")?, given.get("call")?);
    // Taken before the program runs, which can put anything in its place.
    let parser: Constructor<'_> = ctx.globals().get("Function")?;
    evaluate(ctx, code, entry_point, &parser)?;
    if let Some(entry_point) = entry_point {
        entry_point.call(ctx, &call)?;
    }
    loop {
        while ctx.execute_pending_job() {}
        let first = unhandled.borrow_mut().pop();
        if let Some(first) = first {
            return Err(ctx.throw(first.reason.restore(ctx)?));
        }
        if !turn.call::<_, bool>(())? && !ctx.execute_pending_job() {
            return match entry_point.is_none() || ending.answered.get() {
                true => Ok(()),
                false => Err(Exception::throw_message(ctx, "the promise that was returned is never settled")),
            };
        }
    }
}

/// A script, and where it can only be one, a module. Nothing runs twice: a script that began is no module, whatever it
/// throws.
fn evaluate<'js>(
    ctx: &Ctx<'js>,
    code: &str,
    entry_point: Option<&EntryPoint<'_>>,
    parser: &Constructor<'js>,
) -> rquickjs::Result<()> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(PROGRAM.to_owned());
    let script = ctx.eval_with_options::<(), _>(code, options);
    if script.is_ok() || !MODULE_MARKS.iter().any(|mark| code.contains(mark)) {
        return script;
    }
    let thrown = ctx.catch();
    let is_syntax = thrown.as_exception().is_some_and(|error| name_of(error.as_object()) == "SyntaxError");
    if !is_syntax || parses(ctx, code, parser) {
        return Err(ctx.throw(thrown));
    }
    let code = entry_point.map_or_else(|| code.to_owned(), |entry_point| entry_point.opened(code));
    Module::evaluate(ctx.clone(), PROGRAM, code)?.finish::<()>()
}

/// Whether the code is a script, for which it is enough that it could be a function's body: a `SyntaxError` alone does
/// not tell, because `JSON.parse`, `eval` and `RegExp` throw it too. `parser` is `Function`, which parses and runs
/// nothing.
fn parses<'js>(ctx: &Ctx<'js>, code: &str, parser: &Constructor<'js>) -> bool {
    match parser.construct::<_, Value<'js>>((code,)) {
        Ok(_) => true,
        Err(_) => {
            ctx.catch();
            false
        }
    }
}

/// What the prelude is given.
fn host<'js>(ctx: &Ctx<'js>, ending: &Rc<Ending>) -> rquickjs::Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    host.set("write", Func::from(|stream: i32, text: String| streams::write(stream, text.as_bytes())))?;
    host.set(
        "writeBytes",
        Func::from(|stream: i32, bytes: TypedArray<'_, u8>| {
            streams::write(stream, contents(&bytes));
        }),
    )?;
    host.set("read", Func::from(|| String::from_utf8_lossy(&streams::read()).into_owned()))?;
    host.set("encode", Func::from(|ctx: Ctx<'js>, text: String| TypedArray::<u8>::new(ctx, text.into_bytes())))?;
    host.set("decode", Func::from(|bytes: TypedArray<'_, u8>| String::from_utf8_lossy(contents(&bytes)).into_owned()))?;
    let began = Instant::now();
    host.set("now", Func::from(move || began.elapsed().as_secs_f64() * 1e3))?;
    host.set(
        "sleep",
        Func::from(|milliseconds: f64| {
            if milliseconds > 0.0 {
                sleep(Duration::try_from_secs_f64(milliseconds / 1e3).unwrap_or(Duration::MAX));
            }
        }),
    )?;
    let exiting = ending.clone();
    host.set("exit", Func::from(move |code: i32| exiting.exit.set(Some(code.to_le_bytes()[0]))))?;
    let answering = ending.clone();
    host.set(
        "answer",
        Func::from(move |text: String| {
            streams::answer(text.as_bytes());
            answering.answered.set(true);
        }),
    )?;
    Ok(host)
}

/// The bytes of an array, until the interpreter goes on.
fn contents<'a>(bytes: &'a TypedArray<'_, u8>) -> &'a [u8] {
    // SAFETY: the bytes are read before the function that was called from JavaScript returns, and nothing of the program
    // runs in between that could change or detach the buffer.
    unsafe { bytes.as_bytes() }.unwrap_or_default()
}

/// What `process.exitCode` says at the end.
fn exit_code(ctx: &Ctx<'_>) -> u8 {
    let process = ctx.globals().get::<_, Object<'_>>("process");
    let code = process.and_then(|process| process.get::<_, Option<f64>>("exitCode")).ok().flatten().unwrap_or(0.0);
    // As an exit status is cut: to its lowest eight bits.
    (code as i64).to_le_bytes()[0]
}

/// An uncaught error: written to standard error as a trace, and told by its name.
fn failed<'js>(ctx: &Ctx<'js>, error: &CaughtError<'js>) -> Outcome {
    let (name, message, stack, missing) = match error {
        CaughtError::Exception(exception) => {
            let object = exception.as_object();
            let missing: Option<String> = object.get("module").ok();
            let message = exception.message().unwrap_or_default();
            (name_of(object), message, exception.stack().unwrap_or_default(), missing)
        }
        CaughtError::Value(value) => {
            let text = ctx.json_stringify(value.clone()).ok().flatten().and_then(|text| text.to_string().ok());
            ("Error".to_owned(), text.unwrap_or_else(|| value.type_name().to_owned()), String::new(), None)
        }
        CaughtError::Error(error) => ("InternalError".to_owned(), error.to_string(), String::new(), None),
    };
    streams::flush();
    streams::write(2, format!("{name}: {message}\n{stack}").as_bytes());
    match missing {
        Some(name) => Outcome::Unsupported(MissingModule { name: shortened(&name) }),
        None if (name.as_str(), message.as_str()) == OUT_OF_MEMORY => Outcome::OutOfMemory,
        None => raised(&name, &message),
    }
}

fn name_of(error: &Object<'_>) -> String {
    error.get("name").unwrap_or_else(|_| "Error".to_owned())
}

fn raised(exception: &str, message: &str) -> Outcome {
    Outcome::Raised(Uncaught { exception: shortened(exception), message: shortened(message) })
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_CHARACTERS_MAX).collect()
}

/// The modules that the prelude has, for `import`.
struct BuiltIn;

impl Resolver for BuiltIn {
    fn resolve<'js>(
        &mut self,
        _ctx: &Ctx<'js>,
        _base: &str,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        Ok(name.strip_prefix("node:").unwrap_or(name).to_owned())
    }
}

impl Loader for BuiltIn {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        let require: Function<'_> = ctx.globals().get("require")?;
        let module: Object<'_> = require.call((name,))?;
        let mut source = format!("const module = require({name:?}); export default module;");
        for key in module.keys::<String>() {
            let key = key?;
            if key != "default" {
                source.push_str(&format!("export const {key} = module.{key};"));
            }
        }
        Module::declare(ctx.clone(), name, source)
    }
}
