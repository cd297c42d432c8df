// expect: accepted
function depth(left) { return left === 0 ? 0 : depth(left - 1) + 1; }
console.log(depth(10_000) === 10_000 ? 'ok' : 'no');
