//! The function that tests call: found where the program defined it, and called with what stands on standard input.
//!
//! Each line of the input that is not blank is one argument as a JSON value; what the call returns, or what the promise
//! that it returns becomes, is written as one JSON value. What the program itself prints goes to standard error.

use rquickjs::{Ctx, Function, Value};

use crate::streams;

/// The name under which a module's own scope is reached: what it does not export is nowhere else.
const SCOPE: &str = "__hilora_scope";

/// A call that is to be made, and what it is given.
pub(crate) struct EntryPoint<'a> {
    name: &'a str,
    arguments: String,
}

impl<'a> EntryPoint<'a> {
    /// Takes standard input before the program can, and turns its output away.
    pub(crate) fn new(name: &'a str) -> Self {
        let arguments = String::from_utf8_lossy(&streams::read()).into_owned();
        streams::redirect();
        Self { name, arguments }
    }

    /// A module's code with a way into its scope.
    pub(crate) fn opened(&self, module: &str) -> String {
        format!("{module}\n;globalThis.{SCOPE} = (text) => eval(text);")
    }

    /// Calls the function. `call` is the prelude's.
    pub(crate) fn call<'js>(&self, ctx: &Ctx<'js>, call: &Function<'js>) -> rquickjs::Result<()> {
        let scope: Option<Function<'js>> = ctx.globals().get(SCOPE)?;
        let text = find(self.name);
        let function: Value<'js> = match scope {
            Some(scope) => scope.call((text,))?,
            None => ctx.eval(text)?,
        };
        call.call((function, self.name, self.arguments.as_str()))
    }
}

/// An expression for the function: a method of a class `Solution`, what has the name, or what CommonJS exports by it. The
/// host passes no name that is not an identifier.
fn find(name: &str) -> String {
    format!(
        "typeof Solution === 'function' && typeof Solution.prototype?.{name} === 'function'
            ? (...values) => new Solution().{name}(...values)
            : typeof {name} === 'function' ? {name} : module.exports.{name}"
    )
}
