use comfy_table::{ColumnConstraint, Table as Grid, Width, presets::NOTHING};

/// Rows under headings in capitals, without lines between them. Columns are as wide as their values: nothing is cut or
/// broken, so that what is printed can be searched and copied, whatever the terminal's width.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    at_least: Vec<u16>,
}

/// How far apart columns are.
const GAP: u16 = 3;

/// What stands for no value, so that programs find as many words in each row.
const NOTHING_THERE: &str = "-";

impl Table {
    /// A table with these columns.
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new(), at_least: Vec::new() }
    }

    /// The same with least widths, for what is printed row after row and can't know what comes.
    pub fn at_least(self, widths: &[u16]) -> Self {
        Self { at_least: widths.to_vec(), ..self }
    }

    /// Adds a row.
    pub fn row(&mut self, values: impl IntoIterator<Item = String>) {
        self.rows.push(values.into_iter().map(|value| shown(&value)).collect());
    }

    /// The headings and the rows.
    pub fn with_headings(&self) -> String {
        let headings = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        self.render([&[headings], self.rows.as_slice()].concat())
    }

    /// The rows alone.
    pub fn rows(&self) -> String {
        self.render(self.rows.clone())
    }

    fn render(&self, rows: Vec<Vec<String>>) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let mut grid = Grid::new();
        grid.load_style(NOTHING);
        grid.add_rows(rows);
        for (n, column) in grid.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if let Some(least) = self.at_least.get(n) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least + GAP)));
            }
        }
        grid.trim_fmt() + "\n"
    }
}

/// Names and values, one a line.
pub fn lines(values: &[(&str, String)]) -> String {
    let width = values.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0) + usize::from(GAP);
    values.iter().map(|(name, value)| format!("{:<width$}{}\n", format!("{name}:"), shown(value))).collect()
}

/// A text as it can stand in one line and harms no terminal.
fn shown(value: &str) -> String {
    if value.is_empty() { NOTHING_THERE.to_owned() } else { value.replace(char::is_control, " ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_values() {
        let mut table = Table::new(&["NAME", "URL", "NOTES"]);
        let long = "http://".to_owned() + &"x".repeat(200);
        table.row(["infra0".to_owned(), long.clone(), String::new()]);
        table.row(["i".to_owned(), "u".to_owned(), "two\nlines".to_owned()]);
        let gap = " ".repeat(200);
        let expected =
            format!("NAME     URL{gap}       NOTES\ninfra0   {long}   -\ni        u{gap}         two lines\n");
        assert_eq!(table.with_headings(), expected);
    }

    #[test]
    fn rows_that_come_later_stand_under_the_same_headings() {
        let mut table = Table::new(&["KIND", "MESSAGE"]).at_least(&[8, 0]);
        assert_eq!(table.with_headings(), "KIND       MESSAGE\n");
        assert_eq!(table.rows(), "");
        table.row(["paused".to_owned(), "it rests".to_owned()]);
        assert_eq!(table.rows(), "paused     it rests\n");
    }

    #[test]
    fn names_stand_before_their_values() {
        let shown = lines(&[("Name", "prod".to_owned()), ("Cluster ID", String::new())]);
        assert_eq!(shown, "Name:         prod\nCluster ID:   -\n");
    }
}
