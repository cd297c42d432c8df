// expect: time-limit: fuel
// Nothing is kept from one turn to the next: 17 MB at the end of the fuel, however fast the guest is.
const again = () => { Promise.resolve().then(again); };
again();
