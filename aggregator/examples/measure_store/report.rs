//! Lines of figures, processor time, and what lies on disk.

use aggregator::StoreConfig;
use std::time::{Duration, Instant};

/// Clock ticks a second in /proc: fixed at 100 for programs on Linux, whatever the kernel's own rate.
const TICKS: f64 = 100.0;

pub struct Report {
    engine: u32,
}

/// Processor seconds of this process and of the engine.
#[derive(Clone, Copy)]
pub struct Processor {
    pub own: f64,
    pub engine: f64,
}

impl Report {
    pub fn new(engine: u32) -> Self {
        Self { engine }
    }

    pub fn line(&mut self, what: &str, figure: &str) {
        println!("{what:<72} {figure}");
    }

    pub fn processor(&self) -> Processor {
        Processor { own: processor_seconds(std::process::id()), engine: processor_seconds(self.engine) }
    }

    /// Bytes an event, parts and rows of each table.
    pub async fn tables(&mut self, client: &clickhouse::Client) {
        let tables: Vec<(String, u64, u64, u64)> = client
            .query(
                "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts \
                 WHERE active AND database = currentDatabase() AND rows > 0 GROUP BY table ORDER BY table",
            )
            .fetch_all()
            .await
            .unwrap();
        for (table, rows, bytes, parts) in tables {
            let each = bytes as f64 / rows as f64;
            self.line(&format!("table {table}"), &format!("{rows} rows, {each:.1} bytes each, {parts} parts"));
        }
    }
}

fn processor_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Fields 14 and 15; the name in parentheses may hold blanks.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

pub struct Timer(Instant);

impl Timer {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    pub fn text(&self) -> String {
        format!("{:.2} s", self.seconds())
    }
}

/// Median, 99th percentile and greatest of some durations.
pub fn percentiles(mut durations: Vec<Duration>) -> String {
    durations.sort_unstable();
    let at = |share: f64| durations[((durations.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms ({} times)", at(0.5), at(0.99), at(1.0), durations.len())
}

pub fn client(config: &StoreConfig) -> clickhouse::Client {
    clickhouse::Client::default()
        .with_url(&config.url)
        .with_user(&config.user)
        .with_password(&config.password)
        .with_database(&config.database)
        .with_compression(clickhouse::Compression::None)
}
