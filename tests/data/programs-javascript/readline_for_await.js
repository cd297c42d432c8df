// expect: accepted
const input = require('readline').createInterface({ input: process.stdin });
(async () => {
  const lines = [];
  for await (const line of input) lines.push(line);
  console.log(lines.join() === '5' ? 'ok' : 'no');
})();
