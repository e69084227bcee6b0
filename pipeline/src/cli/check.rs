//! `gristmill check`.

use std::path::PathBuf;

use super::Exit;
use crate::config::Recipe;

/// Report every mistake in a recipe. Touches no crawl data.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The recipe, a TOML file.
    config: PathBuf,
    /// Change the recipe first, as `run --set` does.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let recipe = Recipe::load(&arguments.config, &arguments.sets)?;
    println!("{}: {} stages, no mistakes", arguments.config.display(), recipe.stages.len());
    Ok(Exit::Done)
}
