// expect: accepted
console.log((2n ** 200n) % 1_000_000_007n === 961477224n || (2n ** 200n).toString().length === 61 ? 'ok' : 'no');
