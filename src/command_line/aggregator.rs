//! `tollgate aggregator`

use super::service;
use crate::client::Api;
use crate::configuration::{self, Configuration, SettingFlags};
use crate::data_directory;
use crate::failure::Failure;
use crate::logging;
use crate::services::{Access, Service};
use crate::terminal;
use aggregator::streaming::{ReadsFrom, ReprocessFrom, reprocess_every_epoch};
use clap::{Args, Subcommand};
use domain::time::Timestamp;
use serde_json::json;
use std::time::Duration;

/// For the brokers to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Run an aggregator by itself: the log into the event store
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Example:
  tollgate aggregator --listen 127.0.0.1:8082 --kafka-brokers kafka-1:9092 \\
      --clickhouse-url http://clickhouse:8123 --database-url postgres://tollgate@db/tollgate

Any number of them may run, up to the partitions of the log; they share its partitions, and
another one takes over when one dies. Serves /healthz, /readyz and /metrics (lag among them).
Ctrl-C or SIGTERM stores what was read and hands the partitions over.")]
pub struct AggregatorCommand {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Subcommand, Debug)]
enum Action {
    Reprocess(Box<ReprocessCommand>),
}

/// Read the log again from an offset or a time; changes no count and no fee
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tollgate aggregator reprocess --from-offset 0 --data-dir /var/lib/tollgate \\
      --ingest streaming --kafka-brokers 127.0.0.1:9092
  tollgate aggregator reprocess --from-time 2026-03-01T00:00:00Z --kafka-brokers kafka-1:9092

Sets the readers of the log back, in every epoch of it; every line is then found in the store at
its own position. Goes through the `tollgate up` that runs on the data directory. Aggregators
that run by themselves are stopped first (the brokers refuse otherwise) and read again from there
once they are started. Billing runs wait until the log is read to its end once more.
Exit code: 0 it is set back, 2 it is not.")]
struct ReprocessCommand {
    #[command(flatten)]
    from: Beginning,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Beginning {
    /// From this offset of every partition on
    #[arg(long, value_name = "OFFSET")]
    from_offset: Option<u64>,
    /// From the records that were written to the log at or after this instant (RFC 3339) on
    #[arg(long, value_name = "TIME", value_parser = super::bill::parse_time)]
    from_time: Option<Timestamp>,
}

impl AggregatorCommand {
    /// Serves until it is told to stop, or reads again.
    ///
    /// # Errors
    /// What kept it from starting, in one line; of `reprocess`, see the exit codes in its help.
    pub async fn run(self) -> Result<(), Failure> {
        match self.action {
            Some(Action::Reprocess(command)) => command.run().await,
            None => service::serve(&self.settings, Service::Aggregator).await,
        }
    }
}

impl ReprocessCommand {
    async fn run(self) -> Result<(), Failure> {
        let configuration = configuration::load_over(&self.settings, &[("ingest.mode", "streaming")])?.configuration;
        logging::start_quiet(&configuration);
        let reads_from = if data_directory::is_held(&configuration.data_dir)? {
            self.through_the_running(&configuration).await?
        } else {
            self.by_ourselves(&configuration).await?
        };
        println!("{}", told(&reads_from));
        Ok(())
    }

    async fn through_the_running(&self, configuration: &Configuration) -> Result<ReadsFrom, Failure> {
        let api: Api = Access::running(configuration)?.api(None)?;
        let request = json!({"from_offset": self.from.from_offset, "from_time": self.from.from_time});
        let answer = api.post("/v1/log/reprocess", &request).await?;
        serde_json::from_value(answer["reads_from"].clone()).map_err(Failure::trouble)
    }

    async fn by_ourselves(&self, configuration: &Configuration) -> Result<ReadsFrom, Failure> {
        let Some(kafka) = &configuration.kafka else {
            return Err(Failure::Trouble("--ingest: there is no log in direct mode".to_string()));
        };
        let from = match (self.from.from_offset, self.from.from_time) {
            (Some(offset), _) => ReprocessFrom::Offset(offset),
            (None, Some(time)) => ReprocessFrom::Time(time),
            // The argument group requires one.
            (None, None) => return Err(Failure::Trouble("name --from-offset or --from-time".to_string())),
        };
        let set_back = reprocess_every_epoch(kafka, from, PATIENCE).await;
        set_back.map_err(|error| {
            Failure::Trouble(format!("{error}: stop every aggregator of group '{}' first", kafka.group))
        })
    }
}

fn told(reads_from: &ReadsFrom) -> comfy_table::Table {
    let mut table = terminal::table(&["topic", "partition", "is read again from"], &[1, 2]);
    for (topic, partitions) in reads_from {
        for (partition, offset) in partitions {
            table.add_row([topic.clone(), partition.to_string(), offset.to_string()]);
        }
    }
    table
}
