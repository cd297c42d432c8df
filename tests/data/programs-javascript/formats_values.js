// expect: accepted
const { format } = require('util');
const cases = [
  [[[1, 2, 3]], '[ 1, 2, 3 ]'], [[[]], '[]'], [[{ a: 1, b: 'x' }], "{ a: 1, b: 'x' }"], [[{}], '{}'],
  [['a', 1, true, null, undefined], 'a 1 true null undefined'], [['%d of %s', 3, 'b'], '3 of b'], [[-0], '-0'],
  [[new Map([[1, 'a']])], "Map(1) { 1 => 'a' }"], [[new Set([1, 2])], 'Set(2) { 1, 2 }'], [[10n], '10n'],
  [[[[1, [2, [3, [4]]]]]], '[ [ 1, [ 2, [Array] ] ] ]'], [[1e21], '1e+21'], [[[undefined, null]], '[ undefined, null ]'],
];
const wrong = cases.filter(([values, text]) => format(...values) !== text);
console.log(wrong.length === 0 ? 'ok' : wrong.map(([values, text]) => `${format(...values)} is not ${text}`).join('; '));
