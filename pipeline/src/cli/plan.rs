//! `gristmill plan`.

use super::Exit;
use crate::plan::show;

/// Show what a recipe comes to: steps, tasks, and what is done already. Reads no documents.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: super::RecipeArguments,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The same as `--format json`.
    #[arg(long)]
    json: bool,
    /// Also write the plan file that `task` and `gate` take.
    #[arg(long, value_name = "FILE")]
    write: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum Format {
    /// One line a step.
    Text,
    /// The plan file.
    Json,
    /// Graphviz.
    Dot,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (plan, _) = crate::run::plan(&arguments.recipe.options())?;
    if let Some(path) = &arguments.write {
        gristmill_corpus::files::write_json(path, &plan)?;
    }
    match if arguments.json { Format::Json } else { arguments.format } {
        Format::Text => print!("{}", show::text(&plan)?),
        Format::Json => println!("{}", serde_json::to_string_pretty(&plan)?),
        Format::Dot => print!("{}", show::dot(&plan)),
    }
    Ok(Exit::Done)
}
