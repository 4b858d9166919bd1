//! What can be set about an engine, and the engine's own configuration file made from it.
//!
//! The embedded engine's defaults are those of a tool that runs one query, not of a server that keeps money's evidence.
//! What is changed here, and why:
//! - parts are fsynced when inserted and when merged, and the sources of a merge are kept for a while, so that no power
//!   loss finds a merged part half written and its sources gone (I1);
//! - caches are bounded by the configured memory instead of 5 GiB each;
//! - errors of background work are logged instead of swallowed; nothing is logged into system tables, and nothing is
//!   sent anywhere.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The environment variable that carries the password: never an argument, which other users could read.
pub const PASSWORD_VARIABLE: &str = "TOLLGATE_ENGINE_PASSWORD";

/// Shortest password that is served with; ours are 64 characters of hexadecimal.
pub(crate) const SHORTEST_PASSWORD: usize = 16;

/// Errors go to standard error: a broken part that is set aside, a merge that fails. Failed statements do not, as their
/// clients have them; nor does what the engine says about its own threads when a connection closes.
const LOGGING: &str = "  <log-level>error</log-level>
  <logger>
    <level>error</level>
    <console>1</console>
    <levels>
      <logger><name>executeQuery</name><level>none</level></logger>
      <logger><name>ThreadStatus</name><level>none</level></logger>
    </levels>
  </logger>
";

/// One engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where the data lives; one engine per directory, enforced by a lock. Created when missing.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 lets the system choose. Must be a loopback address: the password crosses the wire in clear.
    pub listen: SocketAddr,
    /// The password every request must carry, at least 16 characters.
    pub password: String,
    /// libchdb.so; [`crate::find_library`] when `None`.
    pub library: Option<PathBuf>,
    /// Ends the process when standard input closes, which is how an engine follows its parent's death.
    pub follow_stdin: bool,
    /// Statements that run at once, and as many INSERTs besides; further ones wait.
    pub concurrent_statements: usize,
    /// Bytes the engine may use in all, 0 for nine tenths of the machine's memory.
    pub max_memory_bytes: u64,
    /// Threads that merge parts in the background.
    pub merge_threads: usize,
    /// Bytes for each of the caches of marks, primary keys and compiled expressions.
    pub cache_bytes: u64,
    /// Seconds that merged-away parts stay on disk.
    pub old_parts_seconds: u64,
    /// Seconds to wait for another engine to let go of the data directory.
    pub lock_wait_seconds: u64,
}

/// What an event waits for goes first, rewriting what is stored already uses what is left: a tenth of the weight of other threads
/// (niceness 10 is 110 of 1,024), so merges go on also where nothing is left.
const MERGE_NICENESS: u8 = 10;

impl EngineConfig {
    /// Defaults for `data_dir`: a port of the system's choice on loopback, 16 statements at once.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, password: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            password: password.into(),
            library: None,
            follow_stdin: true,
            concurrent_statements: 16,
            max_memory_bytes: 0,
            merge_threads: 2,
            cache_bytes: 256 << 20,
            old_parts_seconds: 60,
            lock_wait_seconds: 10,
        }
    }

    /// Where the engine keeps its own files; beside it lie our lock and configuration.
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    /// The file the engine reads at its start.
    pub(crate) fn file(&self) -> PathBuf {
        self.data_dir.join("engine.xml")
    }

    /// The text of that file.
    pub(crate) fn xml(&self) -> String {
        let mut server = vec![
            ("background_pool_size", self.merge_threads.to_string()),
            ("os_threads_nice_value_merge_mutate", MERGE_NICENESS.to_string()),
            ("mark_cache_size", self.cache_bytes.to_string()),
            ("index_mark_cache_size", self.cache_bytes.to_string()),
            ("primary_index_cache_size", self.cache_bytes.to_string()),
            ("compiled_expression_cache_size", self.cache_bytes.to_string()),
        ];
        if self.max_memory_bytes > 0 {
            server.push(("max_server_memory_usage", self.max_memory_bytes.to_string()));
        }
        let merge_tree = [
            ("fsync_after_insert", "1".to_owned()),
            ("fsync_part_directory", "1".to_owned()),
            // One row, one byte: every merge.
            ("min_rows_to_fsync_after_merge", "1".to_owned()),
            ("min_compressed_bytes_to_fsync_after_merge", "1".to_owned()),
            ("old_parts_lifetime", self.old_parts_seconds.to_string()),
        ];
        let mut text = String::from("<clickhouse>\n");
        text.push_str(LOGGING);
        add_elements(&mut text, "  ", &server);
        text.push_str("  <merge_tree>\n");
        add_elements(&mut text, "    ", &merge_tree);
        text.push_str("  </merge_tree>\n</clickhouse>\n");
        text
    }

    /// Arguments of every connection to the engine; only the first one's are read.
    pub(crate) fn arguments(&self) -> Vec<String> {
        vec![format!("--path={}", self.store_dir().display()), format!("--config-file={}", self.file().display())]
    }
}

fn add_elements(text: &mut String, indent: &str, elements: &[(&str, String)]) {
    for (name, value) in elements {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{indent}<{name}>{value}</{name}>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_makes_every_part_durable_by_default() {
        let text = EngineConfig::new("/d", "p").xml();
        for line in [
            "<fsync_after_insert>1</fsync_after_insert>",
            "<fsync_part_directory>1</fsync_part_directory>",
            "<min_rows_to_fsync_after_merge>1</min_rows_to_fsync_after_merge>",
            "<old_parts_lifetime>60</old_parts_lifetime>",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
        assert!(!text.contains("max_server_memory_usage"));
    }
}
