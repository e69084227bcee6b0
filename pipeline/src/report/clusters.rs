//! The largest clusters of duplicates that an exchange found, with the true similarity of what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use gristmill_corpus::printable::one_line;
use gristmill_corpus::sorter::Run as Records;
use gristmill_corpus::{columns, parquet_files};
use gristmill_stages::dedup::clusters::Member;
use gristmill_stages::dedup::minhash::{MinHashParameters, MinHasher, jaccard};
use gristmill_stages::minhash_dedup::MinHashDedup;
use serde::Serialize;

use super::parts::Run;
use crate::exec::store::StepFolder;
use crate::exec::{DOCUMENTS, keys, survivors};
use crate::plan::{Head, PlanStage, Step, Work};

/// Members that are shown of a cluster.
const SHOWN: usize = 10;

/// What is shown of a document whose text this run has never read.
const EARLIER: &str = "(of an earlier run)";

/// A cluster of duplicates.
#[derive(Debug, Serialize)]
pub struct Cluster {
    /// The position of its first document in the exchange's input.
    pub id: u64,
    /// How many documents it has.
    pub size: u64,
    /// The survivor, then others in the order of the input, ten at most.
    pub documents: Vec<Shown>,
}

/// A document of a cluster.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// Its address.
    pub url: String,
    /// Whether it stays.
    pub kept: bool,
    /// The true Jaccard similarity of its n-grams with the survivor's: all of them, as `minhash_dedup` makes them.
    /// Nothing where either has too few words for one.
    pub jaccard: Option<f64>,
}

/// The `n` largest clusters that an exchange of the run at `target` found, largest first, ties by id.
///
/// # Errors
/// When there is no run, no such exchange, or it has not decided yet; when the store cannot be read.
pub fn largest(target: &Path, stage: Option<&str>, n: usize) -> anyhow::Result<Vec<Cluster>> {
    let run = Run::open(target)?;
    let stage = exchange(&run, stage)?;
    let step =
        run.plan.step(&format!("{}.clusters", stage.id)).context("an exchange has a step of clusters")?;
    let folder = StepFolder::new(&run.plan.store, step);
    let Some(manifest) = folder.manifest()? else {
        bail!("`{}` has not decided yet: `gristmill run` does what is missing", stage.id);
    };
    let members = survivors::members_file(&folder, &manifest)?;
    let mut largest = BTreeSet::new();
    for member in read(&members)? {
        let member = member?;
        if member.document == member.cluster {
            largest.insert((std::cmp::Reverse(member.size), member.cluster));
            if largest.len() > n {
                largest.pop_last();
            }
        }
    }
    let wanted: BTreeSet<u64> = largest.iter().map(|(_, cluster)| *cluster).collect();
    let mut picked: BTreeMap<u64, Vec<Member>> = BTreeMap::new();
    for member in read(&members)? {
        let member = member?;
        if !wanted.contains(&member.cluster) {
            continue;
        }
        let picked = picked.entry(member.cluster).or_default();
        if member.survives {
            picked.insert(0, member);
            picked.truncate(SHOWN);
        } else if picked.len() < SHOWN {
            picked.push(member);
        }
    }
    let rows: BTreeSet<u64> = picked.values().flatten().map(|member| member.document).collect();
    let documents = documents(&run, &stage.id, &rows)?;
    let parameters = match stage.kind.as_str() {
        "minhash_dedup" => serde_json::from_value::<MinHashDedup>(stage.config.clone())?.parameters(),
        _ => MinHashParameters::default(),
    };
    let hasher = MinHasher::new(parameters);
    let mut clusters = Vec::new();
    for (std::cmp::Reverse(size), id) in largest {
        let mut shown: Vec<Shown> = Vec::new();
        let mut survivor = None;
        for member in &picked[&id] {
            let Some((id, url, text)) = documents.get(&member.document) else {
                shown.push(Shown {
                    id: EARLIER.into(),
                    url: String::new(),
                    kept: member.survives,
                    jaccard: None,
                });
                continue;
            };
            let set = hasher.shingles(text);
            let survivor = survivor.get_or_insert_with(|| set.clone());
            let jaccard = (!set.is_empty() && !survivor.is_empty()).then(|| jaccard(&set, survivor));
            shown.push(Shown { id: id.clone(), url: url.clone(), kept: member.survives, jaccard });
        }
        clusters.push(Cluster { id, size, documents: shown });
    }
    Ok(clusters)
}

