// expect: runtime-error: Error: null
// It was refused one large array, caught that and went on; what it throws later has nothing to do with memory.
try {
  new Uint8Array(2 ** 29);
} catch {
  const small = new Array(1000).fill(0);
}
throw null;
