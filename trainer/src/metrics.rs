//! What a run writes while it goes: `metrics.jsonl`, and the same for TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::pretrain::write_whole;
use crate::tensorboard;

/// One line of `metrics.jsonl`: of a step, of a validation after it, or of what the model then wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Metric {
    /// After a step.
    Step {
        /// Counted from 1.
        step: u64,
        /// Mean loss in nats a target.
        loss: f64,
        /// What the step used.
        learning_rate: f64,
        /// Before clipping.
        gradient_norm: f64,
        /// Read up to here.
        tokens: u64,
    },
    /// Of the validation split.
    Val {
        /// After which step.
        step: u64,
        /// Mean loss in nats a target.
        val_loss: f64,
        /// The same over raw bytes.
        bits_per_byte: f64,
    },
    /// What the model wrote.
    Sample {
        /// After which step.
        step: u64,
        /// What it was given.
        prompt: String,
        /// How it went on.
        text: String,
    },
}

impl Metric {
    /// The step that it belongs to.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step { step, .. } | Self::Val { step, .. } | Self::Sample { step, .. } => *step,
        }
    }

    /// Loss of a step, and targets read up to it.
    pub fn progress(&self) -> Option<(f64, u64)> {
        match self {
            Self::Step { loss, tokens, .. } => Some((*loss, *tokens)),
            Self::Val { .. } | Self::Sample { .. } => None,
        }
    }

    /// The record that TensorBoard reads.
    fn event(&self) -> Vec<u8> {
        match *self {
            Self::Step { step, loss, learning_rate, gradient_norm, .. } => tensorboard::scalars(
                step,
                &[("loss/train", loss), ("learning_rate", learning_rate), ("gradient_norm", gradient_norm)],
            ),
            Self::Val { step, val_loss, bits_per_byte } => {
                tensorboard::scalars(step, &[("loss/val", val_loss), ("bits_per_byte", bits_per_byte)])
            }
            Self::Sample { .. } => Vec::new(),
        }
    }
}

/// `metrics.jsonl` and the events beside it, cut back to a checkpoint's step when a run goes on.
pub struct Metrics {
    lines: Appended,
    events: Appended,
}

struct Appended {
    file: File,
    path: PathBuf,
}

impl Metrics {
    /// In the folder of a run that goes on after `step`; with what is kept of an earlier process's lines.
    pub fn open(folder: &Path, step: u64) -> Result<(Self, Vec<Metric>)> {
        let path = folder.join("metrics.jsonl");
        let mut kept = Vec::new();
        if step > 0 {
            let file = File::open(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            for line in BufReader::new(file).lines() {
                // A kill may leave half a line at the end, after the last checkpoint's.
                let Ok(metric) = serde_json::from_str::<Metric>(&line?) else { break };
                if metric.step() <= step {
                    kept.push(metric);
                }
            }
        }
        let (mut lines, mut events) = (Vec::new(), tensorboard::header());
        for metric in &kept {
            serde_json::to_writer(&mut lines, metric)?;
            lines.push(b'\n');
            events.extend(metric.event());
        }
        let lines = Appended::after(path, &lines)?;
        let events = Appended::after(folder.join(tensorboard::FILE), &events)?;
        Ok((Self { lines, events }, kept))
    }

    /// Appends a metric to both.
    pub fn write(&mut self, metric: &Metric) -> Result<()> {
        let mut line = serde_json::to_vec(metric)?;
        line.push(b'\n');
        self.lines.write(&line)?;
        self.events.write(&metric.event())
    }

    /// Everything written is on the disk when this returns.
    pub fn sync(&mut self) -> Result<()> {
        for appended in [&self.lines, &self.events] {
            let path = &appended.path;
            appended.file.sync_all().with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        Ok(())
    }
}

impl Appended {
    /// A file of `content` that more is appended to.
    fn after(path: PathBuf, content: &[u8]) -> Result<Self> {
        write_whole(&path, content)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self { file, path })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}
