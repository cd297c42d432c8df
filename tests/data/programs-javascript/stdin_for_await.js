// expect: accepted
async function main() {
  let text = '';
  for await (const chunk of process.stdin) text += chunk;
  console.log(text.trim() === '5' ? 'ok' : 'no');
}
main();
