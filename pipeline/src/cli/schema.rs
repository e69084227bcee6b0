//! `gristmill schema`.

use super::Exit;

/// Print the JSON Schema of recipes, for editors.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

pub fn main(_: &Arguments) -> anyhow::Result<Exit> {
    println!("{}", serde_json::to_string_pretty(&crate::report::reference::schema())?);
    Ok(Exit::Done)
}
