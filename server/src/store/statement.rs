use std::{borrow::Cow, iter};

use super::table::Table;

/// A statement and its values, for both databases. Every value is an integer of 64 bits, a text, or null.
#[derive(Clone, Debug)]
pub(super) struct Statement<'a> {
    /// The values of the placeholders `$1`, `$2`, … in the first piece.
    bound: Vec<Value<'a>>,
    pieces: Vec<Piece<'a>>,
    is_cached: bool,
}

#[derive(Clone, Debug)]
enum Piece<'a> {
    Text(Cow<'a, str>),
    Value(Value<'a>),
    /// Whether what stands before is one of these values.
    In(Vec<Value<'a>>),
    Table(Table<'a>),
}

/// A value of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Integer(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

/// What PostgreSQL gets for a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument<'a> {
    One(Value<'a>),
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<Cow<'a, str>>>),
}

impl<'a> Statement<'a> {
    /// A statement that starts with a text.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self { bound: Vec::new(), pieces: vec![Piece::Text(text.into())], is_cached: true }
    }

    /// Adds a value for a placeholder `$N` that the text has already. All of these come before any other value.
    pub fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        debug_assert_eq!(self.pieces.len(), 1, "{:?}", self.pieces);
        self.bound.push(value.into());
        self
    }

    /// Appends a text.
    pub fn push(&mut self, text: impl Into<Cow<'a, str>>) -> &mut Self {
        self.pieces.push(Piece::Text(text.into()));
        self
    }

    /// Appends a value.
    pub fn push_value(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        self.pieces.push(Piece::Value(value.into()));
        self
    }

    /// Appends the condition that the expression before is one of some values.
    pub fn push_in<V: Into<Value<'a>>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        self.pieces.push(Piece::In(values.into_iter().map(Into::into).collect()));
        self
    }

    /// Appends a query whose result is a table, which must have a row.
    pub fn push_table(&mut self, table: Table<'a>) -> &mut Self {
        self.pieces.push(Piece::Table(table));
        self
    }

    /// Sets whether the prepared statement is cached for the next time.
    pub fn cache(mut self, is_cached: bool) -> Self {
        self.is_cached = is_cached;
        self
    }

    /// The statement that returns how SQLite would execute this one.
    #[cfg(test)]
    pub fn explained(mut self) -> Self {
        self.pieces.insert(0, Piece::Text("explain query plan ".into()));
        self
    }

    /// The text for PostgreSQL, its arguments, and whether the statement is cached. A list or a column is one array, so the text does not
    /// depend on how many values there are.
    pub fn for_postgres(self) -> (String, Vec<Argument<'a>>, bool) {
        let mut arguments: Vec<Argument<'a>> = self.bound.into_iter().map(Argument::One).collect();
        let mut text = String::new();
        for piece in self.pieces {
            match piece {
                Piece::Text(piece) => text += &piece,
                Piece::Value(value) => {
                    arguments.push(Argument::One(value));
                    text += &format!("${}", arguments.len());
                }
                Piece::In(values) => {
                    arguments.push(Argument::array(values));
                    text += &format!(" = any(${})", arguments.len());
                }
                Piece::Table(table) => {
                    let first = arguments.len() + 1;
                    arguments.extend(table.into_columns().map(Argument::array));
                    let arrays: Vec<String> = (first..=arguments.len()).map(|number| format!("${number}")).collect();
                    text += &format!("select * from unnest({})", arrays.join(", "));
                }
            }
        }
        (text, arguments, self.is_cached)
    }

    /// The text for SQLite, its values, and whether the statement is cached. The number of rows, or of the values of a list, is
    /// rounded up to a power of two: a prepared statement of many rows has some 100 KiB, and there would be one for each number.
    pub fn for_sqlite(self) -> (String, Vec<Value<'a>>, bool) {
        // To SQLite `$1` is a name, and it searches all names for each of them: that takes longer for 3,000 values than the fsync
        // afterwards. `?` has no name. A text never has both kinds, because sqlx counts them separately.
        let is_numbered = !self.bound.is_empty();
        let mut written = ForSqlite { text: String::new(), values: self.bound, is_numbered };
        for piece in self.pieces {
            match piece {
                Piece::Text(piece) => written.text += &piece,
                Piece::Value(value) => written.value(value),
                Piece::In(mut values) => {
                    if let Some(last) = values.last().cloned() {
                        values.resize(values.len().next_power_of_two(), last);
                    }
                    written.text += " in ";
                    written.list(values);
                }
                Piece::Table(table) => written.table(table),
            }
        }
        (written.text, written.values, self.is_cached)
    }
}

