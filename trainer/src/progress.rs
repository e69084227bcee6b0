//! What a run shows while it goes, on standard error: a few live lines on a terminal, a plain line now and then elsewhere.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use gristmill_corpus::printable::printable;
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::TrainConfig;
use crate::evaluate::Score;
use crate::step::StepReport;

/// At most so many step lines where there is no terminal, unless asked for more.
const LINES: u64 = 20;
/// Columns of the curve of losses.
const COLUMNS: usize = 48;

/// A bar over the documents of an evaluation; on a terminal only.
pub fn documents(task: &str, n: usize) -> ProgressBar {
    let bar = ProgressBar::new(n as u64).with_message(task.to_owned());
    let template = "{bar:30} {pos}/{len} documents  {msg}  ETA {eta}";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed and valid"));
    bar
}

/// What turns a step's tokens and loss into other units.
#[derive(Clone, Copy, Debug, Default)]
pub struct Units {
    /// Floating-point operations of training on one token; see [`crate::model::Model::flops_per_token`].
    pub flops_per_token: f64,
    /// Highest operations a second of the hardware, if known.
    pub peak_flops: Option<f64>,
    /// Raw bytes of text in a token of the training data, if known.
    pub bytes_per_token: Option<f64>,
}

/// Progress of one run.
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    log_every: u64,
    units: Units,
    started: Instant,
    busy: Cell<Duration>,
    tokens: Cell<u64>,
    places: Cell<u64>,
    curve: RefCell<Curve>,
    validation: RefCell<String>,
}

