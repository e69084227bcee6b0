//! `gristmill task`.

use std::path::PathBuf;

use anyhow::Context;

use super::Exit;
use crate::exec::{Runtimes, task};
use crate::plan::Plan;

/// Do one task of a plan: what a scheduler's array job calls. Doing a done task does nothing.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The plan file (`gristmill plan CONFIG --write FILE`, or plan.json of a run).
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// The step, as `gristmill plan` lists it.
    #[arg(long, value_name = "STEP")]
    stage: String,
    /// The task, from 0 [default: from the scheduler's environment].
    #[arg(long, value_name = "N")]
    index: Option<usize>,
    /// Memory that the task may fill, such as `4GiB` [default: half of the machine's].
    #[arg(long, value_name = "SIZE", value_parser = crate::run::memory::parse)]
    memory: Option<usize>,
}

/// Where schedulers put the index of an array job: Slurm, Kubernetes, AWS Batch.
const INDEX_VARIABLES: [&str; 3] =
    ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"];

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let plan = Plan::load(&arguments.plan)?;
    let step = super::gate::step(&plan, &arguments.stage)?;
    let index = match arguments.index {
        Some(index) => index,
        None => INDEX_VARIABLES
            .iter()
            .find_map(|name| std::env::var(name).ok().map(|value| (name, value)))
            .with_context(|| format!("no `--index`, and none of {} is set", INDEX_VARIABLES.join(", ")))
            .and_then(|(name, value)| value.parse().with_context(|| format!("{name}={value} is no index")))?,
    };
    let runtimes = Runtimes::new(&plan, [step])?;
    let memory = arguments.memory.unwrap_or_else(crate::run::memory::default);
    let commit = task::run(&plan, step, index, &runtimes, memory)?;
    println!("{} task {index}: {} documents, {} files", step.id, commit.rows, commit.files.len());
    Ok(match commit.quarantined {
        None => Exit::Done,
        Some(why) => {
            eprintln!("quarantined: {why}");
            Exit::Finding
        }
    })
}
