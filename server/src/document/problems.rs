use std::fmt::{self, Display};

use convene_lifecycle::Token;

/// The most problems that are listed. With more than that, something else is wrong with the document.
const LISTED: usize = 20;

/// The problems of a document.
#[derive(Debug, Default)]
pub struct Problems {
    listed: Vec<String>,
    count: usize,
}

impl Problems {
    /// A place in the document, to report problems there.
    pub fn at(&mut self, subject: impl Display) -> Place<'_> {
        Place { problems: self, subject: subject.to_string(), path: String::new() }
    }

    /// The number of problems, those that are not listed included.
    pub fn count(&self) -> usize {
        self.count
    }

    fn add(&mut self, problem: impl Display) {
        self.count += 1;
        if self.listed.len() < LISTED {
            self.listed.push(problem.to_string());
        }
    }
}

/// Each problem in a line of its own.
impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.listed.join("\n"))?;
        match self.count - self.listed.len() {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// A place in the document.
pub struct Place<'a> {
    problems: &'a mut Problems,
    subject: String,
    path: String,
}

impl Place<'_> {
    /// A field of this place.
    pub fn inside(&mut self, step: impl Display) -> Place<'_> {
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{step}", self.path);
        Place { problems: self.problems, subject: self.subject.clone(), path }
    }

    /// Reports a problem with this place.
    pub fn wrong(&mut self, what: impl Display) {
        let Self { subject, path, .. } = self;
        let colon = if path.is_empty() { "" } else { ": " };
        let line = format!("{subject}{colon}{path}: {what}");
        self.problems.add(line);
    }

    /// Returns a field's value, or reports why it can't be read.
    pub fn field<T, E: Display>(&mut self, name: &str, read: Result<T, E>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.inside(name).wrong(without_field(&error.to_string()));
                None
            }
        }
    }

    /// [`Place::field`] for a field that may be `null`.
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
        // Reads all items first, so that every problem is reported.
        let read: Vec<Option<T>> =
            items.into_iter().enumerate().map(|(n, item)| self.field(&format!("{name}[{n}]"), read(item))).collect();
        read.into_iter().collect()
    }
}

/// Errors of values from requests start with the name of the request's field.
fn without_field(error: &str) -> &str {
    let prefixes = ["token: ", "member: ", "size: ", "value: "];
    prefixes.into_iter().find_map(|prefix| error.strip_prefix(prefix)).unwrap_or(error)
}

/// A cluster in a problem: its position, so that `jq` finds it, and the part of its token that may be shown. `token` is
/// unchecked.
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
    fn a_problem_names_its_place() {
        let mut problems = Problems::default();
        let mut place = problems.at(cluster_place(3, "6c007a14875d53d9bf0ef5a6fc0257c8"));
        place.wrong("is empty");
        let size = place.inside("policy").field("strategy", "pray".parse::<convene_lifecycle::Strategy>());
        assert_eq!(size, None);
        let message = "clusters[3] (6c007a…): is empty\n\
                    clusters[3] (6c007a…): policy.strategy: must be one of prepared, add, replace and prune";
        assert_eq!(problems.to_string(), message);
    }

    #[test]
    fn the_first_problems_are_listed_and_the_others_counted() {
        let mut problems = Problems::default();
        (0..25).for_each(|n| problems.at("used_tokens").wrong(n));
        let message = problems.to_string();
        assert_eq!((message.lines().count(), problems.count()), (21, 25));
        assert!(message.ends_with("\nused_tokens: 19\nand 5 more"), "{message}");
    }
}
