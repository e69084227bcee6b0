//! What a run shows while it goes: a bar with ETA on a terminal, a plain line now and then elsewhere. All on stderr.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::config::TrainConfig;
use crate::step::StepReport;

/// At most so many step lines where there is no terminal, unless asked for more.
const LINES: u64 = 20;

/// A bar over the documents of an evaluation; on a terminal only.
pub fn documents(task: &str, n: usize) -> ProgressBar {
    let bar = ProgressBar::new(n as u64).with_message(task.to_owned());
    let template = "{bar:30} {pos}/{len} documents  {msg}  ETA {eta}";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed and valid"));
    bar
}

/// Progress of one run.
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    log_every: u64,
    started: Instant,
    busy: Cell<Duration>,
    tokens: Cell<u64>,
}

impl Progress {
    /// Of a run of which `done` steps were done by an earlier process.
    pub fn new(config: &TrainConfig, done: u64) -> Self {
        let steps = config.steps;
        let log_every = if config.log_every == 0 { steps.div_ceil(LINES) } else { config.log_every };
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(steps).with_position(done);
            let template = "{bar:30} {pos}/{len} steps  {msg}  ETA {eta}";
            bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed and valid"));
            bar.reset_eta();
            bar
        });
        Self {
            bar,
            steps,
            log_every,
            started: Instant::now(),
            busy: Cell::default(),
            tokens: Cell::default(),
        }
    }

    /// Reports a finished step.
    pub fn step(&self, step: u64, report: &StepReport, took: Duration) {
        self.busy.set(self.busy.get() + took);
        self.tokens.set(self.tokens.get() + report.tokens);
        let speed = self.tokens.get() as f64 / self.busy.get().as_secs_f64().max(1e-9);
        let message = format!(
            "loss {:.4}  norm {:.2}  lr {:.2e}  {speed:.0} tokens/s",
            report.loss, report.gradient_norm, report.learning_rate
        );
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.set_position(step);
        } else if step.is_multiple_of(self.log_every) || step == self.steps {
            eprintln!("step {step}/{}: {message}", self.steps);
        }
    }

    /// Prints a line of its own.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Ends the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.tokens.get() > 0 {
            eprintln!(
                "trained on {} tokens in {:.1} s",
                self.tokens.get(),
                self.started.elapsed().as_secs_f64()
            );
        }
    }
}
