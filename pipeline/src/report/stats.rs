//! What a run came to in numbers: the funnel, lengths, languages, or counts by any expression.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use gristmill_corpus::columns;
use gristmill_corpus::printable::one_line;
use rayon::prelude::*;
use serde::Serialize;

use super::parts::{Part, Run};
use super::rows::{self, cell};
use super::sql::Sql;
use crate::run::funnel::{Funnel, table};

/// The numbers of a run.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// Documents by stage, with the reasons for which they were dropped.
    pub funnel: Funnel,
    /// The stage whose kept documents the rest counts.
    pub stage: String,
    /// What was kept.
    pub kept: Group,
    /// Documents by bytes of text: powers of two, without those that no document falls into at either end.
    pub text_bytes: Vec<Bin>,
    /// Documents by language, or by what was asked for; most documents first.
    pub groups: Vec<Group>,
    /// What they are grouped by.
    pub by: String,
}

/// Documents that have something in common.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What that is; `None` where the column has no value.
    pub value: Option<String>,
    /// How many there are.
    pub documents: u64,
    /// Bytes of text in them.
    pub bytes: u64,
}

/// Documents whose text has at least `from` and fewer than `to` bytes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// Fewest bytes.
    pub from: u64,
    /// More than the most.
    pub to: u64,
    /// How many there are.
    pub documents: u64,
}

/// Counts what the last stage of a run kept. `by` is a column or an SQL expression; `language` if not given.
///
/// # Errors
/// When there is no run, when the expression is wrong, when a file cannot be read.
pub fn of(folder: &Path, by: Option<&str>) -> anyhow::Result<Stats> {
    let run = Run::open(folder)?;
    let stage = run.result()?.id.clone();
    let expression = Sql::parse(by.unwrap_or(columns::LANGUAGE))?;
    let parts = run.kept(None)?;
    // Files are counted on all cores; counts add up in any order.
    let counts = parts
        .par_iter()
        .map(|part| Counts::of(part, &expression))
        .try_reduce(Counts::default, |a, b| Ok(a.plus(b)))?;
    if by.is_some() && !counts.fits && counts.documents() > 0 {
        bail!("the documents of `{stage}` do not have {}", expression.columns().join(", "));
    }
    let kept = Group {
        value: None,
        documents: counts.documents(),
        bytes: counts.groups.values().map(|n| n.1).sum(),
    };
    let mut groups: Vec<Group> = counts
        .groups
        .into_iter()
        .map(|(value, (documents, bytes))| Group { value, documents, bytes })
        .collect();
    groups.sort_by(|a, b| b.documents.cmp(&a.documents).then_with(|| a.value.cmp(&b.value)));
    if by.is_none() && !counts.fits {
        groups.clear();
    }
    Ok(Stats {
        funnel: Funnel::of_plan(&run.plan)?,
        stage,
        kept,
        text_bytes: bins(&counts.lengths),
        groups,
        by: by.unwrap_or(columns::LANGUAGE).to_owned(),
    })
}

#[derive(Debug, Default)]
struct Counts {
    /// Documents whose text has n significant bits in its length.
    lengths: BTreeMap<u32, u64>,
    groups: BTreeMap<Option<String>, (u64, u64)>,
    /// Whether any batch had the columns that are asked for.
    fits: bool,
}

impl Counts {
    fn of(part: &Part, by: &Sql) -> anyhow::Result<Self> {
        let mut counts = Self::default();
        let mut needed: Vec<&str> = by.columns().iter().map(String::as_str).collect();
        needed.push(columns::TEXT);
        rows::read_all(&part.path, Some(&needed), |batch| {
            counts.fits |= by.fits(&batch);
            for (row, value) in by.values(&batch)?.into_iter().enumerate() {
                let bytes = cell(&batch, columns::TEXT, row).map_or(0, |text| text.len() as u64);
                *counts.lengths.entry(u64::BITS - bytes.leading_zeros()).or_default() += 1;
                let group = counts.groups.entry(value).or_default();
                group.0 += 1;
                group.1 += bytes;
            }
            Ok(())
        })?;
        Ok(counts)
    }

    fn plus(mut self, other: Self) -> Self {
        for (bits, n) in other.lengths {
            *self.lengths.entry(bits).or_default() += n;
        }
        for (value, (documents, bytes)) in other.groups {
            let group = self.groups.entry(value).or_default();
            group.0 += documents;
            group.1 += bytes;
        }
        self.fits |= other.fits;
        self
    }

    fn documents(&self) -> u64 {
        self.lengths.values().sum()
    }
}

fn bins(lengths: &BTreeMap<u32, u64>) -> Vec<Bin> {
    let (Some((&first, _)), Some((&last, _))) = (lengths.first_key_value(), lengths.last_key_value()) else {
        return Vec::new();
    };
    (first..=last)
        .map(|bits| Bin {
            from: if bits == 0 { 0 } else { 1 << (bits - 1) },
            to: 1u64.checked_shl(bits).unwrap_or(u64::MAX),
            documents: lengths.get(&bits).copied().unwrap_or(0),
        })
        .collect()
}

/// Groups that are shown; the rest is summed up.
const SHOWN: usize = 40;
/// Characters of the longest bar.
const BAR: u64 = 40;

impl Stats {
    /// As tables of plain text.
    pub fn to_text(&self) -> String {
        let mut text = self.funnel.to_text();
        let Group { documents, bytes, .. } = self.kept;
        text.push_str(&format!("\n`{}` keeps {documents} documents, {bytes} bytes of text\n", self.stage));
        if documents > 0 {
            text.push_str("\nBytes of text\n");
            let most = self.text_bytes.iter().map(|bin| bin.documents).max().unwrap_or(1).max(1);
            let rows: Vec<[String; 3]> = self
                .text_bytes
                .iter()
                .map(|bin| {
                    let bar = (bin.documents * BAR).div_ceil(most) as usize;
                    let range = format!("{:>9} - {:>9}", bin.from, bin.to.saturating_sub(1));
                    [range, bin.documents.to_string(), "#".repeat(bar)]
                })
                .collect();
            text.push_str(&table(&rows));
        }
        if !self.groups.is_empty() {
            text.push('\n');
            let share = |n: u64| format!("{:.1} %", 100.0 * n as f64 / documents.max(1) as f64);
            let mut rows = vec![[one_line(&self.by, 60), "documents".into(), "share".into(), "bytes".into()]];
            for group in self.groups.iter().take(SHOWN) {
                let value = group.value.as_deref().map_or("-".to_owned(), |value| one_line(value, 60));
                rows.push([
                    value,
                    group.documents.to_string(),
                    share(group.documents),
                    group.bytes.to_string(),
                ]);
            }
            if self.groups.len() > SHOWN {
                let rest = &self.groups[SHOWN..];
                let n: u64 = rest.iter().map(|group| group.documents).sum();
                let bytes: u64 = rest.iter().map(|group| group.bytes).sum();
                rows.push([format!("… {} more", rest.len()), n.to_string(), share(n), bytes.to_string()]);
            }
            text.push_str(&table(&rows));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_powers_of_two_without_holes() {
        let bins = bins(&BTreeMap::from([(0, 1), (3, 5)]));
        let shown: Vec<_> = bins.iter().map(|bin| (bin.from, bin.to, bin.documents)).collect();
        assert_eq!(shown, [(0, 1, 1), (1, 2, 0), (2, 4, 0), (4, 8, 5)]);
        assert!(super::bins(&BTreeMap::new()).is_empty());
    }
}