/// The exchange that is asked about: the named one, or the only one.
fn exchange<'a>(run: &'a Run, stage: Option<&str>) -> anyhow::Result<&'a PlanStage> {
    let exchanges: Vec<&str> = run
        .plan
        .steps
        .iter()
        .filter_map(|step| match &step.work {
            Work::Clusters { stage, .. } => Some(stage.as_str()),
            _ => None,
        })
        .collect();
    let id = match (stage, exchanges.as_slice()) {
        (Some(id), _) if exchanges.contains(&id) => id,
        (Some(id), []) => bail!("`{id}` finds no clusters, nor does any stage of this recipe"),
        (Some(id), _) => bail!("`{id}` finds no clusters\nhint: {} do", exchanges.join(", ")),
        (None, [only]) => only,
        (None, []) => bail!("no stage of this recipe finds clusters of documents"),
        (None, _) => bail!("which clusters?\nhint: `--stage` one of {}", exchanges.join(", ")),
    };
    run.plan.stage(id).context("exchanges are stages of the plan")
}

fn read(members: &Path) -> anyhow::Result<impl Iterator<Item = std::io::Result<Member>>> {
    Ok(Records::<3>::open(members, 1 << 20)?.map(|record| record.map(Member::from_record)))
}

/// Id, address and text of the documents at these positions of what an exchange read.
fn documents(
    run: &Run,
    stage: &str,
    rows: &BTreeSet<u64>,
) -> anyhow::Result<BTreeMap<u64, (String, String, String)>> {
    let step = run.plan.step(&format!("{stage}.keys"));
    let Some(Step { work: Work::Segment { head: Head::Parts { steps, .. }, .. }, .. }) = step else {
        bail!("the plan does not say what `{stage}` read");
    };
    let mut found = BTreeMap::new();
    let mut first = keys::earlier_documents(&run.plan, stage)?;
    for step in steps {
        let step = run.plan.step(step).context("a plan has the steps that it needs")?;
        let folder = StepFolder::new(&run.plan.store, step);
        let manifest = folder.manifest()?.with_context(|| format!("step `{}` is not complete", step.id))?;
        for commit in &manifest.commits {
            let end = first + commit.rows;
            if rows.range(first..end).next().is_some()
                && let Some(path) = folder.file(commit, DOCUMENTS)?
            {
                let mut row = first;
                for batch in parquet_files::read(&path, Some(&[columns::ID, columns::URL, columns::TEXT]))? {
                    let batch = batch?;
                    let here = row..row + batch.len() as u64;
                    row = here.end;
                    for wanted in rows.range(here.clone()) {
                        let value = |column| {
                            let values = batch.strings(column).ok();
                            values.map_or_else(String::new, |v| {
                                v.value((wanted - here.start) as usize).to_owned()
                            })
                        };
                        let document = (value(columns::ID), value(columns::URL), value(columns::TEXT));
                        found.insert(*wanted, document);
                    }
                }
            }
            first = end;
        }
    }
    Ok(found)
}

/// Clusters for reading, lines of `width` characters.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_text(out: &mut impl Write, clusters: &[Cluster], width: usize) -> std::io::Result<()> {
    for (number, cluster) in clusters.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        writeln!(out, "cluster {}: {} documents", cluster.id, cluster.size)?;
        for document in &cluster.documents {
            let fate = if document.kept { "kept" } else { "dropped" };
            let jaccard = document.jaccard.map_or_else(|| "-".to_owned(), |jaccard| format!("{jaccard:.3}"));
            let name = if document.url.is_empty() { &document.id } else { &document.url };
            writeln!(out, "  {fate:<7}  {jaccard:>5}  {}", one_line(name, width.saturating_sub(18)))?;
        }
        match cluster.size.saturating_sub(cluster.documents.len() as u64) {
            0 => {}
            more => writeln!(out, "  … {more} more")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_and_made_harmless() {
        let shown = |url: &str, kept, jaccard| Shown { id: "urn:1".into(), url: url.into(), kept, jaccard };
        let documents = vec![
            shown("http://a.example/\u{1b}[2Jx", true, Some(1.0)),
            shown("", false, None),
            shown("http://a.example/a-very-long-path", false, Some(0.75)),
        ];
        let mut out = Vec::new();
        write_text(&mut out, &[Cluster { id: 7, size: 5, documents }], 42).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "cluster 7: 5 documents\n  kept     1.000  http://a.example/\\u{1b}…\n  dropped      -  urn:1\n  \
             dropped  0.750  http://a.example/a-very…\n  … 2 more\n"
        );
    }
}
