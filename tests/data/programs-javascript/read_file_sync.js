// expect: accepted
const lines = require('fs').readFileSync(0, 'utf8').trim().split('\n');
console.log(Number(lines[0]) === 5 ? 'ok' : 'no');
