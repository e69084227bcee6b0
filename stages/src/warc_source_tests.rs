use std::path::{Path, PathBuf};

use super::*;
use crate::warc::reader::tests::{gzip, record};
use gristmill_corpus::DocBatch;

#[derive(Default)]
pub(crate) struct Collected {
    batches: Vec<DocBatch>,
    pub(crate) skipped: Vec<(String, u64, Reason)>,
}

impl SourceOutput for Collected {
    fn documents(&mut self, batch: DocBatch) -> Result<(), StageError> {
        self.batches.push(batch);
        Ok(())
    }
    fn skip(&mut self, skipped: Skipped<'_>) -> Result<(), StageError> {
        self.skipped.push((skipped.url.to_owned(), skipped.offset, skipped.reason));
        Ok(())
    }
}

impl Collected {
    pub(crate) fn column(&self, name: &str) -> Vec<String> {
        let of = |batch: &DocBatch| {
            batch
                .strings(name)
                .unwrap()
                .iter()
                .map(|value| value.unwrap_or("").to_owned())
                .collect::<Vec<_>>()
        };
        self.batches.iter().flat_map(of).collect()
    }
}

pub(crate) fn collect(config: &impl StageConfig, path: &Path, name: &str) -> Result<Collected, StageError> {
    let Runtime::Source(source) = config.build(&BuildContext { base: PathBuf::new(), seed: 0 })? else {
        panic!("not a source")
    };
    let mut collected = Collected::default();
    source.read(&Split { path: path.to_owned(), name: name.to_owned() }, &mut collected)?;
    Ok(collected)
}

fn warc() -> Warc {
    serde_json::from_str(r#"{"paths": []}"#).unwrap()
}

fn response(id: &str, status: u16, kind: &str, body: &str) -> Vec<u8> {
    record("response", id, format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n\r\n{body}").as_bytes())
}

#[test]
fn pages_come_out_and_the_rest_is_counted() {
    let file = [
        record("warcinfo", "i", b"software: x"),
        response("<urn:uuid:1>", 200, "text/html; charset=iso-8859-1", "<p>caf\u{e9}"),
        response("r", 301, "text/html", ""),
        response("p", 200, "application/pdf", "%PDF-"),
        response("e", 200, "text/html", " \n"),
        response("", 200, "", "<!DOCTYPE html><p>no id"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.warc.gz");
    std::fs::write(&path, file.iter().flat_map(|bytes| gzip(bytes)).collect::<Vec<_>>()).unwrap();
    let found = collect(&warc(), &path, "crawl/CC-MAIN-2024-22/x.warc.gz").unwrap();
    assert_eq!(found.column("html"), ["<p>caf\u{e9}", "<!DOCTYPE html><p>no id"]);
    assert_eq!(found.column("dump"), ["CC-MAIN-2024-22"; 2]);
    let ids = found.column("id");
    assert_eq!(ids[0], "urn:uuid:1");
    assert!(ids[1].starts_with("urn:xxh3:"), "{}", ids[1]);
    let offset = gzip(&file[0]).len() as u64;
    assert_eq!(found.batches[0].unsigned("offset").unwrap().value(0), offset);
    let reasons: Vec<_> = found.skipped.iter().map(|(_, _, reason)| *reason).collect();
    assert_eq!(reasons, ["http_status", "not_html", "empty_body"]);
}

#[test]
fn conversion_records_are_texts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wet");
    std::fs::write(&path, [record("warcinfo", "i", b"x"), record("conversion", "t", b"hello")].concat())
        .unwrap();
    let wet: Wet = serde_json::from_str(r#"{"paths": [], "dump": "D"}"#).unwrap();
    let found = collect(&wet, &path, "x").unwrap();
    assert_eq!((found.column("text"), found.column("dump")), (vec!["hello".into()], vec!["D".into()]));
}

#[test]
fn what_is_no_archive_is_an_error_of_the_split() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for bytes in [&b""[..], b"hello", &gzip(b"hello")] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(collect(&warc(), &path, "x"), Err(StageError::Input { .. })));
    }
    assert!(matches!(collect(&warc(), &folder.path().join("none"), "x"), Err(StageError::Input { .. })));
}
