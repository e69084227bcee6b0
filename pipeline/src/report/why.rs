//! Replays one document through a recipe: what every stage saw, made of it and decided.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, bail};
use gristmill_corpus::printable::one_line;
use gristmill_corpus::{DocBatch, columns};
use gristmill_stages::stage::{BuildContext, Runtime, Skipped, Source, SourceOutput, Split};
use gristmill_stages::{Documents, StageError, Verdict};
use rayon::prelude::*;
use serde::Serialize;

use super::parts::Run;
use super::rows::{self, REASON, cell};
use crate::config::Recipe;
use crate::exec::{self, ExecError};
use crate::plan::{Head, Plan, PlanSplit, Work};
use crate::run::funnel::table;

/// Which document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locator {
    /// By its address or id.
    Name(String),
    /// By where it stands: an input file (whole path, or the end of it) and the record's offset.
    Place(String, u64),
}

impl Locator {
    /// `FILE@OFFSET`, or anything else as an address.
    pub fn parse(text: &str) -> Self {
        if let Some((file, offset)) = text.rsplit_once('@')
            && !text.contains("://")
            && let Ok(offset) = offset.parse()
        {
            return Self::Place(file.to_owned(), offset);
        }
        Self::Name(text.to_owned())
    }

    fn may_be_in(&self, split: &PlanSplit) -> bool {
        match self {
            Self::Name(_) => true,
            Self::Place(file, _) => split.name == *file || split.path.ends_with(file),
        }
    }

    fn fits(&self, id: &str, url: &str, offset: u64) -> bool {
        match self {
            Self::Name(name) => name == url || name == id,
            Self::Place(_, at) => *at == offset,
        }
    }
}

/// What a stage did with the document.
#[derive(Debug, Serialize)]
pub struct Passage {
    /// The stage.
    pub stage: String,
    /// Its kind.
    pub kind: String,
    /// `keep`, `drop`, `unknown` (a stage that needs the other documents) or `writes` (the end of a branch).
    pub verdict: &'static str,
    /// Why it was dropped.
    pub reason: Option<String>,
    /// Bytes of text (of markup before extraction) that came in; `None` for a source.
    pub bytes_in: Option<u64>,
    /// Bytes of the same that went on.
    pub bytes_out: Option<u64>,
    /// What else is known: words and lines of the text, and every column that the stage wrote.
    pub numbers: BTreeMap<String, String>,
    /// What a reader should know.
    pub note: Option<String>,
}

/// A document's way.
#[derive(Debug, Serialize)]
pub struct Why {
    /// Its id.
    pub id: String,
    /// Its address.
    pub url: String,
    /// The input file.
    pub file_path: String,
    /// Where in it.
    pub offset: u64,
    /// The stages, in the order of the recipe, as far as it came.
    pub stages: Vec<Passage>,
}

