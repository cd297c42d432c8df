// expect: runtime-error: TypeError
console.log('ok');
null.property;
