use std::{collections::BTreeSet, fs, path::Path};

/// A section of a page of the documentation, of which tests compare the tables and headings with the code. It has the
/// sections below it.
pub struct Section {
    name: String,
    /// Without the blocks of code.
    lines: Vec<String>,
}

impl Section {
    /// Reads the section with a heading, from a page by its path from the root of the repository.
    #[track_caller]
    pub fn read(page: &str, heading: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{page}: {error}"));
        let section = Self { name: format!("{page}: {heading}"), lines: lines_of(&text, heading) };
        assert!(!section.lines.is_empty(), "{} does not exist", section.name);
        section
    }

    /// The headings below it.
    pub fn headings(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| level(line) > 0).map(|line| line.trim_start_matches('#').trim())
    }

    /// The rows of its tables whose first column has this name, of which there must be some.
    #[track_caller]
    pub fn rows(&self, first: &str) -> Vec<Vec<&str>> {
        let (mut rows, mut is_wanted) = (Vec::new(), false);
        for (at, line) in self.lines.iter().enumerate() {
            let Some(row) = line.strip_prefix('|') else { continue };
            let cells: Vec<&str> = row.strip_suffix('|').unwrap_or(row).split('|').map(str::trim).collect();
            let is_head = at == 0 || !self.lines[at - 1].starts_with('|');
            if is_head {
                is_wanted = cells[0] == first;
            } else if is_wanted && !row.starts_with("---") {
                rows.push(cells);
            }
        }
        assert!(!rows.is_empty(), "{} has no table of {first}", self.name);
        rows
    }

    /// What these tables have as code in the first column.
    #[track_caller]
    pub fn names(&self, first: &str) -> BTreeSet<String> {
        self.rows(first).iter().flat_map(|row| code_spans(row[0])).map(str::to_owned).collect()
    }
}

/// What stands between backquotes.
pub fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn lines_of(text: &str, heading: &str) -> Vec<String> {
    let mut in_code = false;
    let prose = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    });
    let is_before = |line: &&str| level(line) == 0 || line.trim_start_matches('#').trim() != heading;
    let mut lines = prose.skip_while(is_before);
    let Some(start) = lines.next() else { return Vec::new() };
    lines.take_while(|line| level(line) == 0 || level(line) > level(start)).map(str::to_owned).collect()
}

fn level(line: &str) -> usize {
    line.bytes().take_while(|byte| *byte == b'#').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Page\n## One\n| a | b |\n|---|---|\n| `x`, `y` | |\n| z | 1 |\n\n```sh\n## no heading\n```\n\
                        ### Below\n| a | b |\n|---|---|\n| `w` | 2 |\n\n| c |\n|---|\n| `v` |\n## Two\n| a |\n|---|\n| `u` |\n";

    #[test]
    fn a_section_has_its_tables_and_those_of_the_sections_below_it() {
        let section = Section { name: "One".to_owned(), lines: lines_of(PAGE, "One") };
        assert_eq!(section.headings().collect::<Vec<_>>(), ["Below"]);
        assert_eq!(section.rows("a"), [["`x`, `y`", ""], ["z", "1"], ["`w`", "2"]]);
        assert_eq!(section.names("a"), ["w", "x", "y"].map(str::to_owned).into());
        assert_eq!(section.names("c"), ["v".to_owned()].into());
    }
}
