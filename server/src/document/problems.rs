use std::fmt::{self, Display};

use convene_lifecycle::Token;

/// The most problems that are told: whoever has more has one of another kind.
const TOLD: usize = 20;

/// What is wrong with a document.
#[derive(Debug, Default)]
pub struct Problems {
    told: Vec<String>,
    count: usize,
}

impl Problems {
    /// A place in the document, to say what is wrong there.
    pub fn at(&mut self, subject: impl Display) -> Place<'_> {
        Place { problems: self, subject: subject.to_string(), path: String::new() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    fn add(&mut self, problem: impl Display) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(problem.to_string());
        }
    }
}

/// A line for each problem.
impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("\n"))?;
        match self.count - self.told.len() {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// Where in the document somebody reads.
pub struct Place<'a> {
    problems: &'a mut Problems,
    subject: String,
    path: String,
}

impl Place<'_> {
    /// A field of this place, or a field of one.
    pub fn inside(&mut self, step: impl Display) -> Place<'_> {
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{step}", self.path);
        Place { problems: self.problems, subject: self.subject.clone(), path }
    }

    /// Notes what is wrong here.
    pub fn wrong(&mut self, what: impl Display) {
        let Self { subject, path, .. } = self;
        let colon = if path.is_empty() { "" } else { ": " };
        let line = format!("{subject}{colon}{path}: {what}");
        self.problems.add(line);
    }

    /// Notes what is wrong with a field, if anything is.
    pub fn field<T, E: Display>(&mut self, name: &str, read: Result<T, E>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.inside(name).wrong(without_field(&error.to_string()));
                None
            }
        }
    }

    /// The same for a field that may be `null`.
    pub fn optional<T, E: Display>(&mut self, name: &str, read: Option<Result<T, E>>) -> Option<Option<T>> {
        read.map_or(Some(None), |read| self.field(name, read).map(Some))
    }

    /// Reads every item of a list.
    pub fn list<I, T, E: Display>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = I>,
        read: impl Fn(I) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        // All of them, so that every problem is told.
        let read: Vec<Option<T>> =
            items.into_iter().enumerate().map(|(n, item)| self.field(&format!("{name}[{n}]"), read(item))).collect();
        read.into_iter().collect()
    }
}

/// Errors of what faces take begin with the name that the field has there.
fn without_field(error: &str) -> &str {
    let prefixes = ["token: ", "member: ", "size: ", "value: "];
    prefixes.into_iter().find_map(|prefix| error.strip_prefix(prefix)).unwrap_or(error)
}

/// How a cluster is called in a problem: by its place, so that `jq` finds it, and by what of its token may be shown.
/// The token is whatever stands there, and need not be one.
pub fn cluster_place(n: usize, token: &str) -> String {
    match token.parse::<Token>() {
        Ok(token) => format!("clusters[{n}] ({token})"),
        Err(_) => format!("clusters[{n}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_tells_where_it_is() {
        let mut problems = Problems::default();
        let mut place = problems.at(cluster_place(3, "6c007a14875d53d9bf0ef5a6fc0257c8"));
        place.wrong("is empty");
        let size = place.inside("policy").field("strategy", "pray".parse::<convene_lifecycle::Strategy>());
        assert_eq!(size, None);
        let said = "clusters[3] (6c007a…): is empty\n\
                    clusters[3] (6c007a…): policy.strategy: must be one of prepared, add, replace and prune";
        assert_eq!(problems.to_string(), said);
    }

    #[test]
    fn of_many_problems_the_first_are_told_and_the_others_counted() {
        let mut problems = Problems::default();
        (0..25).for_each(|n| problems.at("used_tokens").wrong(n));
        let said = problems.to_string();
        assert_eq!((said.lines().count(), problems.count()), (21, 25));
        assert!(said.ends_with("\nused_tokens: 19\nand 5 more"), "{said}");
    }
}
