//! The funnel: what every stage got, dropped and passed on.

use gristmill_corpus::manifest::{Manifest, StageCounts};
use serde::Serialize;

use crate::exec::ExecError;
use crate::exec::store::StepFolder;
use crate::plan::{Plan, Step};

/// The funnel of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Funnel {
    /// One row a stage that saw documents, in the order of the recipe.
    pub stages: Vec<StageCounts>,
    /// Inputs that could not be read, with why.
    pub quarantined: Vec<String>,
}

impl Funnel {
    /// Of manifests in the plan's order. A chain that two branches share is counted once.
    pub fn new(plan: &Plan, manifests: &[Manifest]) -> Self {
        let mut stages: Vec<StageCounts> = Vec::new();
        let mut quarantined = Vec::new();
        for manifest in manifests {
            for counts in &manifest.counts {
                if !stages.iter().any(|known| known.stage == counts.stage) {
                    stages.push(counts.clone());
                }
            }
            quarantined.extend(manifest.quarantined().map(|(_, why)| why.to_owned()));
        }
        let place = |id: &str| plan.stages.iter().position(|stage| stage.id == id);
        stages.sort_by_key(|counts| place(&counts.stage));
        Self { stages, quarantined }
    }

    /// Of whatever steps of a plan are complete.
    ///
    /// # Errors
    /// [`ExecError::Store`] when the store cannot be read.
    pub fn of_plan(plan: &Plan) -> Result<Self, ExecError> {
        let complete = |step: &Step| StepFolder::new(&plan.store, step).manifest().transpose();
        let manifests: Vec<Manifest> = plan.steps.iter().filter_map(complete).collect::<Result<_, _>>()?;
        Ok(Self::new(plan, &manifests))
    }

    /// As a table of plain text.
    pub fn to_text(&self) -> String {
        let mut rows =
            vec![["stage", "in", "out", "dropped", "docs/s/core", "MB/s/core", "reasons"].map(String::from)];
        for counts in &self.stages {
            let dropped = counts.documents_rejected();
            let share = 100.0 * dropped as f64 / (counts.documents_in.max(1)) as f64;
            let seconds = counts.elapsed_us as f64 / 1e6;
            let rate = |n: f64| if seconds > 0.0 { n / seconds } else { 0.0 };
            let bytes = counts.bytes_in.max(counts.bytes_out) as f64 / 1e6;
            rows.push([
                counts.stage.clone(),
                counts.documents_in.to_string(),
                counts.documents_out.to_string(),
                if dropped == 0 { "-".into() } else { format!("{dropped} ({share:.1} %)") },
                format!("{:.0}", rate(counts.documents_in as f64)),
                format!("{:.1}", rate(bytes)),
                reasons(counts),
            ]);
        }
        let mut text = table(&rows);
        for why in &self.quarantined {
            text.push_str(&format!("quarantined: {why}\n"));
        }
        text
    }
}

fn reasons(counts: &StageCounts) -> String {
    let mut reasons: Vec<(&String, &u64)> = counts.rejected.iter().collect();
    reasons.sort_by_key(|(reason, n)| (std::cmp::Reverse(**n), *reason));
    reasons.iter().map(|(reason, n)| format!("{reason} {n}")).collect::<Vec<_>>().join(", ")
}

/// Columns aligned: the first and the last to the left, numbers to the right.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let wide = widths[column];
            match column {
                0 => line.push_str(&format!("{cell:wide$}")),
                last if last + 1 == N => line.push_str(&format!("  {cell}")),
                _ => line.push_str(&format!("  {cell:>wide$}")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_table_shows_shares_and_reasons_by_weight() {
        let counts = StageCounts {
            stage: "gopher_quality".into(),
            documents_in: 10,
            documents_out: 7,
            rejected: BTreeMap::from([("a".into(), 1), ("b".into(), 2)]),
            bytes_in: 2_000_000,
            bytes_out: 1_000_000,
            elapsed_us: 500_000,
        };
        let text =
            Funnel { stages: vec![counts], quarantined: vec!["cannot read `x`: gone".into()] }.to_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "stage           in  out     dropped  docs/s/core  MB/s/core  reasons");
        assert_eq!(lines[1], "gopher_quality  10    7  3 (30.0 %)           20        4.0  b 2, a 1");
        assert_eq!(lines[2], "quarantined: cannot read `x`: gone");
    }
}
