// expect: accepted
console.log('ok');
process.exit(0);
console.log('never');
