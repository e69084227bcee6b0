//! The exchange behind stages that compare one column by its exact value: keys are hashes of a form of it.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_128;

use super::partition_of;
use super::scope::{Scope, scoped};
use super::survivor::Survivor;
use crate::documents::Documents;
use crate::stage::{ClusterColumns, Exchange, Reason, StageError};

/// Documents that hold the same in a column; those that hold nothing are kept.
pub struct Equal {
    /// The stage's kind: keys of one kind are no keys of another.
    pub kind: &'static str,
    /// Why a duplicate goes.
    pub reason: Reason,
    /// The column.
    pub column: &'static str,
    /// The form in which its values are compared.
    pub form: fn(&str) -> Cow<'_, str>,
    /// Which document of a group stays.
    pub survivor: Survivor,
    /// Which documents may be duplicates of each other.
    pub scope: Scope,
    /// The columns that tell of the group, if they are wanted.
    pub columns: Option<ClusterColumns>,
    /// Into how many parts keys are split.
    pub partitions: u32,
}

impl Exchange for Equal {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn keys(&self, documents: &Documents, emit: &mut dyn FnMut(usize, u32, u64)) -> Result<(), StageError> {
        let values = documents.strings(self.column)?;
        let salts = self.scope.salts(documents)?;
        for (row, &salt) in salts.iter().enumerate() {
            let value = (self.form)(values.value(row));
            if !value.is_empty() {
                let hash = xxh3_128(value.as_bytes());
                emit(row, partition_of((hash >> 64) as u64, self.partitions), scoped(hash as u64, salt));
            }
        }
        Ok(())
    }

    fn ranks(&self, documents: &Documents) -> Result<Vec<u64>, StageError> {
        self.survivor.ranks(documents)
    }

    fn reason(&self) -> Reason {
        self.reason
    }

    fn key_format(&self) -> String {
        format!("{} {} partitions, scope {:?}", self.kind, self.partitions, self.scope)
    }

    fn cluster_columns(&self) -> Option<ClusterColumns> {
        self.columns.clone()
    }
}
