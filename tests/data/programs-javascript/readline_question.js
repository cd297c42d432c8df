// expect: accepted
const input = require('readline').createInterface({ input: process.stdin });
input.question('', (answer) => {
  console.log(answer === '5' ? 'ok' : 'no');
  input.close();
});
