use crate::{
    config::DatabaseArgs,
    store::{OpenError, Store},
};

/// Brings a database up to date, and says what that took.
pub async fn migrate(database: &DatabaseArgs) -> Result<(), OpenError> {
    let applied = Store::migrate(&database.database_url, database.limits()).await?;
    let url = &database.database_url;
    match applied.as_slice() {
        [] => println!("database {url} is up to date; nothing was to do"),
        applied => println!("database {url} is up to date; applied {}", applied.join(", ")),
    }
    Ok(())
}