impl Progress {
    /// Of a run of which `done` steps were done by an earlier process.
    pub fn new(config: &TrainConfig, done: u64, units: Units) -> Self {
        let steps = config.steps;
        let log_every = if config.log_every == 0 { steps.div_ceil(LINES) } else { config.log_every };
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(steps).with_position(done);
            let template = "{bar:48} step {pos}/{len}, {elapsed} gone, ETA {eta}\n{msg}";
            bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed and valid"));
            bar.reset_eta();
            bar
        });
        Self {
            bar,
            steps,
            log_every,
            units,
            started: Instant::now(),
            busy: Cell::default(),
            tokens: Cell::default(),
            places: Cell::default(),
            curve: RefCell::new(Curve::new(steps)),
            validation: RefCell::default(),
        }
    }

    /// Reports a finished step, which read so many `places` of rows, padding included.
    pub fn step(&self, step: u64, report: &StepReport, places: u64, took: Duration) {
        self.busy.set(self.busy.get() + took);
        self.tokens.set(self.tokens.get() + report.tokens);
        self.places.set(self.places.get() + places);
        self.curve.borrow_mut().add(step, report.loss);
        let seconds = self.busy.get().as_secs_f64().max(1e-9);
        let speed = self.tokens.get() as f64 / seconds;
        let computed = self.places.get() as f64 / seconds;
        let numbers = numbers(report, speed, computed, &self.units);
        if let Some(bar) = &self.bar {
            let (curve, validation) = (self.curve.borrow(), self.validation.borrow());
            bar.set_message(format!("{numbers}\n{}{validation}", curve.line()));
            bar.set_position(step);
        } else if step.is_multiple_of(self.log_every) || step == self.steps {
            eprintln!("step {step}/{}: {numbers}", self.steps);
        }
    }

    /// Reports a validation.
    pub fn validation(&self, step: u64, score: &Score) {
        let text =
            format!("validation loss {:.4} nats/token, {:.4} bits/byte", score.loss, score.bits_per_byte);
        *self.validation.borrow_mut() = format!("\n{text} after step {step}");
        self.line(&format!("step {step}: {text}"));
    }

    /// Shows what the model writes. Its text may be anything.
    pub fn sample(&self, step: u64, prompt: &str, text: &str) {
        let shown = printable(&format!("{prompt}|{text}")).replace('\n', "⏎");
        self.line(&format!("step {step}: {shown}"));
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

/// Loss, learning rate and speed in a line. `speed` counts targets a second, `computed` all places, which cost alike.
fn numbers(report: &StepReport, speed: f64, computed: f64, units: &Units) -> String {
    let mut text = format!("loss {:.4}", report.loss);
    if let Some(bytes) = units.bytes_per_token {
        let bits = report.loss / std::f64::consts::LN_2 / bytes;
        text.push_str(&format!("  about {bits:.4} bits/byte"));
    }
    text.push_str(&format!(
        "  norm {:.2}  lr {:.2e}  {speed:.0} tokens/s",
        report.gradient_norm, report.learning_rate
    ));
    if let Some(peak) = units.peak_flops {
        let share = computed * units.flops_per_token / peak;
        text.push_str(&format!("  MFU {:.1} % of {:.0} GFLOP/s", share * 100.0, peak / 1e9));
    }
    text
}

/// The losses of a run in a few columns: means of steps that follow each other.
struct Curve {
    steps_per_column: u64,
    /// First step, sum and number of each column.
    columns: VecDeque<(u64, f64, u64)>,
}

impl Curve {
    fn new(steps: u64) -> Self {
        Self { steps_per_column: steps.div_ceil(COLUMNS as u64).max(1), columns: VecDeque::new() }
    }

    fn add(&mut self, step: u64, loss: f64) {
        let first = step.saturating_sub(1) / self.steps_per_column * self.steps_per_column + 1;
        match self.columns.back_mut() {
            Some((at, sum, n)) if *at == first => {
                *sum += loss;
                *n += 1;
            }
            _ => self.columns.push_back((first, loss, 1)),
        }
        if self.columns.len() > COLUMNS {
            self.columns.pop_front();
        }
    }

    /// The curve between its highest and its lowest loss.
    fn line(&self) -> String {
        const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let means: Vec<f64> = self.columns.iter().map(|(_, sum, n)| sum / *n as f64).collect();
        let (low, high) =
            means.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &m| (l.min(m), h.max(m)));
        if !(low.is_finite() && high.is_finite()) {
            return String::new();
        }
        let level = |&mean: &f64| {
            let share = if high > low { (mean - low) / (high - low) } else { 0.0 };
            LEVELS[(share * 7.0).round() as usize]
        };
        format!("{} {high:.3} to {low:.3}", means.iter().map(level).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_keeps_its_width_and_spans_its_losses() {
        let mut curve = Curve::new(1000);
        assert_eq!(curve.line(), "");
        for step in 1..=1000 {
            curve.add(step, 10.0 - step as f64 / 125.0);
        }
        let line = curve.line();
        let (bars, range) = line.split_once(' ').unwrap();
        assert!(bars.chars().count() <= COLUMNS && bars.starts_with('█') && bars.ends_with('▁'), "{bars}");
        // Columns of 21 steps; the mean of the last 13 is that of step 994.
        assert_eq!(range, "9.912 to 2.048");
        let mut flat = Curve::new(3);
        flat.add(1, 2.0);
        assert_eq!(flat.line(), "▁ 2.000 to 2.000");
        // Resumed in the midst, and longer than planned: the newest columns stay.
        let mut late = Curve::new(10);
        for step in 5..200 {
            late.add(step, 1.0);
        }
        assert_eq!(late.columns.len(), COLUMNS);
    }

    #[test]
    fn numbers_follow_their_formulas() {
        let report = StepReport { loss: 2.0, gradient_norm: 0.5, learning_rate: 3e-4, tokens: 100 };
        let plain = numbers(&report, 1000.0, 1250.0, &Units::default());
        assert_eq!(plain, "loss 2.0000  norm 0.50  lr 3.00e-4  1000 tokens/s");
        let units = Units { flops_per_token: 80e6, peak_flops: Some(400e9), bytes_per_token: Some(4.0) };
        let all = numbers(&report, 1000.0, 1250.0, &units);
        assert_eq!(
            all,
            "loss 2.0000  about 0.7213 bits/byte  norm 0.50  lr 3.00e-4  1000 tokens/s  MFU 25.0 % of 400 GFLOP/s"
        );
    }
}
