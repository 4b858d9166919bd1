//! `tollgate check-config`

use crate::configuration::{self, SettingFlags};
use crate::failure::Failure;
use clap::Args;

/// Check the configuration and what it points to; print what is in force, without secrets
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate check-config --config tollgate.toml

Exit code: 0 all is well, 1 something is wrong (each with what to do), 2 the configuration cannot be read.")]
pub struct CheckConfigCommand {
    #[command(flatten)]
    settings: SettingFlags,
}

impl CheckConfigCommand {
    /// Runs it.
    ///
    /// # Errors
    /// See the exit codes in its help.
    pub async fn run(self) -> Result<(), Failure> {
        let loaded = configuration::load(&self.settings)?;
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        print!("{}", configuration::effective_toml(&loaded.layers));
        Ok(())
    }
}
