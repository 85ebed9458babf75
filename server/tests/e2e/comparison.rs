//! The same requests to a reference and to ours: the answers must be the same, except for a short list of intended
//! differences.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// Facts about an answer, each under a name such as `status` or `kvs[0].version`.
pub type Facts = BTreeMap<String, String>;

/// An answer in a form in which those of two servers can be compared.
#[derive(Debug)]
pub struct Answer {
    /// The summary, such as the status.
    pub summary: String,
    pub facts: Facts,
}

/// One fact that differs.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub fact: String,
    pub reference: Option<String>,
    pub ours: Option<String>,
}

/// An intended difference.
#[derive(Debug, PartialEq, Eq)]
pub struct Intended {
    pub name: &'static str,
    pub reason: &'static str,
    /// What may differ: facts whose names begin so. Everything else must be the same all the same.
    facts: &'static [&'static str],
}

/// An intended difference at one request, with the summary of both answers.
pub struct Expected {
    pub intended: Intended,
    pub reference: &'static str,
    pub ours: &'static str,
}

/// The results so far.
pub struct Comparison {
    intended: &'static [Intended],
    /// What may differ in every answer.
    everywhere: &'static [Intended],
    compared: BTreeSet<String>,
    met: BTreeSet<&'static str>,
    failures: String,
}

impl Answer {
    /// What differs between the reference's answer and ours.
    pub fn differences(reference: &Self, ours: &Self) -> Vec<Difference> {
        let names: BTreeSet<_> = reference.facts.keys().chain(ours.facts.keys()).collect();
        let pairs = names.into_iter().map(|name| (name, reference.facts.get(name), ours.facts.get(name)));
        let differing = pairs.filter(|(_, reference, ours)| reference != ours);
        differing
            .map(|(fact, reference, ours)| Difference {
                fact: fact.clone(),
                reference: reference.cloned(),
                ours: ours.cloned(),
            })
            .collect()
    }
}

impl Intended {
    /// The whole answer differs.
    pub const fn answer(name: &'static str, reason: &'static str) -> Self {
        Self { name, reason, facts: &[""] }
    }

    /// Some facts differ.
    pub const fn facts(name: &'static str, reason: &'static str, facts: &'static [&'static str]) -> Self {
        Self { name, reason, facts }
    }

    /// Whether this is why something differs.
    fn explains(&self, difference: &Difference) -> bool {
        self.facts.iter().any(|fact| difference.fact.starts_with(fact))
    }
}

impl Comparison {
    /// Each intended difference must occur, so that the list has no stale entry.
    pub fn new(intended: &'static [Intended], everywhere: &'static [Intended]) -> Self {
        let (compared, met, failures) = (BTreeSet::new(), BTreeSet::new(), String::new());
        Self { intended, everywhere, compared, met, failures }
    }

    /// Compares two answers to a request.
    pub fn compare(
        &mut self,
        title: &str,
        request: &str,
        differs: Option<&Expected>,
        reference: &Answer,
        ours: &Answer,
    ) {
        self.compared.insert(request.to_owned());
        let mut unexplained = Answer::differences(reference, ours);
        let mut complaint = String::new();
        for intended in self.everywhere {
            self.explain(intended, &mut unexplained);
        }
        if let Some(Expected { intended, reference: one, ours: other }) = differs {
            if !self.explain(intended, &mut unexplained) {
                writeln!(complaint, "    not different any more: {} ({})", intended.name, intended.reason).unwrap();
            }
            if (reference.summary.as_str(), ours.summary.as_str()) != (*one, *other) {
                writeln!(complaint, "    expected of the reference {one:?}, of ours {other:?}").unwrap();
            }
        }
        // If the summaries differ, everything else differs, too, and missing facts mean little.
        let is_other = reference.summary != ours.summary;
        let (lacking, shown): (Vec<_>, Vec<_>) =
            unexplained.into_iter().partition(|difference| is_other && difference.ours.is_none());
        for difference in shown {
            let absent = || "(absent)".to_owned();
            let (one, other) = (difference.reference.unwrap_or_else(absent), difference.ours.unwrap_or_else(absent));
            writeln!(complaint, "    {}: reference {one}, ours {other}", difference.fact).unwrap();
        }
        if !lacking.is_empty() {
            writeln!(complaint, "    and {} facts that ours lacks", lacking.len()).unwrap();
        }
        if !complaint.is_empty() {
            let (one, other) = (&reference.summary, &ours.summary);
            writeln!(self.failures, "{title}\n  {request}: reference {one:?}, ours {other:?}\n{complaint}").unwrap();
        }
    }

    /// Ends the test: there is no unintended difference, each intended one occurred, and enough requests were compared.
    pub fn conclude(self, at_least: usize) {
        let compared = self.compared.len();
        println!("{compared} different requests were compared, {} intended differences met", self.met.len());
        assert!(self.failures.is_empty(), "unintended differences:\n\n{}", self.failures);
        assert!(compared >= at_least, "only {compared} different requests were compared");
        let rotten: Vec<_> = self.intended.iter().filter(|intended| !self.met.contains(intended.name)).collect();
        assert!(rotten.is_empty(), "listed as intended, but never met: {rotten:#?}");
        let unlisted = self.met.iter().find(|name| self.intended.iter().all(|intended| intended.name != **name));
        assert_eq!(unlisted, None, "a difference that the list lacks");
    }

    /// Takes away what an intended difference explains; whether that was anything.
    fn explain(&mut self, intended: &Intended, differences: &mut Vec<Difference>) -> bool {
        let explained = differences.extract_if(.., |difference| intended.explains(difference)).count() > 0;
        if explained {
            self.met.insert(intended.name);
        }
        explained
    }
}
