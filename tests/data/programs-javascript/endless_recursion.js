// expect: runtime-error: trap
function deeper(depth) { return deeper(depth + 1) + 1; }
console.log(deeper(0));
