//! `gristmill assets`.

use gristmill_stages::assets;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Exit, print};
use crate::run::funnel::table;

/// List the outside files that results depend on, with hash and licence, and verify those that are built in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 all are as pinned; 1 one differs.")]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A row of assets/assets.toml.
#[derive(Debug, Serialize, Deserialize)]
struct Pin {
    name: String,
    sha256: String,
    bytes: u64,
    licence: String,
    source: String,
    /// `as pinned`, `differs` or `not built in`.
    #[serde(skip_deserializing)]
    state: &'static str,
}

#[derive(Deserialize)]
struct List {
    asset: Vec<Pin>,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let List { asset: mut pins } = toml::from_str(assets::LIST)?;
    for pin in &mut pins {
        pin.state = match assets::find(&pin.name) {
            None => "not built in",
            Some(asset) if sha256(asset.bytes) == pin.sha256 && asset.bytes.len() as u64 == pin.bytes => {
                "as pinned"
            }
            Some(_) => "differs",
        };
    }
    if arguments.json {
        super::print_json(&pins)?;
    } else {
        let mut rows = vec![["asset", "bytes", "licence", "state", "sha256 and source"].map(String::from)];
        for pin in &pins {
            let about = format!("{} {}", pin.sha256, pin.source);
            rows.push([
                pin.name.clone(),
                pin.bytes.to_string(),
                pin.licence.clone(),
                pin.state.into(),
                about,
            ]);
        }
        print(&table(&rows))?;
    }
    Ok(if pins.iter().any(|pin| pin.state == "differs") { Exit::Finding } else { Exit::Done })
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
