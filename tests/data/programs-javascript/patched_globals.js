// expect: wrong-answer
globalThis.process = { exit() {} };
globalThis.console = undefined;
Object.prototype.get = () => 'ok';
Array.prototype.push = () => { throw new Error('ok'); };
