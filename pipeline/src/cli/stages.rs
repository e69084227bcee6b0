//! `gristmill stages`.

use gristmill_stages::registry;

use super::Exit;
use crate::config::nearest;
use crate::report::reference;

/// List all kinds of stages, or print the manual of one.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A kind, such as `gopher_quality`.
    kind: Option<String>,
    /// Print JSON (for one kind: its schema, reasons and example).
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Some(word) = &arguments.kind else {
        if arguments.json {
            let all: Vec<_> = registry::KINDS.iter().map(reference::json).collect();
            println!("{}", serde_json::to_string_pretty(&all)?);
        } else {
            print!("{}", reference::list());
        }
        return Ok(Exit::Done);
    };
    let Some(kind) = registry::find(word) else {
        let hint = nearest(word, registry::KINDS.iter().map(|row| row.kind));
        let hint = hint.map_or_else(
            || "`gristmill stages` lists all".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        anyhow::bail!("unknown stage kind `{word}`\nhint: {hint}");
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reference::json(kind))?);
    } else {
        print!("{}", reference::manual(kind));
    }
    Ok(Exit::Done)
}
