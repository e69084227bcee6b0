//! Picks documents out of a run or a file and shows them.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::bail;
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use gristmill_corpus::printable::{one_line, printable_json};
use gristmill_corpus::{columns, jsonl};
use gristmill_stages::html;

use super::parts::{Part, Run};
use super::rows::{self, REASON, STAGE, cell};
use super::sql::Sql;

/// What to show.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Of a run: what this stage kept (or dropped).
    pub stage: Option<String>,
    /// What was dropped instead of what was kept; `Some("")` for any reason.
    pub rejected: Option<String>,
    /// Only rows for which this SQL expression holds.
    pub condition: Option<String>,
    /// At most this many.
    pub n: usize,
}

/// Reads the documents of `target` in order, until there are as many as asked for: batches of those that fit.
///
/// # Errors
/// When the target is neither a run nor a file of documents, when the expression is wrong or names a column that is
/// nowhere, when a file cannot be read.
pub fn pick(target: &Path, question: &Question) -> anyhow::Result<Vec<RecordBatch>> {
    let condition = question.condition.as_deref().map(Sql::parse).transpose()?;
    let mut picked =
        Picked { question, condition, batches: Vec::new(), left: question.n, columns: Vec::new() };
    for part in parts(target, question)? {
        let flow = rows::read(&part.path, None, &mut |batch| picked.add(batch, part.stage.as_deref()))?;
        if flow.is_break() {
            break;
        }
    }
    picked.finish()
}

fn parts(target: &Path, question: &Question) -> anyhow::Result<Vec<Part>> {
    let stage = question.stage.as_deref();
    if Run::is_at(target) {
        let run = Run::open(target)?;
        return if question.rejected.is_some() { run.rejects(stage) } else { run.kept(stage) };
    }
    if target.is_dir() {
        bail!(
            "`{}` is a folder but no run: it has no plan.json\nhint: name a file in it, or a folder that `gristmill run` published to",
            target.display()
        );
    }
    if !target.exists() {
        bail!("`{}` is not there\nhint: a run's folder, or a file of documents", target.display());
    }
    if stage.is_some() {
        bail!("`--stage` is for runs; `{}` is a file", target.display());
    }
    Ok(vec![Part { stage: None, path: target.to_owned() }])
}

struct Picked<'a> {
    question: &'a Question,
    condition: Option<Sql>,
    batches: Vec<RecordBatch>,
    left: usize,
    /// Every column seen, for a message about one that is nowhere.
    columns: Vec<String>,
}

