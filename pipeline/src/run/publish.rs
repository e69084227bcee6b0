//! Puts a run's files where people look: `<out>/<stage>/…`, hard links into the store where that is possible.

use std::fs;
use std::path::Path;

use anyhow::Context;
use gristmill_corpus::files;
use gristmill_corpus::manifest::Manifest;

use crate::exec::store::StepFolder;
use crate::plan::{Plan, Step};

/// The file that says which result a published folder holds.
const MARKER: &str = ".fingerprint";

/// Publishes the files of every step that has some to show. A folder that holds the right result already is left
/// alone; another is replaced as a whole.
pub fn publish(plan: &Plan, manifests: &[Manifest], out: &Path) -> anyhow::Result<()> {
    for (step, manifest) in plan.steps.iter().zip(manifests).filter(|(step, _)| step.publish) {
        let target = out.join(&step.id);
        if fs::read_to_string(target.join(MARKER)).is_ok_and(|held| held == step.fingerprint.as_str()) {
            continue;
        }
        one(plan, step, manifest, &target)
            .with_context(|| format!("cannot publish `{}` to `{}`", step.id, target.display()))?;
    }
    Ok(())
}

fn one(plan: &Plan, step: &Step, manifest: &Manifest, target: &Path) -> anyhow::Result<()> {
    let folder = StepFolder::new(&plan.store, step);
    let temporary = target.with_extension(format!("new-{}", std::process::id()));
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    files::create_folder(&temporary)?;
    for commit in &manifest.commits {
        for file in commit.files.iter().filter(|file| !file.name.starts_with("rejects-")) {
            let from = folder.output(commit).join(&file.name);
            let to = temporary.join(&file.name);
            if let Some(parent) = to.parent() {
                files::create_folder(parent)?;
            }
            // Another disk, or one without links: copy.
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
            }
        }
    }
    fs::write(temporary.join(MARKER), step.fingerprint.as_str())?;
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    fs::rename(&temporary, target)?;
    Ok(())
}
