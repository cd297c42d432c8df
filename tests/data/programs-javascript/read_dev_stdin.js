// expect: accepted
const data = require('node:fs').readFileSync('/dev/stdin');
console.log(data.toString() === '5\n' && data.length === 2 ? 'ok' : 'no');
