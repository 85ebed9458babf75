use std::path::Path;

/// A page of the documentation, of which tests run the blocks of code.
pub struct Page(String);

/// The blocks of shell of a page that a test types one by one.
pub struct Steps {
    page: String,
    left: Vec<Block>,
}

/// A block of code. The indentation that it has in a list is removed.
struct Block {
    /// The headings that it stands under, by their level.
    headings: Vec<String>,
    language: String,
    lines: String,
}

impl Page {
    /// Reads a page by its path from the root of the repository.
    pub fn read(path: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        Self(std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    /// Whether the page has lines of shell for the reader to type.
    pub fn has_shell(&self) -> bool {
        self.all_blocks().iter().any(|block| block.language == "sh")
    }

    /// The lines of shell of a section and of those below it.
    #[track_caller]
    pub fn shell(&self, heading: &str) -> String {
        self.blocks(heading, "sh").concat()
    }

    /// The blocks of a language in a section and in those below it, of which there must be some.
    #[track_caller]
    pub fn blocks(&self, heading: &str, language: &str) -> Vec<String> {
        let is_wanted =
            |block: &Block| block.language == language && block.headings.iter().any(|above| above == heading);
        let wanted: Vec<String> = self.all_blocks().into_iter().filter(is_wanted).map(|block| block.lines).collect();
        assert!(!wanted.is_empty(), "no section {heading:?} with a block of {language}");
        wanted
    }

    /// The blocks of shell, for a test that types all of them.
    pub fn steps(path: &str) -> Steps {
        let mut left = Self::read(path).all_blocks();
        left.retain(|block| block.language == "sh");
        Steps { page: path.to_owned(), left }
    }

    /// The blocks of shell of a section, for a test that types all of them. Another test types the rest of the page.
    #[track_caller]
    pub fn steps_of(path: &str, heading: &str) -> Steps {
        let mut steps = Self::steps(path);
        steps.left.retain(|block| block.headings.iter().any(|above| above == heading));
        assert!(!steps.left.is_empty(), "{path}: no shell is in section {heading:?}");
        steps
    }

    fn all_blocks(&self) -> Vec<Block> {
        let (mut blocks, mut headings, mut lines) = (Vec::new(), Vec::new(), self.0.lines());
        while let Some(line) = lines.next() {
            let text = line.trim_start();
            let level = line.bytes().take_while(|byte| *byte == b'#').count();
            if let Some(language) = text.strip_prefix("```") {
                let indentation = line.len() - text.len();
                let within = lines.by_ref().take_while(|line| line.trim_start() != "```");
                let within = within.map(|line| format!("{}\n", line.get(indentation..).unwrap_or_default()));
                let language = language.to_owned();
                blocks.push(Block { headings: headings.clone(), language, lines: within.collect() });
            } else if level > 0 {
                headings.resize(level - 1, String::new());
                headings.push(line[level..].trim().to_owned());
            }
        }
        blocks
    }
}

impl Steps {
    /// Takes the first block that is left in a section, or in those below it.
    #[track_caller]
    pub fn take(&mut self, heading: &str) -> String {
        self.take_with(heading, "")
    }

    /// Takes the first block that is left in a section and has a text.
    #[track_caller]
    pub fn take_with(&mut self, heading: &str, text: &str) -> String {
        let is_wanted =
            |block: &Block| block.headings.iter().any(|above| above == heading) && block.lines.contains(text);
        let found = self.left.iter().position(is_wanted);
        let at =
            found.unwrap_or_else(|| panic!("{}: no shell with {text:?} is left in section {heading:?}", self.page));
        self.left.remove(at).lines
    }

    /// Leaves out the rest of a section, which the test can't type, or another one types.
    #[track_caller]
    pub fn leave_out(&mut self, heading: &str) {
        self.take(heading);
        self.left.retain(|block| block.headings.iter().all(|above| above != heading));
    }

    /// Checks that no block is left.
    #[track_caller]
    pub fn finish(self) {
        let left: Vec<&str> = self.left.iter().map(|block| block.lines.as_str()).collect();
        assert!(left.is_empty(), "{}: no test types\n{}", self.page, left.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_the_blocks_of_those_below_it() {
        let text = "# Page\n## One\n```sh\n# no heading\na\n```\n1. step\n\n   ```sh\n   b \\\n     c\n   ```\n\
                    ### Below\n```text\nd\n```\n```sh\ne\n```\n## Two\n```sh\nf\n```\n";
        let page = Page(text.to_owned());
        assert_eq!(page.shell("One"), "# no heading\na\nb \\\n  c\ne\n");
        assert_eq!((page.shell("Below"), page.blocks("One", "text")), ("e\n".to_owned(), vec!["d\n".to_owned()]));
    }
}
