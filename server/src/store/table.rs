use super::statement::Value;

/// Rows of values that a statement writes, with the names of their columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Table<'a> {
    columns: Vec<(&'static str, Vec<Value<'a>>)>,
}

impl<'a> Table<'a> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column with a value for each row.
    pub fn column<V: Into<Value<'a>>>(&mut self, name: &'static str, values: impl IntoIterator<Item = V>) -> &mut Self {
        self.columns.push((name, values.into_iter().map(Into::into).collect()));
        self
    }

    /// `a, b`
    pub fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// `a = source.a, b = source.b`, without the first columns, which are keys.
    pub fn assignments(&self, keys: usize, source: &str) -> String {
        let assignment = |(name, _): &(&str, _)| format!("{name} = {source}.{name}");
        self.columns.iter().skip(keys).map(assignment).collect::<Vec<_>>().join(", ")
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }

    /// The values by columns.
    pub fn into_columns(self) -> impl Iterator<Item = Vec<Value<'a>>> {
        self.columns.into_iter().map(|(_, values)| values)
    }

    /// The values by rows.
    pub fn into_rows(self) -> impl Iterator<Item = Vec<Value<'a>>> {
        let rows = self.rows();
        let mut columns: Vec<_> = self.into_columns().map(Vec::into_iter).collect();
        (0..rows).map(move |_| {
            let row = columns.iter_mut().map(Iterator::next);
            row.collect::<Option<_>>().expect("each column has a value for each row")
        })
    }
}
