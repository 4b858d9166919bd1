//! `tollgate topic`

use crate::configuration::{self, SettingFlags};
use crate::failure::Failure;
use crate::logging;
use crate::terminal;
use clap::{Args, Subcommand};
use event_log::settings::KafkaSettings;
use event_log::topic::{self, Growth};
use std::time::Duration;

/// For the brokers to answer, and to make a topic and choose its leaders.
const PATIENCE: Duration = Duration::from_secs(30);

/// Look at the log's topics, or give the log more partitions under traffic
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tollgate topic show --kafka-brokers kafka-1:9092
  tollgate topic grow --partitions 24 --kafka-brokers kafka-1:9092

Partitions of a topic are never added: copies of an event would part. `grow` makes the topic of
the next epoch and closes the current one, while gateways and aggregators run. Gateways go over
by themselves within a second or two (requests in between hear 503 and are sent again, which is
safe); aggregators store what is left in the old topic first. Keep the old topic: fees name
positions in it. A `grow` that was interrupted is completed by running it again.")]
pub struct TopicCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Print every epoch of the log
    Show(Box<ShowCommand>),
    /// Make the topic of the next epoch with more partitions, and close the current one
    Grow(Box<GrowCommand>),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate topic show --kafka-brokers kafka-1:9092")]
struct ShowCommand {
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate topic grow --partitions 24 --kafka-brokers kafka-1:9092")]
struct GrowCommand {
    /// Partitions of the new topic, more than the current one has
    #[arg(long, value_name = "COUNT")]
    partitions: u16,
    #[command(flatten)]
    settings: SettingFlags,
}

impl TopicCommand {
    /// Runs it.
    ///
    /// # Errors
    /// When the brokers do not answer or refuse; nothing of the current topic is touched before the new one is good.
    pub async fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Show(command) => show(&kafka(&command.settings)?).await,
            Action::Grow(command) => grow(&kafka(&command.settings)?, command.partitions).await,
        }
    }
}

fn kafka(settings: &SettingFlags) -> Result<KafkaSettings, Failure> {
    let configuration = configuration::load_over(settings, &[("ingest.mode", "streaming")])?.configuration;
    logging::start_quiet(&configuration);
    let none = || Failure::Trouble("--ingest: there is no log in direct mode".to_string());
    configuration.kafka.ok_or_else(none)
}

async fn show(kafka: &KafkaSettings) -> Result<(), Failure> {
    let mut table = terminal::table(&["topic", "epoch", "partitions", "state"], &[1, 2]);
    for epoch in topic::epochs(kafka, PATIENCE).await.map_err(Failure::trouble)? {
        let is_closed = topic::is_closed(&epoch, PATIENCE).await.map_err(Failure::trouble)?;
        let state = if is_closed { "closed" } else { "open" };
        table.add_row([epoch.topic.clone(), epoch.epoch.to_string(), epoch.partitions.to_string(), state.to_string()]);
    }
    println!("{table}");
    Ok(())
}

async fn grow(kafka: &KafkaSettings, partitions: u16) -> Result<(), Failure> {
    // The epoch that is written to: also the one whose growth was interrupted, for it is not closed yet.
    let current = topic::newest(kafka, PATIENCE).await.map_err(Failure::trouble)?;
    let Growth { settings, ends } = topic::grow(&current, partitions, PATIENCE).await.map_err(Failure::trouble)?;
    let records: u64 = ends.values().sum();
    println!("{} is closed; its partitions end after {records} records in all", current.topic);
    println!("{} is open with {} partitions; gateways go over by themselves", settings.topic, settings.partitions);
    println!(
        "in the configuration, when convenient: kafka.topic = \"{}\", kafka.partitions = {}",
        settings.topic, settings.partitions
    );
    Ok(())
}
