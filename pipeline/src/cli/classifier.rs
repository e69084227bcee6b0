//! `gristmill classifier`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gristmill_corpus::printable::printable;
use gristmill_stages::classifier::{self, Examples, Report, Settings};

use super::{Exit, print};
use crate::report::rows;
use crate::run::funnel::table;

/// Train a fastText classifier of texts, for the stage `classify`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Train on labelled texts (Parquet or JSON lines) and measure on those held out.
    ///
    /// Either name a set a label, `hq=good.jsonl cc=crawl.parquet`, or files whose rows have a label, with `--label-field`.
    /// The texts are held in memory. A label needs 20 different texts.
    #[command(
        after_help = "Examples:\n  gristmill classifier train hq=good.jsonl.gz cc=crawl.jsonl.gz --out quality.bin\n  gristmill classifier train pages.jsonl --label-field quality --json"
    )]
    Train(Train),
}

#[derive(Debug, clap::Args)]
struct Train {
    /// `LABEL=FILE`, more than one file a label if need be; or files alone, with `--label-field`.
    #[arg(required = true, value_name = "LABEL=FILE")]
    sets: Vec<String>,
    /// The field that holds the label of a row.
    #[arg(long, value_name = "FIELD")]
    label_field: Option<String>,
    /// The field that holds the text.
    #[arg(long, value_name = "FIELD", default_value = "text")]
    text_field: String,
    /// Where to write the model.
    #[arg(long, value_name = "FILE", default_value = "classifier.bin")]
    out: PathBuf,
    /// Length of the vectors.
    #[arg(long, value_name = "N", default_value_t = Settings::default().dimension)]
    dimension: u16,
    /// Passes over the texts.
    #[arg(long, value_name = "N", default_value_t = Settings::default().epochs)]
    epochs: u16,
    /// How far a step goes at the beginning.
    #[arg(long, value_name = "RATE", default_value_t = Settings::default().learning_rate)]
    learning_rate: f64,
    /// Longest sequence of words that is a feature of its own.
    #[arg(long, value_name = "N", default_value_t = Settings::default().word_ngrams)]
    word_ngrams: u16,
    /// Slots for sequences of words.
    #[arg(long, value_name = "N", default_value_t = Settings::default().buckets)]
    buckets: u32,
    /// Words that are rarer than this are left out.
    #[arg(long, value_name = "N", default_value_t = Settings::default().minimum_word_count)]
    minimum_word_count: u32,
    /// The share of texts that is held out to measure by.
    #[arg(long, value_name = "SHARE", default_value_t = Settings::default().held_out)]
    held_out: f64,
    /// Another seed holds out other texts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Command::Train(train) = &arguments.command;
    train.run()
}

impl Train {
    fn run(&self) -> anyhow::Result<Exit> {
        let mut examples = Examples::new(self.seed);
        for set in &self.sets {
            match (&self.label_field, set.split_once('=')) {
                (Some(field), _) => self.read(Path::new(set), Label::Field(field), &mut examples)?,
                (None, Some((label, file))) => self.read(Path::new(file), Label::Is(label), &mut examples)?,
                (None, None) => bail!(
                    "`{set}` names no label\nhint: write LABEL=FILE, or say with `--label-field` which field holds the label"
                ),
            }
        }
        let settings = Settings {
            dimension: self.dimension,
            epochs: self.epochs,
            learning_rate: self.learning_rate,
            word_ngrams: self.word_ngrams,
            buckets: self.buckets,
            minimum_word_count: self.minimum_word_count,
            held_out: self.held_out,
        };
        let report = classifier::train(&examples, &settings, &self.out)?;
        if self.json {
            super::print_json(&report)?;
        } else {
            print(&text(&report, &self.out))?;
        }
        Ok(Exit::Done)
    }

    fn read(&self, path: &Path, label: Label<'_>, examples: &mut Examples) -> anyhow::Result<()> {
        let mut columns = vec![self.text_field.as_str()];
        if let Label::Field(field) = label {
            columns.push(field);
        }
        let mut n = 0;
        rows::read_all(path, Some(&columns), |batch| {
            for row in 0..batch.num_rows() {
                n += 1;
                let cell = |column: &str| {
                    let here = || format!("row {n} of `{}` has no `{column}`", path.display());
                    rows::cell(&batch, column, row).with_context(here)
                };
                let text = cell(&self.text_field)?;
                let label = match label {
                    Label::Is(label) => label.to_owned(),
                    Label::Field(field) => cell(field)?,
                };
                let here = || format!("row {n} of `{}`", path.display());
                examples.add(&label, &text).with_context(here)?;
            }
            Ok(())
        })
    }
}

/// Where the label of a row is.
#[derive(Clone, Copy)]
enum Label<'a> {
    Is(&'a str),
    Field(&'a str),
}

/// The report for people.
fn text(report: &Report, out: &Path) -> String {
    let share = |share: f64| format!("{share:.3}");
    let Report { n_trained, n_held_out, accuracy, macro_f1, majority, labels } = report;
    let mut text = format!("{}: {n_trained} texts, measured on {n_held_out} others\n\n", out.display());
    let mut rows = vec![["label", "texts", "precision", "recall", "F1", ""].map(String::from)];
    for row in labels {
        let [precision, recall, f1] = [row.precision, row.recall, row.f1].map(share);
        rows.push([printable(&row.label), row.n.to_string(), precision, recall, f1, String::new()]);
    }
    text += &table(&rows);
    text += &format!(
        "\naccuracy {}, mean F1 {}; all as `{}`: accuracy {}, mean F1 {}\n\n",
        share(*accuracy),
        share(*macro_f1),
        printable(&majority.label),
        share(majority.accuracy),
        share(majority.macro_f1)
    );
    for row in labels {
        let called: Vec<String> =
            row.called.iter().map(|(label, n)| format!("{n} as `{}`", printable(label))).collect();
        text += &format!("`{}` was called: {}\n", printable(&row.label), called.join(", "));
    }
    text
}
