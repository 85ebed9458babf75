use crate::{
    config::DatabaseArgs,
    store::{OpenError, Store},
};

/// Applies the missing migrations, and prints them.
pub async fn migrate(database: &DatabaseArgs) -> Result<(), OpenError> {
    let applied = Store::migrate(database.url(), database.limits()).await?;
    let url = database.url();
    match applied.as_slice() {
        [] => println!("database {url} is up to date; no migration was missing"),
        applied => println!("database {url} is up to date; applied {}", applied.join(", ")),
    }
    Ok(())
}
