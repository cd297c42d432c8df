// expect: runtime-error: exit code 7
console.log('ok');
process.exitCode = 7;
