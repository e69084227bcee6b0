use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::warc::http::Response;

pub(crate) fn record(kind: &str, id: &str, block: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: {id}\r\nWARC-Target-URI: http://e.x/{id}\r\n\
         WARC-Date: 2024-05-18T00:00:00Z\r\nContent-Length: {}\r\n\r\n",
        block.len()
    )
    .into_bytes();
    bytes.extend_from_slice(block);
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Ids of the whole records, and the number of damages.
fn ids(bytes: &[u8]) -> (Vec<String>, usize) {
    let (mut ids, mut damages) = (Vec::new(), 0);
    let mut reader = Reader::new(bytes, 1 << 20).unwrap();
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Record(record) => ids.push(record.headers.text("WARC-Record-ID").into_owned()),
            Event::Damage(_) => damages += 1,
        }
    }
    (ids, damages)
}

fn samples() -> Vec<Vec<u8>> {
    ["a", "b", "c", "d"]
        .map(|id| record("response", id, format!("block of {id} ").repeat(20).as_bytes()))
        .to_vec()
}

#[test]
fn damage_costs_one_record() {
    let records = samples();
    let packed: Vec<_> = records.iter().map(|bytes| gzip(bytes)).collect();
    let all = ["a", "b", "c", "d"];
    assert_eq!(ids(&packed.concat()), (all.map(String::from).to_vec(), 0));
    assert_eq!(ids(&gzip(&records.concat())), (all.map(String::from).to_vec(), 0));
    // Every single byte of the second member flipped.
    for at in 0..packed[1].len() {
        let mut hurt = packed.clone();
        hurt[1][at] ^= 0x55;
        let (found, damages) = ids(&hurt.concat());
        let whole = found == all; // time stamps and names are not covered by the checksum
        assert!(
            whole && damages == 0 || found == ["a", "c", "d"] && damages == 1,
            "{at}: {found:?} {damages}"
        );
    }
    let junk = [&packed[0][..], b"junk junk junk", &packed[1], &packed[2], &packed[3]].concat();
    assert_eq!(ids(&junk), (all.map(String::from).to_vec(), 1));
    // A wrong length in a plain file.
    for length in ["1", "99999", "340", "99999999999999999999", "x", "400000000"] {
        let text = String::from_utf8(records.concat()).unwrap();
        let wrong = text.replacen("Content-Length: 220", &format!("Content-Length: {length}"), 2);
        let wrong = wrong.replacen(&format!("Content-Length: {length}"), "Content-Length: 220", 1);
        let (found, damages) = ids(wrong.as_bytes());
        assert_eq!((found.as_slice(), damages), (&["a", "c", "d"].map(String::from)[..], 1), "{length}");
    }
}

#[test]
fn a_bomb_stays_small() {
    let mut bomb = record("response", "bomb", &vec![b'a'; 8 << 20]);
    bomb.extend(samples().concat());
    let file = [gzip(&bomb), gzip(&samples()[0])].concat();
    let (found, damages) = ids(&file);
    assert_eq!((found.last().map(String::as_str), damages), (Some("a"), 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_cut_keeps_what_stood_before(share in 0.0..1.0f64, pack in 0..3usize) {
        let parts: Vec<_> = samples().iter().map(|bytes| match pack {
            0 => bytes.clone(),
            1 => gzip(bytes),
            _ => zstd::encode_all(&bytes[..], 3).unwrap(),
        }).collect();
        let whole = parts.concat();
        let cut = (whole.len() as f64 * share) as usize;
        let mut end = 0;
        let complete = parts.iter().take_while(|part| { end += part.len(); end <= cut }).count();
        let (found, _) = ids(&whole[..cut]);
        prop_assert!(found.len() == complete || found.len() == complete + 1 && pack == 0);
        prop_assert!(["a", "b", "c", "d"].starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>()));
    }

    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..600), at in 0..2000usize, pack in 0..3usize) {
        let mut whole: Vec<u8> = samples().iter().flat_map(|bytes| match pack {
            0 => bytes.clone(),
            1 => gzip(bytes),
            _ => zstd::encode_all(&bytes[..], 3).unwrap(),
        }).collect();
        let at = at.min(whole.len());
        whole.splice(at..at, bytes.iter().copied());
        ids(&whole);
        ids(&bytes);
    }
}

fn shared(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    if !found.exists() {
        eprintln!("SKIPPED: {} is absent", found.display());
        return None;
    }
    Some(found)
}

