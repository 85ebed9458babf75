use super::{Store, StoreError, statement::Statement};

/// The size of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseSize {
    /// The whole size, in bytes.
    pub bytes: i64,
    /// The part with content, in bytes. SQLite fills the rest before the file grows. PostgreSQL does not report it, so there
    /// it is the whole size.
    pub bytes_in_use: i64,
}

impl Store {
    /// The database's size.
    pub async fn size(&self) -> Result<DatabaseSize, StoreError> {
        let text = if self.is_shared() {
            "select size as bytes, size as bytes_in_use from pg_database_size(current_database()) as size"
        } else {
            "select page_count * page_size as bytes, (page_count - freelist_count) * page_size as bytes_in_use \
             from pragma_page_count, pragma_freelist_count, pragma_page_size"
        };
        let row = self.read(async |reader| Ok(reader.fetch_one(Statement::new(text)).await?)).await?;
        Ok(DatabaseSize { bytes: row.try_get("bytes")?, bytes_in_use: row.try_get("bytes_in_use")? })
    }
}
