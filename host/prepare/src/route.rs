//! Routing: which problems a specialist takes. A problem of a domain that its config does not list is reported with
//! that domain, never lost.

use std::collections::BTreeMap;

use super::fate::Skip;
use super::manifest::DomainCount;
use hilora_contract::dataset::Domain;

/// The domains that one specialist takes, and how many problems each domain had.
pub(super) struct Route<'a> {
    specialist: &'a str,
    taken: &'a [Domain],
    counts: BTreeMap<Domain, DomainCount>,
}

impl<'a> Route<'a> {
    pub(super) fn new(specialist: &'a str, taken: &'a [Domain]) -> Self {
        // A domain that is listed and has no problem is worth seeing too.
        let counts = taken.iter().map(|domain| (domain.clone(), DomainCount { problems: 0, taken: true })).collect();
        Self { specialist, taken, counts }
    }

    /// Whether the specialist takes a problem of this domain; it is counted either way.
    pub(super) fn check(&mut self, domain: &Domain) -> Result<(), Skip> {
        let taken = self.taken.contains(domain);
        self.counts.entry(domain.clone()).or_insert(DomainCount { problems: 0, taken }).problems += 1;
        if taken {
            return Ok(());
        }
        let detail = format!("the domain is `{domain}`, which `{}` does not take", self.specialist);
        Err(Skip::new("domain-not-taken", detail))
    }

    pub(super) fn into_counts(self) -> BTreeMap<Domain, DomainCount> {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_nobody_listed_is_counted() {
        let domain = |name: &str| Domain(name.to_owned());
        let taken = [domain("math"), domain("algorithms")];
        let mut route = Route::new("math", &taken);
        assert_eq!(route.check(&domain("math")), Ok(()));
        let skip = route.check(&domain("proofs")).expect_err("nobody takes it");
        assert_eq!(skip.detail, "the domain is `proofs`, which `math` does not take");
        let counts = route.into_counts();
        assert_eq!(counts[&domain("proofs")], DomainCount { problems: 1, taken: false });
        assert_eq!(counts[&domain("algorithms")], DomainCount { problems: 0, taken: true });
    }
}
