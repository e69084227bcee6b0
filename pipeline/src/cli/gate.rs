//! `gristmill gate`.

use std::path::PathBuf;

use super::Exit;
use crate::exec::{ExecError, gate};
use crate::plan::{Plan, Step};

/// Close a step whose tasks are all done, so that the next can begin. Incomplete: names what is missing, exits 75.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The plan file.
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// The step, as `gristmill plan` lists it.
    #[arg(long, value_name = "STEP")]
    stage: String,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let plan = Plan::load(&arguments.plan)?;
    let step = step(&plan, &arguments.stage)?;
    let manifest = gate::close(&plan, step)?;
    println!("{}: {} tasks, {} documents", step.id, step.tasks, manifest.rows());
    Ok(if manifest.quarantined().next().is_none() { Exit::Done } else { Exit::Finding })
}

/// A step of a plan, or an error that lists them.
pub fn step<'a>(plan: &'a Plan, id: &str) -> Result<&'a Step, ExecError> {
    plan.step(id).ok_or_else(|| {
        let steps: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        ExecError::Usage(format!("the plan has no step `{id}`; it has {}", steps.join(", ")))
    })
}
