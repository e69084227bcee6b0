//! Runs another program of ours as a task.

use std::path::PathBuf;
use std::process::Command;

use gristmill_stages::StageError;

/// Runs `command` to its end; what it prints goes to our standard error. A program that is named without a folder
/// is looked for beside this one first, so that a build folder works without being installed.
pub fn run(command: &Command, step: &str) -> Result<(), StageError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut located = Command::new(beside(&name).unwrap_or_else(|| PathBuf::from(&name)));
    located.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => located.env(key, value),
            None => located.env_remove(key),
        };
    }
    // Results go to standard output; this program's words are progress.
    located.stdin(std::process::Stdio::null()).stdout(std::io::stderr());
    let status = located.status().map_err(|error| {
        StageError::Engine(format!(
            "cannot start `{name}`: {error}; install it beside `gristmill` (`cargo build --release` makes both)"
        ))
    })?;
    if status.success() {
        return Ok(());
    }
    Err(StageError::Engine(format!("`{name}` for `{step}` ended with {status}; its own words stand above")))
}

/// A program of that name in the folder of this one.
pub fn beside(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.join(name);
    path.is_file().then_some(path)
}
