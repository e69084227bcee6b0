//! Which documents may be duplicates of each other.

use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::documents::Documents;
use crate::stage::StageError;

/// Which documents may be duplicates of each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Any two, whatever crawl they are from.
    #[default]
    All,
    /// Those with the same `dump`: one of each group stays in every crawl, as FineWeb does.
    Dump,
}

impl Scope {
    /// The columns that it looks at.
    pub fn reads(self) -> Vec<String> {
        match self {
            Self::All => vec![],
            Self::Dump => vec![columns::DUMP.to_owned()],
        }
    }

    /// For each document a number that turns its keys into those of its scope: see [`scoped`].
    ///
    /// # Errors
    /// [`StageError::Engine`] when there is no column `dump`.
    pub fn salts(self, documents: &Documents) -> Result<Vec<u64>, StageError> {
        if self == Self::All {
            return Ok(vec![0; documents.len()]);
        }
        let dumps = documents.strings(columns::DUMP)?;
        // Never 0, which changes nothing.
        Ok((0..documents.len()).map(|row| xxh3_64(dumps.value(row).as_bytes()) | 1).collect())
    }
}

/// A key as documents of one scope share it.
pub fn scoped(key: u64, salt: u64) -> u64 {
    if salt == 0 { key } else { xxh3_64_with_seed(&key.to_le_bytes(), salt) }
}
