use std::borrow::Cow;

/// A statement and its values. Both databases take it as it is: placeholders are `$1`, `$2`, …, and every value is an
/// integer of 64 bits or a text, or null.
#[derive(Clone, Debug)]
pub(super) struct Statement<'a> {
    text: String,
    values: Vec<Value<'a>>,
    is_kept: bool,
}

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Integer(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

impl<'a> Statement<'a> {
    /// A statement that begins so.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new(), is_kept: true }
    }

    /// Adds a value, for which the text has a placeholder already.
    pub fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        self.values.push(value.into());
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
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
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

    pub(super) fn into_parts(self) -> (String, Vec<Value<'a>>, bool) {
        (self.text, self.values, self.is_kept)
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
        let (text, values, _) = statement.into_parts();
        assert_eq!(text, "select $1 where a in ($2, $3) and b = $4");
        assert_eq!(values.len(), 4);
    }

    #[test]
    fn rows_stand_in_brackets_with_commas_between() {
        let mut statement = Statement::new("insert into t ");
        statement.push_rows([(1, "x"), (2, "y")], |row, (number, text)| {
            row.value(number).value(text);
        });
        assert_eq!(statement.into_parts().0, "insert into t values ($1, $2), ($3, $4)");
    }
}
