// expect: memory-limit
// Each promise waits for the next, so none is ever let go of: some 800 bytes a turn. The 256 MiB are full after 6.7 of the
// 15 billion units of fuel, since guests are built for speed; built for size, a turn took more units and the fuel ended first.
const again = () => Promise.resolve().then(again);
again();
