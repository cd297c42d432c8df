// expect: runtime-error: SyntaxError
// It looks like a module and is a script: it must not run a second time as one.
if (globalThis.ran) process.exit(9);
globalThis.ran = 1;
async function f() { await 0; }
f();
JSON.parse('{');
