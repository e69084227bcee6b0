//! Where a run keeps its token shards: its own folder, or those that its stages published.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The folders below `target` that hold token shards: itself, or those of published stages, sorted; of one stage if it is
/// named.
///
/// # Errors
/// When there is none, or `target` cannot be read.
pub fn of(target: &Path, stage: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    let found = holding(target, stage, |folder| Ok(!splits(folder)?.is_empty()))?;
    if found.is_empty() {
        bail!(
            "no token shards are in `{}`\nhint: name a run whose recipe has a `token_shards` stage, or a folder with \
             train-00000.meta.json",
            target.display()
        );
    }
    Ok(found)
}

/// `target` itself or those of its folders, sorted, for which `holds` says yes; of one stage if it is named.
///
/// # Errors
/// When a folder cannot be read.
pub fn holding(
    target: &Path,
    stage: Option<&str>,
    holds: impl Fn(&Path) -> anyhow::Result<bool>,
) -> anyhow::Result<Vec<PathBuf>> {
    if let Some(stage) = stage {
        let folder = target.join(stage);
        if !folder.is_dir() {
            bail!("`{}` has no folder of a stage `{stage}`", target.display());
        }
        return Ok(if holds(&folder)? { vec![folder] } else { Vec::new() });
    }
    if !target.is_dir() {
        bail!("`{}` is no folder: name a run, or a folder of token shards", target.display());
    }
    if holds(target)? {
        return Ok(vec![target.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in entries(target)? {
        let path = entry.path();
        if path.is_dir() && holds(&path)? {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The splits of which a folder holds complete shards, such as `train` and `val`, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub fn splits(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut splits = Vec::new();
    for entry in entries(folder)? {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let split = name.strip_suffix(".meta.json").and_then(|stem| stem.rsplit_once('-'));
        if let Some((split, number)) = split
            && number.len() >= 5
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            splits.push(split.to_owned());
        }
    }
    splits.sort();
    splits.dedup();
    Ok(splits)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<fs::DirEntry>> {
    let read = || fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>();
    read().with_context(|| format!("cannot read the folder `{}`", folder.display()))
}
