use std::borrow::Cow;

/// A statement and its values. Both databases take it, but for how placeholders are written, and every value is an integer of
/// 64 bits or a text, or null.
#[derive(Clone, Debug)]
pub(super) struct Statement<'a> {
    /// Has `$1`, `$2`, … for the values that the text has placeholders for itself, and [`NEXT`] for each one after them.
    text: String,
    values: Vec<Value<'a>>,
    /// For how many values the text has placeholders itself.
    bound: usize,
    is_kept: bool,
}

/// Stands for the value after the one before. No SQL of ours has this character for anything else.
const NEXT: char = '?';

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Integer(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

impl<'a> Statement<'a> {
    /// A statement that begins so.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new(), bound: 0, is_kept: true }
    }

    /// Adds a value, for which the text has a placeholder already. These come before all others.
    pub fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        debug_assert_eq!(self.bound, self.values.len(), "{}", self.text);
        self.values.push(value.into());
        self.bound += 1;
        self
    }

    /// Goes on with a text.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Goes on with a value.
    pub fn push_value(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        self.values.push(value.into());
        self.text.push(NEXT);
        self
    }

    /// Goes on with `(value, …)`.
    pub fn push_list<V: Into<Value<'a>>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        self.push_row(|row| {
            for value in values {
                row.value(value);
            }
        })
    }

    /// Goes on with `values (…), (…)`: a row for each item, of which there has to be one.
    pub fn push_rows<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut RowOf<'_, 'a>, T),
    ) -> &mut Self {
        let mut before = "values ";
        for item in items {
            self.push(before).push_row(|row| fill(row, item));
            before = ", ";
        }
        self
    }

    fn push_row(&mut self, fill: impl FnOnce(&mut RowOf<'_, 'a>)) -> &mut Self {
        let mut row = RowOf { statement: self, before: "(" };
        fill(&mut row);
        if row.before == "(" {
            self.push("(");
        }
        self.push(")")
    }

    /// Says whether the database may keep the statement for the next time.
    pub fn keep(mut self, is_kept: bool) -> Self {
        self.is_kept = is_kept;
        self
    }

    /// The text for PostgreSQL, which knows numbers only; its values; and whether it may be kept.
    pub fn into_numbered(self) -> (String, Vec<Value<'a>>, bool) {
        let mut pieces = self.text.split(NEXT);
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (number, piece) in (self.bound + 1..).zip(pieces) {
            text.push('$');
            text.push_str(&number.to_string());
            text.push_str(piece);
        }
        (text, self.values, self.is_kept)
    }

    /// The text for SQLite, its values, and whether it may be kept. To SQLite `$1` is a name, and it looks through all names
    /// for each of them: a statement of 3,000 values takes it longer than the fsync after it. So it gets what has no name, but
    /// never both kinds in one text, because sqlx counts each by itself.
    pub fn into_unnumbered(self) -> (String, Vec<Value<'a>>, bool) {
        if self.bound > 0 { self.into_numbered() } else { (self.text, self.values, self.is_kept) }
    }
}

/// A row of values that is being written.
pub(super) struct RowOf<'s, 'a> {
    statement: &'s mut Statement<'a>,
    before: &'static str,
}

impl<'a> RowOf<'_, 'a> {
    /// Adds a value to the row.
    pub fn value(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        self.statement.push(self.before).push_value(value);
        self.before = ", ";
        self
    }
}

impl From<i64> for Value<'_> {
    fn from(integer: i64) -> Self {
        Self::Integer(Some(integer))
    }
}

/// Both databases store truth values as 0 and 1.
impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Integer(Some(truth.into()))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(integer: Option<i64>) -> Self {
        Self::Integer(integer)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::from))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Cow::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_in_the_order_in_which_they_come() {
        let mut statement = Statement::new("select $1 where a in ").bind(1);
        statement.push_list(["x", "y"]).push(" and b = ").push_value(None::<i64>);
        for (text, values, _) in [statement.clone().into_numbered(), statement.into_unnumbered()] {
            assert_eq!(text, "select $1 where a in ($2, $3) and b = $4");
            assert_eq!(values.len(), 4);
        }
    }

    #[test]
    fn rows_stand_in_brackets_with_commas_between() {
        let mut statement = Statement::new("insert into t ");
        statement.push_rows([(1, "x"), (2, "y")], |row, (number, text)| {
            row.value(number).value(text);
        });
        assert_eq!(statement.clone().into_numbered().0, "insert into t values ($1, $2), ($3, $4)");
        assert_eq!(statement.into_unnumbered().0, "insert into t values (?, ?), (?, ?)");
    }
}
