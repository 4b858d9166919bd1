//! The configuration as the program uses it.

use super::layers::Layers;
use super::values::Reader;
use event_log::settings::KafkaSettings;
use http_api::Secret;
use ingest_gateway::GatewayLimits;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A ClickHouse server that takes the embedded engine's place.
#[derive(Clone, Debug)]
pub struct ClickHouseServer {
    /// Without a final slash.
    pub url: String,
    /// User name.
    pub user: String,
    /// Password, may be empty.
    pub password: Secret,
}

/// All settings, parsed.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// `data.dir`
    pub data_dir: PathBuf,
    /// `server.listen`
    pub listen: SocketAddr,
    /// `server.drain_seconds`
    pub drain: Duration,
    /// `admin.secret`
    pub admin_secret: Option<Secret>,
    /// `ingest.mode`: section `kafka` when it is streaming
    pub kafka: Option<KafkaSettings>,
    /// `ingest.memory_bytes`
    pub ingest_memory_bytes: usize,
    /// `ingest.max_body_bytes` and the other bounds of one request
    pub ingest_limits: GatewayLimits,
    /// `engine.lib`
    pub engine_library: Option<PathBuf>,
    /// `engine.memory_bytes`
    pub engine_memory_bytes: usize,
    /// `clickhouse.url` with its user and password
    pub clickhouse: Option<ClickHouseServer>,
    /// `clickhouse.database`
    pub clickhouse_database: String,
    /// `database.url`
    pub database_url: Option<Secret>,
    /// `billing.automatic`
    pub billing_automatic: bool,
    /// `billing.check_seconds`
    pub billing_check: Duration,
    /// `billing.wait_seconds`
    pub billing_wait: Duration,
    /// `log.format`
    pub log_format: LogFormat,
    /// `log.level`
    pub log_level: String,
}

/// The least memory for requests under way: one batch of the greatest size must fit, else nothing ever would.
const LEAST_INGEST_MEMORY: usize = 32 << 20;

impl Configuration {
    /// Parses every value; `None` when one of them does not parse, with the reasons added to `problems`.
    pub(super) fn from_layers(layers: &Layers, problems: &mut Vec<String>) -> Option<Self> {
        let mut reader = Reader::new(layers, problems);
        // Every value is read before the first `?`, so that all mistakes are told at once.
        let listen =
            reader.parsed("server.listen", "an address and port such as '127.0.0.1:8080'", |text| text.parse().ok());
        let drain = reader.seconds("server.drain_seconds");
        let is_streaming = reader.parsed("ingest.mode", "'direct' or 'streaming'", is_streaming);
        let kafka = match (is_streaming, drain) {
            (Some(true), Some(answer_within)) => kafka(&mut reader, answer_within),
            (Some(false), Some(_)) => Some(None),
            _ => None,
        };
        let ingest_memory_bytes = reader.bytes("ingest.memory_bytes", LEAST_INGEST_MEMORY);
        let ingest_limits = ingest_limits(&mut reader);
        let engine_memory_bytes = reader.bytes("engine.memory_bytes", 0);
        let clickhouse_url = reader.http_url("clickhouse.url");
        let clickhouse_database = reader.parsed("clickhouse.database", "a name of letters, digits and '_'", database);
        let billing_automatic = reader.boolean("billing.automatic");
        let billing_check = reader.seconds("billing.check_seconds");
        let billing_wait = reader.seconds("billing.wait_seconds");
        let log_format = reader.parsed("log.format", "'text' or 'json'", log_format);
        let log_level = reader.parsed("log.level", "a log filter such as 'info' or 'info,tollgate=debug'", log_level);
        let text = |name| reader.text(name);
        let clickhouse = clickhouse_url?.map(|url| ClickHouseServer {
            url,
            user: text("clickhouse.user").unwrap_or_default(),
            password: Secret::new(text("clickhouse.password").unwrap_or_default()),
        });
        Some(Self {
            data_dir: PathBuf::from(text("data.dir").unwrap_or_else(|| ".".into())),
            listen: listen?,
            drain: drain?,
            admin_secret: text("admin.secret").map(Secret::new),
            kafka: kafka?,
            ingest_memory_bytes: ingest_memory_bytes?,
            ingest_limits: ingest_limits?,
            engine_memory_bytes: engine_memory_bytes?,
            engine_library: text("engine.lib").map(PathBuf::from),
            clickhouse,
            clickhouse_database: clickhouse_database?,
            database_url: text("database.url").map(Secret::new),
            billing_automatic: billing_automatic?,
            billing_check: billing_check?,
            billing_wait: billing_wait?,
            log_format: log_format?,
            log_level: log_level?,
        })
    }
}

fn ingest_limits(reader: &mut Reader<'_>) -> Option<GatewayLimits> {
    let body = reader.bytes("ingest.max_body_bytes", 1_024);
    let line = reader.bytes("ingest.max_line_bytes", 1_024);
    let batch = reader.parsed("ingest.max_batch_events", "a number of events from 1 to 100000", |text| {
        text.parse().ok().filter(|events| (1..=100_000).contains(events))
    });
    let body_timeout = reader.seconds("ingest.body_timeout_seconds");
    Some(GatewayLimits {
        max_body_bytes: body?,
        max_decompressed_bytes: body?,
        max_line_bytes: line?,
        max_batch_events: batch?,
        body_timeout: body_timeout?,
        ..GatewayLimits::default()
    })
}

fn is_streaming(text: &str) -> Option<bool> {
    match text {
        "direct" => Some(false),
        "streaming" => Some(true),
        _ => None,
    }
}

/// Section `kafka`; `None` when it is wrong.
fn kafka(reader: &mut Reader<'_>, answer_within: Duration) -> Option<Option<KafkaSettings>> {
    let read = KafkaSettings::from_values(|key| reader.text(&format!("kafka.{key}")), answer_within);
    let told = read.map_err(|problems| {
        problems.into_iter().for_each(|problem| reader.refuse(&format!("kafka.{}", problem.key), &problem.reason))
    });
    told.ok().map(Some)
}

fn database(text: &str) -> Option<String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (plain && !text.is_empty() && !text.as_bytes()[0].is_ascii_digit()).then(|| text.to_string())
}

fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

fn log_level(text: &str) -> Option<String> {
    text.parse::<tracing_subscriber::EnvFilter>().ok().map(|_| text.to_string())
}
