// expect: accepted
let text = '';
process.stdin.resume();
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => { text += chunk; });
process.stdin.on('end', () => process.stdout.write(text === '5\n' ? 'ok\n' : 'no\n'));
