//! The table of all settings. Section `kafka` is the log's own table ([`event_log::settings::KEYS`]).

use event_log::settings::KEYS;
use std::sync::LazyLock;

/// One setting: a key in a section of the file, an environment variable and a flag.
#[derive(Clone, Debug)]
pub struct Setting {
    /// `section.key` as in the file.
    pub name: &'static str,
    /// The flag without its dashes.
    pub flag: &'static str,
    /// Text of the default; empty when there is none.
    pub default: &'static str,
    /// Never printed.
    pub secret: bool,
    /// What a value looks like, for help texts.
    pub value: &'static str,
    /// What it does, one line.
    pub help: &'static str,
}

impl Setting {
    /// Its section of the file.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// Its key inside the section.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// Its environment variable, `TOLLGATE_<SECTION>_<KEY>`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("TOLLGATE_{}_{}", self.section(), self.key()).to_uppercase()
    }
}

/// The setting called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

const fn setting(
    name: &'static str,
    flag: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, flag, default, secret: false, value, help }
}

const fn secret(name: &'static str, flag: &'static str, help: &'static str) -> Setting {
    Setting { name, flag, default: "", secret: true, value: "SECRET", help }
}

/// Every setting there is, in the order they are shown.
pub static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let mut all = OWN.to_vec();
    all.extend(KEYS.iter().map(|key| Setting {
        // Made once and needed until the process ends, as the rest of the table.
        name: format!("kafka.{}", key.name).leak(),
        flag: format!("kafka-{}", key.name.replace('_', "-")).leak(),
        default: key.default,
        secret: key.secret,
        value: key.value,
        help: key.help,
    }));
    all
});

const OWN: &[Setting] = &[
    setting("data.dir", "data-dir", "DIR", "./tollgate-data", "Where everything embedded is kept"),
    setting("server.listen", "listen", "ADDR", "127.0.0.1:8080", "Address and port of the HTTP API"),
    setting(
        "server.drain_seconds",
        "server-drain-seconds",
        "SECONDS",
        "25",
        "On SIGTERM or Ctrl-C: time for requests under way before they are cut off",
    ),
    secret(
        "admin.secret",
        "admin-secret",
        "Secret of the admin routes, at least 32 characters; generated when not set",
    ),
    setting(
        "ingest.mode",
        "ingest",
        "direct|streaming",
        "direct",
        "How events reach the store: written by this process, or through Kafka (section kafka)",
    ),
    setting(
        "ingest.memory_bytes",
        "ingest-memory-bytes",
        "BYTES",
        "268435456",
        "Memory for requests under way; beyond it clients get 503 with Retry-After",
    ),
    setting(
        "ingest.max_body_bytes",
        "ingest-max-body-bytes",
        "BYTES",
        "33554432",
        "Longest JSON body of events, as received and once decompressed",
    ),
    setting("ingest.max_line_bytes", "ingest-max-line-bytes", "BYTES", "1048576", "Longest line of NDJSON"),
    setting("ingest.max_batch_events", "ingest-max-batch-events", "COUNT", "10000", "Most events in one JSON batch"),
    setting(
        "ingest.body_timeout_seconds",
        "ingest-body-timeout-seconds",
        "SECONDS",
        "20",
        "How long a JSON body may take to arrive, and a stream of lines may stand still",
    ),
    setting(
        "engine.lib",
        "engine-lib",
        "FILE",
        "",
        "libchdb.so of the embedded engine; else where `make build` put it",
    ),
    setting(
        "engine.memory_bytes",
        "engine-memory-bytes",
        "BYTES",
        "0",
        "Most memory of the engine; 0: nine tenths of the machine's",
    ),
    setting("clickhouse.url", "clickhouse-url", "URL", "", "A ClickHouse server in place of the embedded engine"),
    setting("clickhouse.user", "clickhouse-user", "NAME", "default", "User at that server"),
    secret("clickhouse.password", "clickhouse-password", "Password at that server"),
    setting("clickhouse.database", "clickhouse-database", "NAME", "tollgate", "Database that holds the event tables"),
    Setting {
        name: "database.url",
        flag: "database-url",
        default: "",
        // It may hold a password.
        secret: true,
        value: "URL",
        help: "A database in place of the embedded SQLite file",
    },
    setting(
        "billing.automatic",
        "billing-automatic",
        "true|false",
        "true",
        "Bill live organizations as their periods end; off by default in services started one by one",
    ),
    setting(
        "billing.check_seconds",
        "billing-check-seconds",
        "SECONDS",
        "60",
        "How often automatic billing looks for periods that have ended",
    ),
    setting(
        "billing.wait_seconds",
        "billing-wait-seconds",
        "SECONDS",
        "300",
        "How long a billing run waits for events that are in the log and not yet in the store, before it fails",
    ),
    setting("log.format", "log-format", "text|json", "text", "Form of the log on standard error"),
    setting("log.level", "log-level", "FILTER", "info", "Log filter, such as 'info' or 'info,tollgate=debug'"),
];