/// Finds a document in a recipe's inputs and replays it. `plan` is the recipe's, with the store where finished results
/// may be.
///
/// # Errors
/// When no record fits, with the addresses that are most like it; when a stage fails.
pub fn replay(recipe: &Recipe, plan: &Plan, locator: &Locator) -> anyhow::Result<Why> {
    let context = BuildContext { base: plan.base.clone(), seed: plan.seed };
    let (source, found) = find(recipe, plan, &context, locator)?;
    let mut alive: BTreeMap<usize, Documents> = BTreeMap::new();
    let mut why =
        Why { id: found.id, url: found.url, file_path: found.file, offset: found.offset, stages: Vec::new() };
    let stage = &recipe.stages[source];
    let mut passage = Passage::new(&stage.id, stage.kind.kind);
    match found.record {
        Record::Document(batch) => {
            let documents = Documents::new(batch);
            passage.bytes_out = Some(content_bytes(&documents));
            passage.numbers = written(None, &documents);
            alive.insert(source, documents);
        }
        Record::Skipped(reason) => {
            passage.verdict = "drop";
            passage.reason = Some(reason.to_owned());
        }
    }
    why.stages.push(passage);
    for (index, stage) in recipe.stages.iter().enumerate() {
        let Some(documents) = stage.inputs.iter().find_map(|input| alive.get(input)) else { continue };
        let documents = Documents::new(documents.batch().clone());
        let mut passage = Passage::new(&stage.id, stage.kind.kind);
        let bytes = content_bytes(&documents);
        passage.bytes_in = Some(bytes);
        passage.numbers = measured(&documents);
        let runtime = match exec::runtime(plan, &stage.id) {
            Ok(runtime) => runtime,
            Err(ExecError::Incomplete { step, .. }) => {
                passage.verdict = "unknown";
                passage.note = Some(format!(
                    "it needs what `{step}` makes of all documents: `gristmill run` this recipe, then ask again"
                ));
                why.stages.push(passage);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match runtime {
            Runtime::Filter(filter) => {
                passage.decide(filter.verdicts(&documents)?.first());
                passage.bytes_out = Some(bytes);
                if passage.verdict == "keep" {
                    alive.insert(index, documents);
                }
            }
            Runtime::Map(map) => {
                let before = documents.batch().clone();
                let (after, verdicts) = map.map(documents)?;
                passage.decide(verdicts.first());
                passage.bytes_out = Some(content_bytes(&after));
                passage.numbers.extend(written(Some(&before), &after));
                if passage.verdict == "keep" {
                    alive.insert(index, after);
                }
            }
            Runtime::Exchange(_) => {
                passage.bytes_out = Some(bytes);
                look_up(plan, &stage.id, &why, &mut passage)?;
                if passage.verdict != "drop" {
                    alive.insert(index, documents);
                }
            }
            Runtime::Spans(_) => {
                look_up(plan, &stage.id, &why, &mut passage)?;
                if passage.verdict != "drop" {
                    // What stages below see may be shorter.
                    let note = passage.note.take().unwrap_or_default();
                    passage.note = Some(format!(
                        "{note}; parts of the text may have been cut out, which stages below do not show"
                    ));
                    alive.insert(index, documents);
                }
            }
            Runtime::Sink(_) | Runtime::Gather(_) => passage.verdict = "writes",
            Runtime::Source(_) | Runtime::Process(_) => continue,
        }
        why.stages.push(passage);
    }
    Ok(why)
}

impl Passage {
    fn new(stage: &str, kind: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            kind: kind.to_owned(),
            verdict: "keep",
            reason: None,
            bytes_in: None,
            bytes_out: None,
            numbers: BTreeMap::new(),
            note: None,
        }
    }

    fn decide(&mut self, verdict: Option<&Verdict>) {
        if let Some(Verdict::Drop(reason)) = verdict {
            self.verdict = "drop";
            self.reason = Some((*reason).to_owned());
        }
    }
}

/// An exchange cannot be replayed with one document. If the same recipe was run, the run knows.
fn look_up(plan: &Plan, stage: &str, why: &Why, passage: &mut Passage) -> anyhow::Result<()> {
    passage.verdict = "unknown";
    let run = Run { plan: plan.clone() };
    if !run.is_complete(stage)? {
        let note = "it compares documents and needs the others: `gristmill run` this recipe, then ask again";
        passage.note = Some(note.to_owned());
        return Ok(());
    }
    for part in run.rejects(Some(stage))? {
        let mut reason = None;
        let _ = rows::read(&part.path, None, &mut |batch| {
            for row in 0..batch.num_rows() {
                let value = |column: &str| cell(&batch, column, row).unwrap_or_default();
                // Ids can repeat: the place in the input cannot.
                if value(columns::ID) == why.id
                    && value(columns::FILE_PATH) == why.file_path
                    && value(columns::OFFSET) == why.offset.to_string()
                {
                    reason = Some(value(REASON));
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if reason.is_some() {
            passage.verdict = "drop";
            passage.reason = reason;
            passage.note = Some("as the finished run of this recipe decided".into());
            return Ok(());
        }
    }
    passage.verdict = "keep";
    passage.note = Some("as the finished run of this recipe decided".into());
    Ok(())
}

fn content_bytes(documents: &Documents) -> u64 {
    let batch = documents.batch();
    let values = batch.strings(columns::TEXT).or_else(|_| batch.strings(columns::HTML));
    values.map_or(0, |values| values.iter().flatten().map(str::len).sum::<usize>() as u64)
}

/// What can be said of the text that a stage gets.
fn measured(documents: &Documents) -> BTreeMap<String, String> {
    let mut numbers = BTreeMap::new();
    if let (Ok(texts), Ok(view)) = (documents.strings(columns::TEXT), documents.words(0)) {
        numbers.insert("words".to_owned(), view.words().len().to_string());
        numbers.insert("lines".to_owned(), texts.value(0).lines().count().to_string());
    }
    numbers
}

/// The columns that are new or changed, but for markup and text.
fn written(before: Option<&DocBatch>, after: &Documents) -> BTreeMap<String, String> {
    let after = after.batch().record_batch();
    let mut numbers = BTreeMap::new();
    for field in after.schema_ref().fields() {
        let name = field.name().as_str();
        if [columns::HTML, columns::TEXT, columns::ID, columns::URL, columns::FILE_PATH, columns::OFFSET]
            .contains(&name)
        {
            continue;
        }
        let value = cell(after, name, 0);
        if let Some(value) = value.filter(|value| !value.is_empty())
            && before.and_then(|before| cell(before.record_batch(), name, 0)).as_ref() != Some(&value)
        {
            numbers.insert(name.to_owned(), value);
        }
    }
    numbers
}

enum Record {
    Document(DocBatch),
    Skipped(&'static str),
}

struct Found {
    id: String,
    url: String,
    file: String,
    offset: u64,
    record: Record,
}

/// The first record that fits, in the order of the recipe, and the index of its source.
fn find(
    recipe: &Recipe,
    plan: &Plan,
    context: &BuildContext,
    locator: &Locator,
) -> anyhow::Result<(usize, Found)> {
    let mut near: Vec<(usize, String)> = Vec::new();
    let mut unread = Vec::new();
    let mut n_files = 0;
    for (index, stage) in recipe.stages.iter().enumerate() {
        let Some(splits) = splits(plan, &stage.id) else { continue };
        let Runtime::Source(source) = stage.configured.build(context)? else { continue };
        let splits: Vec<&PlanSplit> = splits.iter().filter(|split| locator.may_be_in(split)).collect();
        n_files += splits.len();
        let looked = splits.par_iter().map(|split| look(source.as_ref(), split, locator));
        for outcome in looked.collect::<Vec<_>>() {
            match outcome {
                Ok(Looked::Found(found)) => return Ok((index, *found)),
                Ok(Looked::Near(some)) => near.extend(some),
                Err(error) => unread.push(error.to_string()),
            }
        }
    }
    for error in &unread {
        tracing::warn!("{error}");
    }
    match locator {
        Locator::Place(file, _) if n_files == 0 => {
            bail!("no source of this recipe reads `{file}`\nhint: `gristmill plan` counts the files of each")
        }
        Locator::Place(file, offset) => bail!(
            "no record of `{file}` stands at {offset}\nhint: the `offset` column of a document says where its record stands"
        ),
        Locator::Name(name) => {
            near.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            near.dedup();
            let urls: Vec<String> =
                near.iter().take(3).map(|(_, url)| format!("  {}", one_line(url, 160))).collect();
            let hint = if urls.is_empty() {
                "no record has an address".to_owned()
            } else {
                format!("the most alike are\n{}", urls.join("\n"))
            };
            bail!("no record of the {n_files} input files has the address or id `{name}`\nhint: {hint}")
        }
    }
}

fn splits<'a>(plan: &'a Plan, source: &str) -> Option<&'a [PlanSplit]> {
    plan.steps.iter().find_map(|step| match &step.work {
        Work::Segment { head: Head::Splits { stage, splits }, .. } if stage == source => {
            Some(splits.as_slice())
        }
        _ => None,
    })
}

enum Looked {
    Found(Box<Found>),
    /// The addresses most like the one looked for, with how many bytes they have in common with it.
    Near(Vec<(usize, String)>),
}

fn look(source: &dyn Source, split: &PlanSplit, locator: &Locator) -> anyhow::Result<Looked> {
    let mut catch = Catch { locator, file: &split.name, found: None, near: Vec::new() };
    let outcome = source.read(&Split { path: split.path.clone(), name: split.name.clone() }, &mut catch);
    if let Some(found) = catch.found {
        return Ok(Looked::Found(Box::new(found)));
    }
    outcome.with_context(|| format!("split `{}`", split.name))?;
    Ok(Looked::Near(catch.near))
}

/// Catches the record that is looked for, and ends the reading with an error then: a source has no other word for
/// "enough".
struct Catch<'a> {
    locator: &'a Locator,
    file: &'a str,
    found: Option<Found>,
    near: Vec<(usize, String)>,
}

impl Catch<'_> {
    fn found(&mut self, id: &str, url: &str, offset: u64, record: Record) -> Result<(), StageError> {
        let file = self.file.to_owned();
        self.found = Some(Found { id: id.to_owned(), url: url.to_owned(), file, offset, record });
        Err(StageError::Engine("found".into()))
    }

    fn is_near(&mut self, url: &str) {
        let Locator::Name(name) = self.locator else { return };
        let common = alike(name, url);
        if common == 0 {
            return;
        }
        self.near.push((common, url.to_owned()));
        if self.near.len() > 64 {
            self.near.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            self.near.dedup();
            self.near.truncate(3);
        }
    }
}

/// How much of two addresses agrees, from the host on: bytes of the common beginning, 0 without a common host.
fn alike(a: &str, b: &str) -> usize {
    let rest = |url: &str| -> String {
        let url = url.split_once("://").map_or(url, |(_, rest)| rest);
        url.strip_prefix("www.").unwrap_or(url).to_lowercase()
    };
    let (a, b) = (rest(a), rest(b));
    let host = |url: &str| url.find(['/', '?', '#']).unwrap_or(url.len());
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    if common < host(&a).min(host(&b)) { 0 } else { common }
}

impl SourceOutput for Catch<'_> {
    fn documents(&mut self, batch: DocBatch) -> Result<(), StageError> {
        let ids = batch.strings(columns::ID)?;
        let urls = batch.strings(columns::URL)?;
        let offsets = batch.unsigned(columns::OFFSET)?;
        for row in 0..batch.len() {
            if self.locator.fits(ids.value(row), urls.value(row), offsets.value(row)) {
                let keep: Vec<bool> = (0..batch.len()).map(|other| other == row).collect();
                let record = Record::Document(batch.clone().retain(&keep)?);
                return self.found(ids.value(row), urls.value(row), offsets.value(row), record);
            }
            self.is_near(urls.value(row));
        }
        Ok(())
    }

    fn skip(&mut self, skipped: Skipped<'_>) -> Result<(), StageError> {
        if self.locator.fits(skipped.id, skipped.url, skipped.offset) {
            return self.found(skipped.id, skipped.url, skipped.offset, Record::Skipped(skipped.reason));
        }
        self.is_near(skipped.url);
        Ok(())
    }
}

impl Why {
    /// A line a stage.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in [("id", &self.id), ("url", &self.url)] {
            text.push_str(&format!("{name:<4}  {}\n", one_line(value, 200)));
        }
        text.push_str(&format!("from  {}@{}\n\n", one_line(&self.file_path, 200), self.offset));
        let mut rows = vec![["stage", "bytes in", "bytes out", "verdict", ""].map(String::from)];
        for passage in &self.stages {
            let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
            let verdict = passage
                .reason
                .as_ref()
                .map_or_else(|| passage.verdict.to_owned(), |reason| format!("{} {reason}", passage.verdict));
            let mut about: Vec<String> = passage
                .numbers
                .iter()
                .map(|(name, value)| format!("{name} {}", one_line(value, 40)))
                .collect();
            about.extend(passage.note.clone());
            rows.push([
                passage.stage.clone(),
                number(passage.bytes_in),
                number(passage.bytes_out),
                verdict,
                about.join(", "),
            ]);
        }
        text.push_str(&table(&rows));
        text
    }
}

/// The plan with the store of the run in `out`, if there is one: results of the same fingerprint are found there.
pub fn with_store_of(plan: Plan, out: &Path) -> Plan {
    match Run::open(out) {
        Ok(run) => Plan { store: run.plan.store, ..plan },
        Err(_) => plan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_addresses_are_told_apart() {
        assert_eq!(Locator::parse("a/b.warc.gz@120"), Locator::Place("a/b.warc.gz".into(), 120));
        for name in ["http://u@h.example/@12", "urn:uuid:1", "a@b"] {
            assert_eq!(Locator::parse(name), Locator::Name(name.into()));
        }
    }

    #[test]
    fn addresses_of_one_host_are_alike() {
        assert_eq!(alike("http://www.a.example/x/y", "https://a.example/x/z"), 12);
        assert_eq!(alike("http://a.example/", "http://b.example/"), 0);
        assert_eq!(alike("http://a.example", "http://a.example/x"), 9);
    }
}
