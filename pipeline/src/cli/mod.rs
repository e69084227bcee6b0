//! The command line: one file a command. Results go to standard output, everything else to standard error.

mod assets;
mod check;
mod classifier;
mod diff;
mod exit;
mod export;
mod extract;
mod gate;
mod lines;
mod plan;
mod preview;
mod run;
mod schema;
mod stages;
mod stats;
mod task;
mod tokenizer;
mod trace;
mod trainer;
mod why;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use exit::Exit;

/// Grinds web crawls into training corpora, and corpora into language models.
#[derive(Debug, Parser)]
#[command(
    name = "gristmill",
    version,
    after_help = "Examples:\n  gristmill run configs/quickstart.toml\n  gristmill stages gopher_quality\n  gristmill preview runs/quickstart --rejected -n 5",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Plan(plan::Arguments),
    Check(check::Arguments),
    Preview(preview::Arguments),
    Stats(stats::Arguments),
    Diff(diff::Arguments),
    Why(why::Arguments),
    Trace(trace::Arguments),
    Extract(extract::Arguments),
    Export(export::Arguments),
    Tokenizer(tokenizer::Arguments),
    Classifier(classifier::Arguments),
    Task(task::Arguments),
    Gate(gate::Arguments),
    Stages(stages::Arguments),
    Schema(schema::Arguments),
    Assets(assets::Arguments),
    #[command(flatten)]
    Trainer(trainer::Command),
}

/// What `run`, `plan` and others have in common.
#[derive(Debug, Clone, clap::Args)]
struct RecipeArguments {
    /// The recipe, a TOML file.
    config: PathBuf,
    /// Where results are published [default: runs/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where results are kept; runs that share a store share results [default: OUT/store].
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Tasks at a time [default: the number of cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Memory that all tasks together may fill, such as `4GiB`: below what an exchange would like, it goes to disk; what
    /// comes out is the same [default: half of the machine's].
    #[arg(long, value_name = "SIZE", value_parser = crate::run::memory::parse)]
    memory: Option<usize>,
    /// Change the recipe: `--set stage.gopher_quality.min_words=80`. Can be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

impl RecipeArguments {
    fn options(&self) -> crate::run::RunOptions {
        crate::run::RunOptions {
            recipe: self.config.clone(),
            out: self.out.clone(),
            store: self.store.clone(),
            jobs: self.jobs.map(usize::from),
            memory: self.memory,
            sets: self.sets.clone(),
        }
    }
}

/// Parses the command line, runs the command and reports an error as `error: …`.
pub fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("GRISTMILL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let color =
        std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .without_time()
        .with_target(false)
        .init();
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Run(arguments) => run::main(&arguments),
        Command::Plan(arguments) => plan::main(&arguments),
        Command::Check(arguments) => check::main(&arguments),
        Command::Task(arguments) => task::main(&arguments),
        Command::Gate(arguments) => gate::main(&arguments),
        Command::Stages(arguments) => stages::main(&arguments),
        Command::Schema(arguments) => schema::main(&arguments),
        Command::Assets(arguments) => assets::main(&arguments),
        Command::Preview(arguments) => preview::main(&arguments),
        Command::Stats(arguments) => stats::main(&arguments),
        Command::Diff(arguments) => diff::main(&arguments),
        Command::Why(arguments) => why::main(&arguments),
        Command::Trace(arguments) => trace::main(&arguments),
        Command::Extract(arguments) => extract::main(&arguments),
        Command::Export(arguments) => export::main(&arguments),
        Command::Tokenizer(arguments) => tokenizer::main(&arguments),
        Command::Classifier(arguments) => classifier::main(&arguments),
        Command::Trainer(command) => trainer::main(&command),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error).into(),
    }
}

/// Prints a result. A reader that went away gives an error that [`exit::report`] knows, not a panic.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints a result as indented JSON in which nothing can disturb a terminal.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(value)?;
    Ok(print(&(gristmill_corpus::printable::printable_json(&json) + "\n"))?)
}

/// Characters a line has: of the terminal where the shell says, else 100, so that files are the same everywhere.
fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.unwrap_or(100).clamp(40, 400)
}

/// The whole command line as text, for the reference.
pub fn reference() -> String {
    fn section(command: &mut clap::Command, path: &str, text: &mut String) {
        text.push_str(&format!("## `{path}`\n\n```text\n{}```\n\n", command.render_long_help()));
        let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        for name in names {
            if let Some(sub) = command.find_subcommand_mut(&name) {
                section(sub, &format!("{path} {name}"), text);
            }
        }
    }
    let mut command = Arguments::command().term_width(100).disable_help_subcommand(true);
    let mut text = String::from("# Command line\n\nGenerated from the commands' own help; do not edit.\n\n");
    section(&mut command, "gristmill", &mut text);
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}
