// expect: runtime-error: RangeError
console.log('ok');
Promise.reject(new RangeError('nobody looks'));
