//! The loop over tasks and their documents, and the table of what came out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::evals::metric::{Answer, Estimate, estimate};
use crate::evals::prompt::{Prompter, Request};
use crate::evals::scorer::{LanguageModel, answer};
use crate::evals::task::Task;

/// Documents whose requests are answered together.
const DOCUMENTS_AT_ONCE: usize = 64;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The task's name.
    pub task: String,
    /// The name of the filter that answers went through; `none` where there is none.
    pub filter: String,
    /// The metric's name.
    pub metric: &'static str,
    /// Documents asked about.
    pub documents: usize,
    /// Solved examples before each.
    pub examples: usize,
    /// Value, error, interval.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// The task files among `paths`: files as they are, of folders every `.yaml` in the order of names.
pub fn task_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries =
                std::fs::read_dir(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let mut inside: Vec<PathBuf> =
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?;
            inside.retain(|file| is_yaml(file));
            ensure!(!inside.is_empty(), "the folder `{}` holds no task (`*.yaml`)", path.display());
            inside.sort();
            files.extend(inside);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Asks `model` about the first `limit` documents (0: all) of a task. `progress` hears how many are done.
pub fn run(
    task: &Task,
    model: &dyn LanguageModel,
    limit: usize,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Score>> {
    let prompter = Prompter::new(task);
    let n = if limit == 0 { task.documents.len() } else { limit.min(task.documents.len()) };
    // For each filter and metric, each document's part.
    let mut parts = vec![Vec::with_capacity(n); task.filters.len() * task.metrics.len()];
    for begin in (0..n).step_by(DOCUMENTS_AT_ONCE) {
        let end = (begin + DOCUMENTS_AT_ONCE).min(n);
        let items = (begin..end).map(|index| prompter.item(index)).collect::<Result<Vec<_>>>()?;
        let requests: Vec<&Request> = items.iter().flat_map(|item| &item.requests).collect();
        let mut answers = answer(model, &requests, &task.generation)?.into_iter();
        for item in &items {
            let answers: Vec<Answer> = answers.by_ref().take(item.requests.len()).collect();
            let mut parts = parts.iter_mut();
            for filter in &task.filters {
                let answers =
                    answers.iter().map(|answer| filter.apply(answer)).collect::<Result<Vec<_>>>()?;
                for metric in &task.metrics {
                    let part = metric.of(item, &answers)?;
                    parts.next().expect("there is one for each filter and metric").push(part);
                }
            }
        }
        progress(end);
    }
    let mut parts = parts.into_iter();
    let mut scores = Vec::new();
    for filter in &task.filters {
        for (metric, parts) in task.metrics.iter().zip(parts.by_ref()) {
            scores.push(Score {
                task: task.name.clone(),
                filter: filter.name.clone(),
                metric: metric.metric.name(),
                documents: n,
                examples: task.n_fewshot,
                estimate: estimate(metric.metric, &parts),
            });
        }
    }
    Ok(scores)
}

/// The scores as a table for people.
pub fn table(scores: &[Score]) -> String {
    let mut rows = vec![
        ["task", "filter", "documents", "examples", "metric", "value", "± error", "95 % interval"]
            .map(str::to_owned),
    ];
    for score in scores {
        let Estimate { value, stderr, interval } = score.estimate;
        rows.push([
            score.task.clone(),
            score.filter.clone(),
            score.documents.to_string(),
            score.examples.to_string(),
            score.metric.to_owned(),
            format!("{value:.4}"),
            stderr.map_or_else(String::new, |error| format!("{error:.4}")),
            interval.map_or_else(String::new, |(low, high)| format!("{low:.4} to {high:.4}")),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut table = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
    }
    table
}
