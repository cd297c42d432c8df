// expect: memory-limit
const again = () => Promise.resolve().then(again);
again();
