// expect: time-limit: fuel
const again = () => Promise.resolve().then(again);
again();
