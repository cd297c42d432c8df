// expect: accepted
const readline = require('readline');
const input = readline.createInterface({ input: process.stdin, output: process.stdout, terminal: false });
const lines = [];
input.on('line', (line) => lines.push(line));
input.on('close', () => console.log(lines.length === 1 && lines[0] === '5' ? 'ok' : 'no'));
