// A checker: two positive whole numbers are right if their sum is the input, whichever they are.

import { Refused, defineChecker, knownOptions } from "./hilora-plugin/index.js";

export const checker = defineChecker({
  // Fill in here: whether what a program wrote is right for this input. What a program writes is rejected if it is wrong,
  // whatever it is; an error says that the test itself cannot be used.
  check({ input, actual, options }) {
    // What a problem may tell: `"checker": {"name": "pair-checker", "options": {"distinct": true}}`.
    const { distinct } = knownOptions(options, { distinct: false });
    const sum = number(input.trim());
    if (sum === null) throw new Refused("expected a whole number");
    const words = new TextDecoder().decode(actual).split(/\s+/).filter((word) => word !== "");
    const [first, second] = words.map(number);
    if (words.length !== 2 || !first || !second) return "expected two positive whole numbers";
    if (first + second !== sum) return `expected the sum ${sum}, got ${first + second}`;
    return distinct && first === second ? "the two are the same" : null;
  },
});

/** The number that a word is, if it is one of at most 20 digits. */
function number(word) {
  return /^[0-9]{1,20}$/.test(word) ? BigInt(word) : null;
}
