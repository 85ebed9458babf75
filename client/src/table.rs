use comfy_table::{ColumnConstraint, Table as Grid, Width, presets::NOTHING};

use crate::one_line::one_line;

/// Rows under headings in capitals. Columns are as wide as their longest value, whatever the width of the terminal: values
/// are never cut or wrapped, so they can be searched and copied.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    min_widths: Vec<u16>,
}

/// The space between columns.
const GAP: u16 = 3;

/// Stands for an empty value, so that all rows have the same number of words.
const EMPTY: &str = "-";

impl Table {
    /// A table with these columns.
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new(), min_widths: Vec::new() }
    }

    /// The same with least widths, for what is printed row after row and can't know what comes.
    pub fn min_widths(self, widths: &[u16]) -> Self {
        Self { min_widths: widths.to_vec(), ..self }
    }

    /// Adds a row.
    pub fn row(&mut self, values: impl IntoIterator<Item = String>) {
        self.rows.push(values.into_iter().map(|value| cell(&value)).collect());
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
            if let Some(min_width) = self.min_widths.get(n) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(min_width + GAP)));
            }
        }
        grid.trim_fmt() + "\n"
    }
}

/// Names and values, one pair per line.
pub fn lines(values: &[(&str, String)]) -> String {
    let width = values.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0) + usize::from(GAP);
    values.iter().map(|(name, value)| format!("{:<width$}{}\n", format!("{name}:"), cell(value))).collect()
}

/// The value on one line, and harmless for a terminal.
fn cell(value: &str) -> String {
    if value.is_empty() { EMPTY.to_owned() } else { one_line(value).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_value() {
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
    fn later_rows_are_aligned_with_the_headings() {
        let mut table = Table::new(&["KIND", "MESSAGE"]).min_widths(&[8, 0]);
        assert_eq!(table.with_headings(), "KIND       MESSAGE\n");
        assert_eq!(table.rows(), "");
        table.row(["paused".to_owned(), "it rests".to_owned()]);
        assert_eq!(table.rows(), "paused     it rests\n");
    }

    #[test]
    fn lines_have_names_and_values() {
        let shown = lines(&[("Name", "prod".to_owned()), ("Cluster ID", String::new())]);
        assert_eq!(shown, "Name:         prod\nCluster ID:   -\n");
    }
}
