use super::{Store, StoreError, statement::Statement};

/// The size of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseSize {
    /// The whole size, in bytes.
    pub bytes: i64,
    /// The part with content, in bytes. SQLite fills the rest before the file grows. PostgreSQL does not report it, so there
    /// it is the whole size; see [`Store::free_bytes`].
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

    /// About how many bytes PostgreSQL will fill before the database grows: its files do not shrink when rows are deleted, and it does
    /// not tell how full they are without an extension. Reads the large tables, and errs on the side of less.
    pub async fn free_bytes(&self) -> Result<i64, StoreError> {
        let tables = ["event", "member", "cluster"].map(free_of_table);
        let text = format!("select cast(sum(free) as bigint) as free from ({}) as tables", tables.join(" union all "));
        let row = self.read(async |reader| Ok(reader.fetch_one(Statement::new(text)).await?)).await?;
        Ok(row.try_get("free")?)
    }
}

/// What a table has besides its rows. A row takes 12 bytes more, a page is never quite full, and dead rows take their share until they
/// are vacuumed. Indexes count as full.
fn free_of_table(table: &str) -> String {
    format!(
        "select greatest(0, pg_table_size('{table}') - live.bytes * 1.1 - pg_table_size('{table}') \
         * (dead.rows / greatest(1.0, dead.rows + live.rows))) as free \
         from (select count(*) as rows, coalesce(sum(pg_column_size({table}.*) + 12), 0) as bytes from {table}) as live, \
         (select coalesce(max(n_dead_tup), 0) as rows from pg_stat_user_tables \
         where relname = '{table}' and schemaname = current_schema()) as dead"
    )
}
