// expect: runtime-error: exit code 3
console.log('ok');
process.exit(3);
