use std::borrow::Cow;

/// A statement and its values, for both databases; only the placeholders differ. Every value is an integer of 64 bits, a text,
/// or null.
#[derive(Clone, Debug)]
pub(super) struct Statement<'a> {
    /// Contains `$1`, `$2`, … for the values of [`Statement::bind`], and [`NEXT`] for each value after them.
    text: String,
    values: Vec<Value<'a>>,
    /// The number of values of [`Statement::bind`].
    bound: usize,
    is_cached: bool,
}

/// The placeholder for the next value. Our SQL uses this character for nothing else.
const NEXT: char = '?';

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Integer(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

impl<'a> Statement<'a> {
    /// A statement that starts with a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new(), bound: 0, is_cached: true }
    }

    /// Adds a value for a placeholder `$N` that the text has already. All of these come before any other value.
    pub fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        debug_assert_eq!(self.bound, self.values.len(), "{}", self.text);
        self.values.push(value.into());
        self.bound += 1;
        self
    }

    /// Appends a text.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends a value.
    pub fn push_value(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        self.values.push(value.into());
        self.text.push(NEXT);
        self
    }

    /// Appends `(value, …)`.
    pub fn push_list<V: Into<Value<'a>>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        self.push_row(|row| {
            for value in values {
                row.value(value);
            }
        })
    }

    /// Appends `values (…), (…)` with a row for each item, of which there must be at least one.
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

    /// Sets whether the prepared statement is cached for the next time.
    pub fn cache(mut self, is_cached: bool) -> Self {
        self.is_cached = is_cached;
        self
    }

    /// The text for PostgreSQL, which numbers its placeholders; the values; and whether the statement is cached.
    pub fn into_numbered(self) -> (String, Vec<Value<'a>>, bool) {
        let mut pieces = self.text.split(NEXT);
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (number, piece) in (self.bound + 1..).zip(pieces) {
            text.push('$');
            text.push_str(&number.to_string());
            text.push_str(piece);
        }
        (text, self.values, self.is_cached)
    }

    /// The text for SQLite, the values, and whether the statement is cached. To SQLite `$1` is a name, and it searches all names
    /// for each of them: that takes longer for 3,000 values than the fsync afterwards. `?` has no name. A text never has both
    /// kinds, because sqlx counts them separately.
    pub fn into_unnumbered(self) -> (String, Vec<Value<'a>>, bool) {
        if self.bound > 0 { self.into_numbered() } else { (self.text, self.values, self.is_cached) }
    }
}

/// A row that is being appended.
pub(super) struct RowOf<'s, 'a> {
    statement: &'s mut Statement<'a>,
    before: &'static str,
}

impl<'a> RowOf<'_, 'a> {
    /// Appends a value to the row.
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
    fn values_are_numbered_in_their_order() {
        let mut statement = Statement::new("select $1 where a in ").bind(1);
        statement.push_list(["x", "y"]).push(" and b = ").push_value(None::<i64>);
        for (text, values, _) in [statement.clone().into_numbered(), statement.into_unnumbered()] {
            assert_eq!(text, "select $1 where a in ($2, $3) and b = $4");
            assert_eq!(values.len(), 4);
        }
    }

    #[test]
    fn rows_are_in_parentheses_with_commas_in_between() {
        let mut statement = Statement::new("insert into t ");
        statement.push_rows([(1, "x"), (2, "y")], |row, (number, text)| {
            row.value(number).value(text);
        });
        assert_eq!(statement.clone().into_numbered().0, "insert into t values ($1, $2), ($3, $4)");
        assert_eq!(statement.into_unnumbered().0, "insert into t values (?, ?), (?, ?)");
    }
}
