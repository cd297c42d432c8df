// expect: runtime-error: SyntaxError
console.log('ok'
