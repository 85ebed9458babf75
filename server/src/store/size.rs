use super::{Store, StoreError};

/// How large the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseSize {
    /// All of it, in bytes.
    pub bytes: i64,
    /// What of it holds something, in bytes; the rest is filled before the database grows.
    pub bytes_in_use: i64,
}

impl Store {
    /// The database's size.
    pub async fn size(&self) -> Result<DatabaseSize, StoreError> {
        let query = "select page_count * page_size, (page_count - freelist_count) * page_size \
                     from pragma_page_count, pragma_freelist_count, pragma_page_size";
        let (bytes, bytes_in_use) = sqlx::query_as(query).fetch_one(&self.readers).await?;
        Ok(DatabaseSize { bytes, bytes_in_use })
    }
}
