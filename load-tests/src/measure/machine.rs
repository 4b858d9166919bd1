//! What else the machine was doing: a figure taken beside a compiler is worth little, and should say so.

use std::fs;
use std::time::{Duration, Instant};

/// `/proc/stat` counts in ticks of 10 ms (USER_HZ, fixed at 100 a second).
const TICK: Duration = Duration::from_millis(10);

/// A reading of the whole machine's CPU time.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    at: Instant,
    busy: Duration,
}

impl Reading {
    /// Reads it now; zero where `/proc` does not tell.
    #[must_use]
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self { at: Instant::now(), busy: busy(&stat).unwrap_or_default() }
    }

    /// Cores that processes other than the measured ones kept busy since this reading.
    #[must_use]
    pub fn others_since(&self, measured: Duration) -> f64 {
        let now = Self::now();
        let others = now.busy.saturating_sub(self.busy).saturating_sub(measured);
        super::ratio::share(others.as_secs_f64(), (now.at - self.at).as_secs_f64()).unwrap_or(0.0)
    }
}

/// All but idle and waiting, from the first line: `cpu user nice system idle iowait irq softirq steal …`.
fn busy(stat: &str) -> Option<Duration> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u32> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let ticks: u32 = fields.iter().take(8).sum::<u32>() - fields.get(3)? - fields.get(4)?;
    Some(TICK * ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_time_are_not_busy() {
        let stat = "cpu  100 10 50 1000 200 5 5 30 7 0\ncpu0 1 2 3\n";
        assert_eq!(busy(stat), Some(Duration::from_secs(2)));
        assert_eq!(busy("nonsense"), None);
    }
}
