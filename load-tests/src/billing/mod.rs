//! Month end: a billing run over many subscriptions, from nothing to issued invoices, on a server of its own.
//!
//! For each number of subscriptions: an organization of its own; as many customers with a subscription each to a plan of three
//! charges; then rounds, each of one or more months. A round's events are sent and settled, its run is started, followed and timed, and
//! what it billed must be, to the cent, what the oracle makes of the same events. At the end, pages of the list of invoices.
//!
//! The time is that between the run's `started_at` and `finished_at`, so it holds everything: the cut, reading the catalog, the
//! engine's part, pricing, writing. Memory is the greatest size of each process while the run goes on.
//!
//! Where to look: [`months`] (which periods), [`ground`] (customers, events), [`follow`] (the run), [`oracle`] (what it must come to),
//! [`pages`] (the list), [`report`].

mod credits;
mod follow;
mod ground;
mod months;
mod oracle;
mod pages;
mod report;

use crate::bench::server::Server;
use crate::measure::process::Meter;
use anyhow::Context;
use clap::Args;
use domain::time::Timestamp;
use ground::Account;
use report::{Report, Round};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `billing`.
#[derive(Debug, Args)]
pub struct BillingArgs {
    /// The binary; `up` is started on an empty data directory and stopped at the end.
    #[arg(long)]
    tollgate: PathBuf,
    /// Data directory (default: a temporary one, removed at the end).
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// An empty PostgreSQL database for the ledger (default: SQLite in the data directory).
    #[arg(long)]
    database_url: Option<String>,
    /// Numbers of subscriptions, an organization each.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000")]
    subscriptions: Vec<u32>,
    /// Months billed by each run, one run after the other.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    periods: Vec<u32>,
    /// Events of each subscription in each round, spread over its months.
    #[arg(long, default_value_t = 100)]
    events: u64,
    /// Dry runs before each run: everything is rated, compared with the month before, and nothing written.
    #[arg(long, default_value_t = 0)]
    rehearsals: u32,
    /// At the end one more month, with a coupon, a tax, a wallet and a credit note for each tenth customer; what that costs is told.
    #[arg(long)]
    credits: bool,
    /// Folder for billing.json.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// Carries out the measurements and prints them; the exit status is 1 when an invoice is missing or a cent is off.
///
/// # Errors
/// When one could not be made.
pub async fn execute(args: BillingArgs) -> anyhow::Result<ExitCode> {
    let sizes = || args.subscriptions.iter().chain(&args.periods);
    anyhow::ensure!(sizes().all(|number| *number > 0), "--subscriptions and --periods must be above 0");
    let flags = args.database_url.as_ref().map(|url| format!("--database-url {url}")).unwrap_or_default();
    let server = Server::start(&args.tollgate, args.data_dir.as_deref(), &flags).await?;
    let database = if args.database_url.is_some() { "PostgreSQL" } else { "SQLite" };
    let mut report = Report::new(database);
    for subscriptions in &args.subscriptions {
        measure(&args, &server, *subscriptions, &mut report).await?;
    }
    println!("{}", report.table());
    if let Some(folder) = &args.report {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("billing.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    server.stop().await?;
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// One round: events of these months, and their run; with what customers have to spend, or before they have.
async fn bill(
    args: &BillingArgs,
    server: &Server,
    account: &Account,
    (months, with_credits): (&[Timestamp], bool),
    report: &mut Report,
) -> anyhow::Result<()> {
    let usages = account.send(months, args.events).await?;
    let mut meter = Meter::new(vec![server.root()]);
    let pays_nothing: fn(usize) -> bool = if with_credits { credits::has } else { |_| false };
    let expected = oracle::expected(account.customers(), &usages, pays_nothing);
    let size = (u32::try_from(account.customers())?, u32::try_from(months.len() - 1)?);
    for place in 0..=args.rehearsals {
        let dry = place < args.rehearsals;
        let followed = follow::follow(&account.api, months[months.len() - 1], dry, &mut meter).await?;
        report.rounds.push(Round::of(size, with_credits, &expected, &followed));
    }
    Ok(())
}

async fn measure(args: &BillingArgs, server: &Server, subscriptions: u32, report: &mut Report) -> anyhow::Result<()> {
    let in_all = args.periods.iter().sum::<u32>() + u32::from(args.credits);
    let months = months::whole_months_before(Timestamp::now(), in_all);
    let account = Account::open(server, subscriptions, months[0]).await?;
    let mut billed_until = 0;
    for periods in &args.periods {
        let from = billed_until;
        billed_until += *periods as usize;
        bill(args, server, &account, (&months[from..=billed_until], false), report).await?;
    }
    if args.credits {
        println!("{} customers have credits", credits::give(&account).await?);
        bill(args, server, &account, (&months[billed_until..], true), report).await?;
    }
    report.pages.extend(pages::measure(&account.api).await?);
    Ok(())
}
