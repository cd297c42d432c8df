// expect: accepted
Promise.reject(new RangeError('somebody looks')).catch(() => console.log('ok'));
