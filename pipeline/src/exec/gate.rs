//! Turns a complete set of commits into the step's manifest.

use gristmill_corpus::manifest::Manifest;

use super::ExecError;
use super::store::StepFolder;
use crate::plan::{Plan, Step};

/// Closes a step whose tasks are all committed. Closing a closed step gives its manifest.
///
/// # Errors
/// [`ExecError::Incomplete`] names the tasks that are missing.
pub fn close(plan: &Plan, step: &Step) -> Result<Manifest, ExecError> {
    let folder = StepFolder::new(&plan.store, step);
    if let Some(manifest) = folder.manifest()? {
        return Ok(manifest);
    }
    let mut commits = Vec::with_capacity(step.tasks);
    let mut missing = Vec::new();
    for task in 0..step.tasks {
        match folder.commit(task)? {
            Some(commit) => commits.push(commit),
            None => missing.push(task.to_string()),
        }
    }
    if !missing.is_empty() {
        let more = missing.len().saturating_sub(10);
        missing.truncate(10);
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        let missing = format!("of {} tasks, missing {}{tail}", step.tasks, missing.join(", "));
        return Err(ExecError::Incomplete { step: step.id.clone(), missing });
    }
    let manifest = Manifest::new(&step.id, step.fingerprint.clone(), commits);
    folder.close(&manifest)?;
    Ok(manifest)
}
