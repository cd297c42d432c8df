//! The domains and their signals; those of problems word for word from the specification. Nothing else in this plugin decides what
//! belongs where.

/// What marks a domain.
pub(crate) struct DomainSignals {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// Dataset tags that decide before any keyword is counted.
    pub(crate) deciding_tags: &'static [&'static str],
    /// Words and phrases, in lower case and singular.
    pub(crate) keywords: &'static [&'static str],
}

/// The domain of a problem without any signal.
pub(crate) const DEFAULT_DOMAIN: &str = "python";

/// Every domain, in the order that breaks ties: the first of equal scores wins.
pub(crate) const DOMAINS: [DomainSignals; 5] = [
    // A policy example is marked as one by its loader. No word of a problem's text says as much.
    DomainSignals {
        name: "policy",
        description: "Policy compliance: what a written policy makes of a request",
        deciding_tags: &["policy"],
        keywords: &[],
    },
    DomainSignals {
        name: "math",
        description: "Proofs, formulas, probability, number theory, combinatorics and geometry",
        deciding_tags: &["math", "number theory", "combinatorics"],
        keywords: &[
            "prove",
            "theorem",
            "lemma",
            "mathematical",
            "formula",
            "probability",
            "expected value",
            "modular arithmetic",
            "number theory",
            "combinatorics",
            "geometry",
        ],
    },
    DomainSignals {
        name: "algorithms",
        description: "Dynamic programming, greedy choices, searches, graphs, trees and strings",
        deciding_tags: &["dp", "graphs", "trees", "greedy"],
        keywords: &[
            "dynamic programming",
            "dp",
            "greedy",
            "binary search",
            "graph",
            "tree",
            "shortest path",
            "bfs",
            "dfs",
            "segment tree",
            "fenwick",
            "suffix array",
        ],
    },
    DomainSignals {
        name: "data_structures",
        description: "Heaps, stacks, queues, lists, hashes, tries and disjoint sets",
        deciding_tags: &[],
        keywords: &["heap", "stack", "queue", "linked list", "hash", "trie", "union find", "disjoint set"],
    },
    DomainSignals {
        name: "python",
        description: "The Python language itself, and whatever shows no other signal",
        deciding_tags: &[],
        keywords: &["python", "pythonic", "list comprehension", "generator", "decorator", "class"],
    },
];
