// expect: accepted
console.log(globalThis.mark === undefined && Date.now() < 1_800_000_000_000 ? 'ok' : 'no');
globalThis.mark = 1;