/// A statement for SQLite that is being written.
struct ForSqlite<'a> {
    text: String,
    values: Vec<Value<'a>>,
    is_numbered: bool,
}

impl<'a> ForSqlite<'a> {
    fn value(&mut self, value: Value<'a>) {
        self.values.push(value);
        match self.is_numbered {
            true => self.text += &format!("${}", self.values.len()),
            false => self.text.push('?'),
        }
    }

    /// Writes the rows and, if their number is no power of two, rows of nulls that the query leaves out.
    fn table(&mut self, table: Table<'a>) {
        let (rows, columns) = (table.rows(), table.columns());
        let padding = rows.next_power_of_two() - rows;
        let mut before = if rows > 1 { "select * from (values " } else { "values " };
        for row in table.into_rows().chain(iter::repeat_n(vec![Value::Integer(None); columns], padding)) {
            self.text += before;
            self.list(row);
            before = ", ";
        }
        if rows > 1 {
            self.text += ") where column1 is not null";
        }
    }

    fn list(&mut self, values: impl IntoIterator<Item = Value<'a>>) {
        self.text.push('(');
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            self.value(value);
        }
        self.text.push(')');
    }
}

impl Value<'_> {
    /// Whether the value is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Integer(None) | Self::Text(None))
    }
}

impl<'a> Argument<'a> {
    /// Values of one type.
    fn array(values: Vec<Value<'a>>) -> Self {
        if values.iter().any(|value| matches!(value, Value::Text(_))) {
            let text = |value| match value {
                Value::Text(text) => text,
                Value::Integer(integer) => unreachable!("{integer:?} stands among texts"),
            };
            return Self::Texts(values.into_iter().map(text).collect());
        }
        let integer = |value| match value {
            Value::Integer(integer) => integer,
            Value::Text(text) => unreachable!("{text:?} stands among integers"),
        };
        Self::Integers(values.into_iter().map(integer).collect())
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
        let mut statement = Statement::new("select $1 where a").bind(1);
        statement.push_in(["x", "y"]).push(" and b = ").push_value(None::<i64>);
        let (text, values, _) = statement.clone().for_sqlite();
        assert_eq!((text.as_str(), values.len()), ("select $1 where a in ($2,$3) and b = $4", 4));
        let (text, arguments, _) = statement.for_postgres();
        assert_eq!((text.as_str(), arguments.len()), ("select $1 where a = any($2) and b = $3", 3));
    }

    #[test]
    fn sqlite_gets_powers_of_two() {
        let of_rows = |rows: i64| {
            let mut table = Table::new();
            table.column("number", 1..=rows).column("text", (1..=rows).map(|_| "x"));
            let mut statement = Statement::new("insert into t ");
            statement.push_table(table);
            statement.for_sqlite()
        };
        assert_eq!(of_rows(1).0, "insert into t values (?,?)");
        assert_eq!(of_rows(3).0, of_rows(4).0);
        assert_eq!(of_rows(3).1[4..], [3.into(), "x".into(), Value::Integer(None), Value::Integer(None)]);
        let mut list = Statement::new("select 1 where a");
        list.push_in([1, 2, 3]);
        let (text, values, _) = list.for_sqlite();
        assert_eq!((text.as_str(), &values[2..]), ("select 1 where a in (?,?,?,?)", &[3.into(), 3.into()][..]));
    }

    #[test]
    fn a_table_is_written_by_rows_for_sqlite_and_by_columns_for_postgres() {
        let mut table = Table::new();
        table.column("number", [1, 2]).column("text", ["x", "y"]);
        let mut statement = Statement::new("insert into t ");
        statement.push_table(table);
        let (text, values, _) = statement.clone().for_sqlite();
        assert_eq!(text, "insert into t select * from (values (?,?), (?,?)) where column1 is not null");
        assert_eq!(values, [1.into(), "x".into(), 2.into(), Value::from("y")]);
        let (text, arguments, _) = statement.for_postgres();
        assert_eq!(text, "insert into t select * from unnest($1, $2)");
        let texts = vec![Some("x".into()), Some("y".into())];
        assert_eq!(arguments, [Argument::Integers(vec![Some(1), Some(2)]), Argument::Texts(texts)]);
    }
}
