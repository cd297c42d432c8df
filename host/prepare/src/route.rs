//! Routing: which problems a specialist takes. A problem of a domain that its config does not list is reported with
//! that domain, never lost.

use std::collections::BTreeMap;

use super::classify::ChosenDomain;
use super::fate::Skip;
use super::manifest::{DomainCount, TieCount};
use hilora_contract::dataset::Domain;

/// The domains that one specialist takes, and how many problems each domain had.
pub(super) struct Route<'a> {
    specialist: &'a str,
    taken: &'a [Domain],
    counts: BTreeMap<Domain, DomainCount>,
    ties: BTreeMap<ChosenDomain, usize>,
}

impl<'a> Route<'a> {
    pub(super) fn new(specialist: &'a str, taken: &'a [Domain]) -> Self {
        // A domain that is listed and has no problem is worth seeing too.
        let counts = taken.iter().map(|domain| (domain.clone(), DomainCount { problems: 0, taken: true })).collect();
        Self { specialist, taken, counts, ties: BTreeMap::new() }
    }

    /// Whether the specialist takes a problem of this domain; it is counted either way.
    pub(super) fn check(&mut self, chosen: &ChosenDomain) -> Result<(), Skip> {
        let domain = &chosen.domain;
        if !chosen.tied_with.is_empty() {
            *self.ties.entry(chosen.clone()).or_default() += 1;
        }
        let taken = self.taken.contains(domain);
        self.counts.entry(domain.clone()).or_insert(DomainCount { problems: 0, taken }).problems += 1;
        if taken {
            return Ok(());
        }
        let detail = format!("the domain is `{domain}`, which `{}` does not take", self.specialist);
        Err(Skip::new("domain-not-taken", detail))
    }

    /// The domains, and which of them were chosen although others had as high a score.
    pub(super) fn into_counts(self) -> (BTreeMap<Domain, DomainCount>, Vec<TieCount>) {
        let tie = |(ChosenDomain { domain, tied_with }, problems)| TieCount { chosen: domain, tied_with, problems };
        (self.counts, self.ties.into_iter().map(tie).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_nobody_listed_is_counted_and_so_is_a_tie() {
        let domain = |name: &str| Domain(name.to_owned());
        let chosen = |name: &str, tied: &[&str]| ChosenDomain {
            domain: domain(name),
            tied_with: tied.iter().map(|name| domain(name)).collect(),
        };
        let taken = [domain("math"), domain("algorithms")];
        let mut route = Route::new("math", &taken);
        assert_eq!(route.check(&chosen("math", &[])), Ok(()));
        assert_eq!(route.check(&chosen("math", &["proofs"])), Ok(()));
        assert_eq!(route.check(&chosen("math", &["proofs"])), Ok(()));
        let skip = route.check(&chosen("proofs", &["math"])).expect_err("nobody takes it");
        assert_eq!(skip.detail, "the domain is `proofs`, which `math` does not take");
        let (counts, ties) = route.into_counts();
        assert_eq!(counts[&domain("proofs")], DomainCount { problems: 1, taken: false });
        assert_eq!(counts[&domain("algorithms")], DomainCount { problems: 0, taken: true });
        let tie = |chosen: &str, other: &str, problems| TieCount {
            chosen: domain(chosen),
            tied_with: vec![domain(other)],
            problems,
        };
        assert_eq!(ties, [tie("math", "proofs", 2), tie("proofs", "math", 1)]);
    }
}