/// Where we differ from the listed counts, and why.
/// `invalid-warcheader*` and `invalid-warcfile-*` files are left to the "no panic" half of the test: they lack a
/// length, a type or the version line, which other readers let pass as empty records.
const DIFFERENT: &[(&str, usize)] = &[
    ("clipped.warc.gz", 0),                 // cut inside its only record
    ("link-extraction-test.warc", 8),       // other readers stop at a wrong length
    ("invalid-warcrecord-1.warc", 4),       // the same
    ("invalid-warcrecord-3.warc", 3),       // the same
    ("example-bad-non-chunked.warc.gz", 6), // one member for all is fine here
    ("example-trunc.warc", 3),              // cut inside its last record
    ("example-wrong-chunks.warc.gz", 2),    // the record behind the wrong length
    ("example-bad-length.warc", 5),         // the record of the wrong length
    ("whirlwind-crcbad.warc.gz", 3),        // a wrong checksum is damage
    ("whirlwind-len-too-big.warc", 3),      // the records behind the wrong length
];

#[test]
fn real_archives_give_the_listed_records() {
    let Some(folder) = shared("warc_real") else { return };
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let mut wrong = Vec::new();
    for line in manifest.lines().skip(1) {
        let cells: Vec<_> = line.split('\t').collect();
        let expected: usize = cells[2].parse().unwrap_or(0);
        let bytes = std::fs::read(folder.join(cells[0])).unwrap();
        let (found, damages) = ids(&bytes);
        let name = cells[0].rsplit('/').next().unwrap().rsplit("__").next().unwrap();
        let expected = DIFFERENT.iter().find(|(file, _)| *file == name).map_or(expected, |(_, count)| *count);
        let is_other = name.starts_with("invalid-warcheader") || name.starts_with("invalid-warcfile-");
        let is_other = is_other
            || name.starts_with("invalid-warcreader")
            || Path::new(name).extension().is_some_and(|extension| extension == "arc");
        if found.len() != expected && !is_other {
            wrong.push(format!(
                "{}: {} records, {damages} damages, listed {expected} {}",
                cells[0],
                found.len(),
                cells[3]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn real_pages_decode_by_their_true_charset() {
    let Some(folder) = shared("warc_debian") else { return };
    let mut truth = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(folder.join("truth.tsv.gz")).unwrap())
        .read_to_string(&mut truth)
        .unwrap();
    let rows: BTreeMap<(&str, &str), Vec<&str>> = truth
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<_> = line.split('\t').collect();
            ((cells[0], cells[2]), cells)
        })
        .collect();
    let (mut right, mut wrong) = (0, BTreeMap::new());
    for archive in ["CC-LIKE-DEV-20240518-00000.warc.gz", "CC-LIKE-DEV-20240518-00001.warc.gz"] {
        let mut reader = Reader::new(std::fs::File::open(folder.join(archive)).unwrap(), 256 << 20).unwrap();
        while let Some(event) = reader.next_event().unwrap() {
            let Event::Record(record) = event else { panic!("{archive}: {event:?}") };
            if !record.headers.is("response") {
                continue;
            }
            let offset = record.offset.to_string();
            let Some(cells) = rows.get(&(archive, offset.as_str())) else { panic!("{archive} {offset}") };
            let actual = match cells[17] {
                "" => continue,
                "utf-8-sig" => "utf-8",
                other => other,
            };
            let Some(encoding) = encoding_rs::Encoding::for_label(actual.as_bytes()) else { continue };
            let response = Response::parse(record.block);
            let Ok(body) = response.body(64 << 20) else { panic!("{archive} {offset}: no body") };
            // The text counts, not the label: ASCII is the same in all of them.
            let expected = encoding.decode(&body).0;
            let (text, by) = crate::charset::decode(&body, response.field("Content-Type").as_deref());
            if text == expected {
                right += 1;
            } else {
                *wrong
                    .entry(format!("{actual} http={} meta={} read as {}", cells[18], cells[19], by.name()))
                    .or_insert(0) += 1;
            }
        }
    }
    let n_wrong: usize = wrong.values().sum();
    eprintln!("{right} right, {n_wrong} wrong: {wrong:#?}");
    assert!(right > 3000 && n_wrong * 100 <= right + n_wrong, "{right} right, wrong: {wrong:#?}");
}
