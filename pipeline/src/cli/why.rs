//! `gristmill why`.

use super::{Exit, print};
use crate::config::Recipe;
use crate::report::why::{self, Locator};

/// Replay one document through a recipe: every stage's numbers and verdict.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gristmill why configs/quickstart.toml https://clockroom.example.com/\n  gristmill why configs/quickstart.toml crawl/GRIST-QUICKSTART-00000.warc.gz@0"
)]
pub struct Arguments {
    #[command(flatten)]
    recipe: super::RecipeArguments,
    /// The document: its address or id, or FILE@OFFSET (for JSON lines the number of the line).
    #[arg(value_name = "URL|FILE@OFFSET")]
    document: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let options = arguments.recipe.options();
    let recipe = Recipe::load(&options.recipe, &options.sets)?;
    let (plan, out) = crate::run::plan(&options)?;
    let plan = if options.store.is_some() { plan } else { why::with_store_of(plan, &out) };
    let why = why::replay(&recipe, &plan, &Locator::parse(&arguments.document))?;
    if arguments.json {
        super::print_json(&why)?;
    } else {
        print(&why.to_text())?;
    }
    Ok(Exit::Done)
}
