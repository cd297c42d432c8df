"""A classifier: `strings` where a problem speaks of text, `numbers` otherwise."""

from hilora_plugin import Classification, Classifier, DomainInfo, ProblemText, Score, best

#: Words that speak of text.
TEXT_WORDS = ("string", "word", "letter", "character", "palindrome")


class CustomClassifier(Classifier):
    # Fill in here: the domains that there are. A run's config lists those that it wants in `data.domains`.
    def domains(self) -> list[DomainInfo]:
        return [DomainInfo("strings", "The input is text"), DomainInfo("numbers", "Everything else")]

    # Fill in here: the domain of a problem. `problem.tags` are the dataset's own.
    def classify(self, problem: ProblemText) -> Classification:
        text = f"{problem.title} {problem.statement}".lower()
        found = [word for word in TEXT_WORDS if word in text]
        return best([Score("strings", float(len(found)), [f"keyword:{word}" for word in found])], default="numbers")
