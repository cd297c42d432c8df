// A classifier: `strings` where a problem speaks of text, `numbers` otherwise.

import { best, defineClassifier } from "./hilora-plugin/index.js";

/** Words that speak of text. */
const TEXT_WORDS = ["string", "word", "letter", "character", "palindrome"];

export const classifier = defineClassifier({
  // Fill in here: the domains that there are. A run's config lists those that it wants in `data.domains`.
  domains: [
    { name: "strings", description: "The input is text" },
    { name: "numbers", description: "Everything else" },
  ],

  // Fill in here: the domain of a problem. `problem.tags` are the dataset's own.
  classify(problem) {
    const text = `${problem.title} ${problem.statement}`.toLowerCase();
    const found = TEXT_WORDS.filter((word) => text.includes(word));
    const signals = found.map((word) => `keyword:${word}`);
    return best([{ domain: "strings", score: found.length, signals }], "numbers");
  },
});
