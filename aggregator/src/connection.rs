//! Where the event store is.

/// An address of ClickHouse's HTTP interface: the embedded engine's or a server's.
#[derive(Clone)]
pub struct StoreConfig {
    /// `http://host:port`.
    pub url: String,
    /// User name.
    pub user: String,
    /// Password; never logged.
    pub password: String,
    /// Database that holds the tables; created when missing.
    pub database: String,
}
