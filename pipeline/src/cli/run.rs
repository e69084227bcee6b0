//! `gristmill run`.

use std::time::Instant;

use super::Exit;
use crate::run::funnel::Funnel;

/// Run a recipe: does what is not done yet, publishes results, prints the funnel.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 done; 1 done, but inputs were quarantined; 2 the recipe is wrong; 75 try again."
)]
pub struct Arguments {
    #[command(flatten)]
    recipe: super::RecipeArguments,
    /// Print the funnel as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let finished = crate::run::run(&arguments.recipe.options())?;
    let funnel = Funnel::new(&finished.plan, &finished.done.manifests);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&funnel)?);
    } else {
        print!("{}", funnel.to_text());
        for summary in crate::run::summary::of(&finished.plan, &finished.out) {
            println!("\n{summary}");
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (steps, skipped) = (finished.plan.steps.len(), finished.done.skipped);
    if skipped == steps {
        eprintln!("nothing to do: all {steps} steps were done before ({seconds:.2} s)");
    } else {
        eprintln!(
            "{} of {steps} steps run, {skipped} done before, {} tasks in {seconds:.1} s",
            steps - skipped,
            finished.done.tasks
        );
    }
    eprintln!("results are in {}", finished.out.display());
    Ok(if funnel.quarantined.is_empty() { Exit::Done } else { Exit::Finding })
}
