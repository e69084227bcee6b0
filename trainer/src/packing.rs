//! What packing costs, told before a run and by `gristmill-train pack`.

use std::convert::Infallible;

use anyhow::{Result, ensure};
use gristmill_corpus::pack_plan::{Packing, PlanMeta, PlannedSource};
use gristmill_corpus::packing::{self, Cropping, PackSummary, WINDOW_PIECES};
use serde::Serialize;

/// A line a source of a plan: what it gives, and what its rows lose.
pub fn describe(plan: &PlanMeta) -> Vec<String> {
    let n_rows = plan.n_rows().max(1) as f64;
    let packing = match plan.packing {
        Packing::BestFit => "best_fit",
        Packing::Stream => "stream",
    };
    let line = |planned: &PlannedSource| {
        format!(
            "{packing} of `{}`: {:.1} % of the rows, {:.2} epochs of {} rows; no token cropped, {:.3} % padding, {} of {} \
             documents cut",
            planned.source.name,
            planned.n_drawn as f64 / n_rows * 100.0,
            planned.n_drawn as f64 / planned.n_rows.max(1) as f64,
            planned.n_rows,
            planned.padding as f64 / (planned.padding + planned.n_tokens).max(1) as f64 * 100.0,
            planned.n_cut,
            planned.n_documents,
        )
    };
    plan.sources.iter().map(line).collect()
}

/// Three ways to bring the same documents into rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Documents.
    pub n_documents: u64,
    /// Their tokens.
    pub n_tokens: u64,
    /// Inputs in a row.
    pub row_length: u32,
    /// Documents longer than a row, which nobody can keep whole.
    pub n_longer: u64,
    /// Rows by best fit.
    pub n_rows: u64,
    /// Share of those rows' places that is padding.
    pub padding_share: f64,
    /// Documents that a stream cut into windows cuts.
    pub n_cut_by_stream: u64,
    /// Share of the tokens that best fit with cropping drops, as nanochat's loader does it.
    pub cropped_share: f64,
}

impl Comparison {
    /// Of documents of these lengths.
    pub fn of(lengths: &[u64], row_length: u32) -> Result<Self> {
        ensure!(row_length >= 1, "--row-length 0: a row must have room for a token");
        let packed: Result<PackSummary, Infallible> =
            packing::pack(lengths.iter().copied(), row_length, WINDOW_PIECES, |_| Ok(()));
        let Ok(packed) = packed;
        Ok(Self {
            n_documents: packed.n_documents,
            n_tokens: packed.n_tokens,
            row_length,
            n_longer: packed.n_cut,
            n_rows: packed.n_rows,
            padding_share: packed.padding_share(),
            n_cut_by_stream: packing::cut_by_stream(lengths.iter().copied(), row_length),
            cropped_share: Cropping::of(lengths, row_length).share(),
        })
    }

    /// As lines for people.
    pub fn to_text(&self) -> String {
        let share = |n: u64| n as f64 / self.n_documents.max(1) as f64 * 100.0;
        format!(
            "{} documents, {} tokens, rows of {}; {} documents ({:.1} %) are longer than a row\n\
             best fit               0 tokens cropped, {:.3} % padding in {} rows, {} documents cut ({:.1} %)\n\
             stream                 0 tokens cropped, no padding, {} documents cut ({:.1} %)\n\
             best fit with cropping {:.1} % of the tokens cropped, no padding\n",
            self.n_documents,
            self.n_tokens,
            self.row_length,
            self.n_longer,
            share(self.n_longer),
            self.padding_share * 100.0,
            self.n_rows,
            self.n_longer,
            share(self.n_longer),
            self.n_cut_by_stream,
            share(self.n_cut_by_stream),
            self.cropped_share * 100.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ways_are_compared() {
        let compared = Comparison::of(&[7; 2000], 9).unwrap();
        assert_eq!((compared.n_rows, compared.n_longer, compared.n_cut_by_stream), (2000, 0, 1333));
        assert!((compared.padding_share - 2.0 / 9.0).abs() < 1e-12);
        assert!((compared.cropped_share - 2.0 / 7.0).abs() < 1e-12);
        let text = compared.to_text();
        assert!(
            text.contains("22.222 % padding in 2000 rows") && text.contains("28.6 % of the tokens"),
            "{text}"
        );
        assert!(Comparison::of(&[7], 0).is_err());
    }
}
