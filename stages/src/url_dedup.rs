//! Removal of pages that were fetched more than once: the stage. The canonical form is in
//! [`dedup::url`](crate::dedup::url).

use std::num::NonZeroU32;

use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dedup::equal::Equal;
use crate::dedup::scope::Scope;
use crate::dedup::survivor::Survivor;
use crate::dedup::url::canonical_url;
use crate::stage::{BuildContext, ClusterColumns, Declares, Reason, Runtime, Shape, StageConfig, StageError};

/// Keeps one document of all that have the same address, over the whole corpus.
///
/// Addresses are compared in a canonical form: scheme, `www.`, user, default port, fragment (except `#!…`), trailing slash, and
/// tracking and session parameters (`utm_…`, `gclid`, `fbclid`, …) do not count, nor do the order of parameters, session ids in
/// the path, `.` and `..`, and the way in which hosts and escapes are written. Upper and lower case of path and query count, as
/// do other subdomains and ports, and file names such as `index.html`. What has no `//` in front of a host is compared as it
/// stands. Documents without an address are kept. Across crawls, `survivor = "newest"` keeps the latest capture of every page.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UrlDedup {
    /// Which document of a group stays: `first` in the order of the input, `longest`, `newest`, `oldest`, or the one with
    /// the best value in a column: `{ highest = "score" }`, `{ lowest = "priority" }`.
    pub survivor: Survivor,
    /// Which documents may be duplicates of each other: `all`, or those of the same `dump` (one of each group stays in every
    /// crawl, as FineWeb does).
    pub scope: Scope,
    /// Folders of earlier runs, relative to the recipe: a document that has a duplicate there is dropped. Their keys are
    /// read from their stores, their text is not. Keys of both must be made alike (`partitions`, `scope`).
    pub against: Vec<String>,
    /// Adds the columns `url_cluster_id` (the position of the group's first document in this stage's input) and
    /// `url_cluster_size` (documents of the group, 1 without duplicates) to what stays.
    pub cluster_columns: bool,
    /// Into how many parts keys are split; each is merged by one task. A document has one key of 16 bytes.
    pub partitions: NonZeroU32,
}

impl Default for UrlDedup {
    fn default() -> Self {
        Self {
            survivor: Survivor::First,
            scope: Scope::All,
            against: Vec::new(),
            cluster_columns: false,
            partitions: NonZeroU32::MIN.saturating_add(15),
        }
    }
}

impl StageConfig for UrlDedup {
    const KIND: &'static str = "url_dedup";
    const VERSION: u32 = 3;
    const SHAPE: Shape = Shape::Exchange;
    const REASONS: &'static [Reason] = &["url_duplicate"];

    fn declares(&self) -> Declares {
        let mut reads = vec![columns::URL.to_owned()];
        reads.extend(self.survivor.reads());
        reads.extend(self.scope.reads());
        let writes = self.columns().map(|columns| columns.names()).unwrap_or_default();
        Declares { reads, writes, earlier: self.against.clone(), ..Declares::default() }
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Exchange(Box::new(Equal {
            kind: Self::KIND,
            reason: Self::REASONS[0],
            column: columns::URL,
            form: |url| canonical_url(url).into(),
            survivor: self.survivor.clone(),
            scope: self.scope,
            columns: self.columns(),
            partitions: self.partitions.get(),
        })))
    }
}

impl UrlDedup {
    fn columns(&self) -> Option<ClusterColumns> {
        self.cluster_columns.then(|| ClusterColumns::named("url"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::test_support::{build, dedup, documents};

    #[test]
    fn captures_of_one_page_are_one_document() {
        let urls = [
            "https://www.example.com/a/",
            "",
            "http://example.com/a?utm_source=x",
            "",
            "http://example.com/b",
        ];
        let dates = ["2023-01-01", "", "2024-01-01", "", ""];
        let batch = || documents(&urls, &dates, &["a longer text", "", "x", "", "y"]);
        for (survivor, expected) in [
            (Survivor::First, [true, true, false, true, true]),
            (Survivor::Longest, [true, true, false, true, true]),
            (Survivor::Newest, [false, true, true, true, true]),
        ] {
            let stage = build(&UrlDedup { survivor: survivor.clone(), ..UrlDedup::default() });
            assert_eq!(dedup(&*stage, &[batch()]), expected, "{survivor:?}");
        }
    }
}