impl Picked<'_> {
    fn add(&mut self, batch: RecordBatch, stage: Option<&str>) -> anyhow::Result<ControlFlow<()>> {
        let is_reject = batch.column_by_name(REASON).is_some();
        let batch = match stage {
            Some(stage) if is_reject => rows::with_constant(batch, STAGE, stage)?,
            _ => batch,
        };
        for field in batch.schema_ref().fields() {
            if !self.columns.contains(field.name()) {
                self.columns.push(field.name().clone());
            }
        }
        let fits_reason = |row: usize| match self.question.rejected.as_deref() {
            // An archive hands out both: what it skips has a reason.
            None => !is_reject || stage.is_some(),
            Some("") => is_reject,
            Some(reason) => cell(&batch, REASON, row).as_deref() == Some(reason),
        };
        let mut keep: Vec<bool> = (0..batch.num_rows()).map(fits_reason).collect();
        if let Some(condition) = &self.condition {
            for (keep, holds) in keep.iter_mut().zip(condition.holds(&batch)?) {
                *keep &= holds;
            }
        }
        let found = filter_record_batch(&batch, &BooleanArray::from(keep))?;
        let n = found.num_rows().min(self.left);
        self.left -= n;
        if n > 0 {
            self.batches.push(found.slice(0, n));
        }
        Ok(if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn finish(self) -> anyhow::Result<Vec<RecordBatch>> {
        let nowhere = self
            .condition
            .iter()
            .flat_map(Sql::columns)
            .find(|column| !self.columns.is_empty() && !self.columns.contains(column));
        if let Some(column) = nowhere {
            bail!("there is no column `{column}`\nhint: there are {}", self.columns.join(", "));
        }
        Ok(self.batches)
    }
}

/// Lines of text that are shown of a document.
const TEXT_LINES: usize = 4;

/// Documents for reading: what is known of each, and the first lines of its text, `width` characters wide.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_text(out: &mut impl Write, batches: &[RecordBatch], width: usize) -> std::io::Result<()> {
    let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    for (number, (batch, row)) in rows.enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        let value = |column: &str| cell(batch, column, row).filter(|value| !value.is_empty());
        let mut facts: Vec<(&str, String)> = Vec::new();
        for column in [columns::ID, columns::URL, columns::TITLE] {
            facts.extend(value(column).map(|value| (column, value)));
        }
        let place = (value(columns::FILE_PATH), value(columns::OFFSET));
        match place {
            (Some(file), Some(offset)) => facts.push(("from", format!("{file}@{offset}"))),
            (None, Some(offset)) => facts.push(("from", format!("@{offset}"))),
            _ => {}
        }
        if let Some(language) = value(columns::LANGUAGE) {
            let score = value(columns::LANGUAGE_SCORE).and_then(|score| score.parse::<f64>().ok());
            let score = score.map_or_else(String::new, |score| format!(" {score:.3}"));
            facts.push(("language", language + &score));
        }
        if let Some(reason) = value(REASON) {
            let stage = value(STAGE).map_or_else(String::new, |stage| format!(" ({stage})"));
            facts.push(("dropped", reason + &stage));
        }
        for (name, value) in facts {
            writeln!(out, "{name:<8}  {}", one_line(&value, width.saturating_sub(10)))?;
        }
        let text = value(columns::TEXT).or_else(|| {
            let page = value(columns::HTML)?;
            Some(html::extract(&page, &html::Options::default()).text)
        });
        let Some(text) = text else { continue };
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        for line in lines.by_ref().take(TEXT_LINES) {
            writeln!(out, "    {}", one_line(line, width.saturating_sub(4)))?;
        }
        match lines.count() {
            0 => {}
            1 => writeln!(out, "    … 1 more line")?,
            n => writeln!(out, "    … {n} more lines")?,
        }
    }
    Ok(())
}

/// One JSON object a document, with all its columns.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_json(out: &mut impl Write, batches: &[RecordBatch]) -> anyhow::Result<()> {
    for batch in batches {
        let mut json = Vec::new();
        jsonl::write(&mut json, batch)?;
        out.write_all(printable_json(&String::from_utf8_lossy(&json)).as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, LargeStringArray};

    use super::*;

    fn shown(columns: &[(&str, &str)]) -> String {
        let arrays = columns
            .iter()
            .map(|(name, value)| (*name, Arc::new(LargeStringArray::from(vec![*value])) as ArrayRef));
        let batch = RecordBatch::try_from_iter(arrays).unwrap();
        let mut out = Vec::new();
        write_text(&mut out, &[batch], 40).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_document_is_cut_to_the_width_and_to_its_first_lines() {
        let text = "one\n\ntwo two two two two two two two two two\nthree\nfour\nfive\nsix";
        assert_eq!(
            shown(&[("id", "urn:1"), ("reason", "too_short"), ("stage", "gopher"), ("text", text)]),
            "id        urn:1\ndropped   too_short (gopher)\n    one\n    two two two two two two two two two…\n    three\n    four\n    … 2 more lines\n"
        );
    }

    #[test]
    fn pages_are_shown_as_text_and_escapes_written_out() {
        let shown = shown(&[("url", "http://a.example/\u{1b}[2J"), ("html", "<p>Hello \u{9b}31m<b>you</b>")]);
        assert!(shown.contains("http://a.example/\\u{1b}[2J"), "{shown}");
        assert!(shown.contains("you"), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown}");
    }
}
