// expect: time-limit
setInterval(() => {}, 1000);
