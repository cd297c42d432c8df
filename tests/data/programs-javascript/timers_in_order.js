// expect: accepted
const seen = [];
setTimeout(() => seen.push('late'), 30_000);
setTimeout(() => seen.push('soon'), 10);
Promise.resolve().then(() => seen.push('microtask'));
process.nextTick(() => seen.push('tick'));
seen.push('now');
let ticks = 0;
const interval = setInterval(() => { if (++ticks === 3) clearInterval(interval); }, 1000);
process.on('exit', () => console.log(seen[0] === 'now' && seen.at(-1) === 'late' && ticks === 3 && seen.includes('microtask') ? 'ok' : seen.join()));
