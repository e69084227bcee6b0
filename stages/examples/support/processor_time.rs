//! Processor time for the examples that measure: other programs on the machine do not count.

use std::time::Duration;

/// What this thread has had of its core so far, where Linux says so.
pub fn processor_time() -> Option<Duration> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    statistics.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// A clock of this thread's processor time; of the wall where there is none.
pub struct Stopwatch {
    started: std::time::Instant,
    busy: Option<Duration>,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self { started: std::time::Instant::now(), busy: processor_time() }
    }

    /// Seconds on the processor since.
    pub fn seconds(&self) -> f64 {
        let busy = processor_time().zip(self.busy).map(|(now, then)| now.saturating_sub(then));
        busy.unwrap_or_else(|| self.started.elapsed()).as_secs_f64()
    }
}
