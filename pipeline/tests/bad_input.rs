//! What the web and disks do to input: each fault gives a clear message or a counted verdict, never a panic, and
//! costs nothing but itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

// Writers of small archives.

/// A page whose text no other page has.
fn page(number: usize) -> String {
    format!(
        "<html><head><title>Page {number}</title></head><body><p>This is page {number} of the mill's book, and it \
         tells of the river, the wheel and the {number} stones that grind the corn.</p></body></html>"
    )
}

fn record_of_length(id: &str, block: &[u8], content_length: &str) -> Vec<u8> {
    let mut bytes = format!(
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <{id}>\r\nWARC-Target-URI: http://a.example/{id}\r\n\
         WARC-Date: 2024-05-18T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n\
         Content-Length: {content_length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(block);
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}

fn record(id: &str, block: &[u8]) -> Vec<u8> {
    record_of_length(id, block, &block.len().to_string())
}

fn response(fields: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n{fields}\r\n").as_bytes(), body]
        .concat()
}

fn page_record(number: usize) -> Vec<u8> {
    record(&format!("page-{number}"), &response("", page(number).as_bytes()))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Members of an archive of pages 1 to 5.
fn members() -> Vec<Vec<u8>> {
    (1..=5).map(|number| gzip(&page_record(number))).collect()
}

// A folder with archives and a recipe over them.

struct Mill {
    folder: tempfile::TempDir,
}

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Mill {
    /// Archives by name, and what the recipe's source says besides `paths`.
    fn new(archives: &[(&str, &[u8])], source: &str) -> Self {
        let mill = Self { folder: tempfile::tempdir().unwrap() };
        for (name, bytes) in archives {
            fs::write(mill.path(name), bytes).unwrap();
        }
        let names: Vec<&str> = archives.iter().map(|(name, _)| *name).collect();
        mill.recipe(&names, source);
        mill
    }

    fn recipe(&self, paths: &[&str], source: &str) {
        let recipe = format!(
            "[[stage]]\nid = \"crawl\"\nkind = \"warc\"\npaths = {paths:?}\n{source}\n\n[[stage]]\nkind = \"extract_text\"\n\n\
             [[stage]]\nkind = \"exact_dedup\"\npartitions = 2\n\n[[stage]]\nid = \"texts\"\nkind = \"write_jsonl\"\ncompression = \"none\"\n"
        );
        fs::write(self.path("recipe.toml"), recipe).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the command in the folder. Whatever happens, it does not panic.
    fn say(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_gristmill"))
            .current_dir(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said =
            Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        for sign in ["panicked", "RUST_BACKTRACE", "stack overflow"] {
            assert!(!said.stderr.contains(sign), "{arguments:?}: {}", said.stderr);
        }
        said
    }

    fn run(&self) -> Said {
        self.say(&["run", "recipe.toml", "--out", "out", "--json"])
    }

    /// Ids and texts of what the run published.
    fn texts(&self) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for entry in fs::read_dir(self.path("out/texts")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                for line in fs::read_to_string(&path).unwrap().lines() {
                    let document: Value = serde_json::from_str(line).unwrap();
                    let field = |name: &str| document[name].as_str().unwrap().to_owned();
                    texts.insert(field("id"), field("text"));
                }
            }
        }
        texts
    }
}

impl Said {
    /// Insists on an exit code and words on standard error.
    fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in {}", self.stderr);
        }
    }

    /// What the source dropped, by reason; asserts on the way that no stage lost a document.
    fn dropped(&self) -> BTreeMap<String, u64> {
        let funnel: Value = serde_json::from_str(&self.stdout).unwrap();
        let stages = funnel["stages"].as_array().unwrap();
        let dropped = |stage: &Value| -> BTreeMap<String, u64> {
            serde_json::from_value(stage["rejected"].clone()).unwrap()
        };
        let mut flowing = None;
        for stage in stages {
            let (n_in, n_out) =
                (stage["documents_in"].as_u64().unwrap(), stage["documents_out"].as_u64().unwrap());
            assert_eq!(n_in, n_out + dropped(stage).values().sum::<u64>(), "{stage}");
            assert!(flowing.is_none_or(|before| before == n_in), "{stage}");
            flowing = Some(n_out);
        }
        dropped(&stages[0])
    }
}

/// Runs one archive and insists on which pages come out and what the source counts.
fn check(bytes: &[u8], source: &str, pages: &[usize], dropped: &[(&str, u64)]) {
    let mill = Mill::new(&[("a.warc.gz", bytes)], source);
    let said = mill.run();
    said.expect(0, &[]);
    let ids: Vec<String> = pages.iter().map(|number| format!("page-{number}")).collect();
    let texts = mill.texts();
    assert_eq!(texts.keys().cloned().collect::<Vec<_>>(), ids, "{}", said.stdout);
    for number in pages {
        let text = &texts[&format!("page-{number}")];
        assert!(text.contains(&format!("and the {number} stones that grind the corn.")), "{text}");
    }
    let want: BTreeMap<String, u64> = dropped.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect();
    assert_eq!(said.dropped(), want);
}

#[test]
fn a_damaged_member_in_the_middle_costs_its_record() {
    let mut members = members();
    let middle = members[2].len() / 2;
    members[2][middle..middle + 8].fill(0xa5);
    check(&members.concat(), "", &[1, 2, 4, 5], &[("damaged_record", 1)]);
}

#[test]
fn a_member_with_a_wrong_checksum_costs_its_record() {
    let mut members = members();
    let crc = members[2].len() - 8;
    members[2][crc] ^= 1;
    check(&members.concat(), "", &[1, 2, 4, 5], &[("damaged_record", 1)]);
}

#[test]
fn a_member_that_does_not_inflate_costs_itself() {
    let mut members = members();
    // A whole header, then no deflate stream.
    members.insert(2, [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &[0xff; 200]].concat());
    check(&members.concat(), "", &[1, 2, 3, 4, 5], &[("damaged_record", 1)]);
}

#[test]
fn junk_between_members_costs_itself() {
    let mut members = members();
    members.insert(3, b"<html>a proxy's error page</html>".to_vec());
    check(&members.concat(), "", &[1, 2, 3, 4, 5], &[("damaged_record", 1)]);
}

#[test]
fn a_truncated_archive_gives_all_that_stood_before() {
    let packed = members().concat();
    check(&packed[..packed.len() - 40], "", &[1, 2, 3, 4], &[("damaged_record", 1)]);
    let plain: Vec<u8> = (1..=5).flat_map(page_record).collect();
    check(&plain[..plain.len() - 40], "", &[1, 2, 3, 4], &[("truncated_record", 1)]);
}

#[test]
fn a_decompression_bomb_is_counted() {
    // A record of 64 MiB in a member of 300 KB, above the record's cap.
    let mut members = members();
    let bomb = gzip(&record("bomb", &response("", &vec![b'a'; 64 << 20])));
    assert!(bomb.len() < 400_000);
    members.insert(2, bomb);
    check(&members.concat(), "maximum_record_bytes = 100000", &[1, 2, 3, 4, 5], &[("record_too_large", 1)]);

    // A small record whose body is one.
    let body = gzip(&vec![b'a'; 16 << 20]);
    let block = response("Content-Encoding: gzip\r\n", &body);
    let archive = [gzip(&record("bomb", &block)), gzip(&page_record(1))].concat();
    check(&archive, "maximum_body_bytes = 1000000", &[1], &[("body_too_large", 1)]);
}

#[test]
fn an_impossible_length_costs_its_record() {
    for length in ["-1", "99999999999999999999999", "18446744073709551615", "12e3", ""] {
        let mut records: Vec<Vec<u8>> = (1..=3).map(page_record).collect();
        let block = response("", page(9).as_bytes());
        records[1] = record_of_length("liar", &block, length);
        for archive in [records.concat(), records.iter().flat_map(|record| gzip(record)).collect()] {
            let mill = Mill::new(&[("a.warc", &archive)], "");
            let said = mill.run();
            said.expect(0, &[]);
            assert_eq!(mill.texts().into_keys().collect::<Vec<_>>(), ["page-1", "page-3"], "`{length}`");
            assert_eq!(said.dropped().values().sum::<u64>(), 1, "`{length}`: {}", said.stdout);
        }
    }
}

#[test]
fn a_length_that_is_wrong_by_some_bytes_costs_no_other_record() {
    for wrong in [-7_i64, 5, 400] {
        let mut members = members();
        let block = response("", page(3).as_bytes());
        members[2] = gzip(&record_of_length("liar", &block, &(block.len() as i64 + wrong).to_string()));
        let mill = Mill::new(&[("a.warc.gz", &members.concat())], "");
        let said = mill.run();
        said.expect(0, &[]);
        let texts = mill.texts();
        for number in [1, 2, 4, 5] {
            assert!(texts.contains_key(&format!("page-{number}")), "{wrong}: {}", said.stdout);
        }
        assert_eq!(said.dropped().values().sum::<u64>(), 1, "{wrong}: {}", said.stdout);
    }
}

#[test]
fn a_page_above_the_cap_is_counted() {
    let mut members = members();
    let long = page(7).replace("grind", &"grind ".repeat(2000));
    members.insert(1, gzip(&record("long", &response("", long.as_bytes()))));
    check(&members.concat(), "maximum_body_bytes = 10000", &[1, 2, 3, 4, 5], &[("body_too_large", 1)]);
}

#[test]
fn a_huge_page_of_broken_markup_ends() {
    // 24 MB, above `extract_text`'s cap for parsing, and nesting without end.
    let mut body = page(7).into_bytes();
    body.extend(b"<div><b>".repeat(3 << 20));
    let archive = [gzip(&record("deep", &response("", &body))), gzip(&page_record(1))].concat();
    let mill = Mill::new(&[("a.warc.gz", &archive)], "");
    let said = mill.run();
    said.expect(0, &[]);
    assert!(said.dropped().is_empty());
    assert!(mill.texts().contains_key("page-1"));
}

#[test]
fn bytes_that_are_no_utf8_become_replacement_characters() {
    let mut body = page(3).into_bytes();
    let at = body.windows(5).position(|window| window == b"river").unwrap();
    body[at..at + 2].copy_from_slice(b"\xff\xfe");
    let mut bad = record("page-3", &response("", &body));
    // The address and the date hold some as well.
    let at = bad.windows(9).position(|window| window == b"a.example").unwrap();
    bad[at] = 0xff;
    let mill = Mill::new(&[("a.warc.gz", &[gzip(&page_record(1)), gzip(&bad)].concat())], "");
    let said = mill.run();
    said.expect(0, &[]);
    assert!(said.dropped().is_empty());
    let texts = mill.texts();
    assert_eq!(texts.len(), 2);
    assert!(texts["page-3"].contains("ver, the wheel and the 3 stones"), "{}", texts["page-3"]);
}

#[test]
fn an_unreadable_file_is_quarantined_and_the_others_are_whole() {
    let good = members().concat();
    // A file that is not there; one that is no archive; an empty one; packed bytes that are no archive; a folder.
    for (name, content) in [
        ("gone.warc.gz", None),
        ("words.warc.gz", Some(b"these are no records at all, whatever the name says\n".to_vec())),
        ("empty.warc.gz", Some(Vec::new())),
        ("packed.warc.gz", Some(gzip(b"hello"))),
        ("folder.warc.gz", None),
    ] {
        let mill = Mill::new(&[("good.warc.gz", &good)], "");
        mill.recipe(&[name, "good.warc.gz"], "");
        match content {
            Some(content) => fs::write(mill.path(name), content).unwrap(),
            None if name.starts_with("folder") => fs::create_dir(mill.path(name)).unwrap(),
            None => {}
        }
        let said = mill.run();
        said.expect(1, &["quarantined", name]);
        assert_eq!(mill.texts().len(), 5, "{name}: {}", said.stdout);
        let funnel: Value = serde_json::from_str(&said.stdout).unwrap();
        let quarantined = funnel["quarantined"].as_array().unwrap();
        assert_eq!(quarantined.len(), 1, "{name}: {}", said.stdout);
        assert!(quarantined[0].as_str().unwrap().contains(name), "{}", said.stdout);
        // Again: no work, the same finding.
        let again = mill.run();
        again.expect(1, &["nothing to do"]);
        assert_eq!(again.stdout, said.stdout);
    }
}

#[test]
fn a_run_in_which_nothing_can_be_read_ends_as_well() {
    let mill = Mill::new(&[("empty.warc", b"")], "");
    let said = mill.run();
    said.expect(1, &["empty.warc"]);
    assert!(!mill.path("out/texts").join("00000.jsonl").exists() || mill.texts().is_empty());
}

#[test]
fn a_glob_without_files_is_a_mistake_of_the_recipe() {
    let mill = Mill::new(&[("good.warc.gz", &members().concat())], "");
    mill.recipe(&["none/*.warc.gz"], "");
    mill.run().expect(2, &["`crawl`", "no file matches `none/*.warc.gz`"]);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let mill = Mill::new(&[("good.warc.gz", &members().concat())], "");
    fs::write(mill.path("out"), "a file where the folder should be").unwrap();
    let said = mill.run();
    said.expect(75, &["out", "--out DIR"]);
    assert_eq!(fs::read_to_string(mill.path("out")).unwrap(), "a file where the folder should be");

    let said = mill.say(&["run", "recipe.toml", "--out", "fine", "--store", "out"]);
    said.expect(75, &["out", "--store DIR"]);

    // A file where a stage's results should be published.
    fs::write(mill.path("fine/texts"), "mine").unwrap();
    let said = mill.say(&["run", "recipe.toml", "--out", "fine"]);
    said.expect(75, &["texts"]);
}

#[test]
fn five_mistakes_in_a_recipe_are_all_placed() {
    let mill = Mill::new(&[], "");
    let recipe = "nmae = \"x\"\n\n[[stage]]\nkind = \"warc\"\npaths = \"a.warc\"\n\n[[stage]]\nkind = \"extract\"\n\n\
                  [[stage]]\nkind = \"gopher_quality\"\nmin_words = \"fifty\"\n\n[[stage]]\nkind = \"write_jsonl\"\n\
                  input = \"nobody\"\n";
    fs::write(mill.path("recipe.toml"), recipe).unwrap();
    for command in [&["check", "recipe.toml"][..], &["run", "recipe.toml", "--out", "out"]] {
        let said = mill.say(command);
        said.expect(2, &["5 mistakes in recipe.toml"]);
        for place in
            ["recipe.toml:1:1", "recipe.toml:5:1", "recipe.toml:8:1", "recipe.toml:12:1", "recipe.toml:16:1"]
        {
            assert!(said.stderr.contains(place), "no {place} in {}", said.stderr);
        }
    }
    assert!(!mill.path("out").exists());
}

/// Every file below a folder, sorted.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_store_that_lost_files_is_named_and_never_a_panic() {
    let mill = Mill::new(&[("a.warc.gz", &members().concat())], "");
    mill.run().expect(0, &[]);
    let good = mill.texts();
    // A recipe of which only the sink differs, so that a run reads what the store holds.
    let recipe = fs::read_to_string(mill.path("recipe.toml")).unwrap();
    fs::write(mill.path("other.toml"), recipe.replace("\"none\"", "\"zstd\"")).unwrap();
    let (store, whole) = (mill.path("out/store"), mill.path("whole"));
    copy_tree(&store, &whole);
    let files = files_below(&store);
    assert!(files.len() > 8);
    let mut n_named = 0;
    for file in &files {
        let bytes = fs::read(file).unwrap();
        for harm in ["removed", "halved", "garbled"] {
            // Published files are hard links: a new file, so that the store alone is harmed.
            fs::remove_file(file).unwrap();
            match harm {
                "removed" => {}
                "halved" => fs::write(file, &bytes[..bytes.len() / 2]).unwrap(),
                _ => fs::write(file, bytes.iter().map(|byte| byte ^ 0x55).collect::<Vec<_>>()).unwrap(),
            }
            let what = format!("{harm} {}", file.display());
            for arguments in [
                &["run", "recipe.toml", "--out", "out"][..],
                &["run", "other.toml", "--out", "other", "--store", "out/store"],
                &["preview", "out"],
                &["stats", "out"],
            ] {
                let said = mill.say(arguments);
                match said.code {
                    // Not needed, or made anew.
                    Some(0) => {}
                    // Damage is named with its file; a marker that is gone means work that is not done.
                    Some(2 | 75) => {
                        n_named += 1;
                        let clear = said.stderr.contains("out/store/")
                            || harm == "removed"
                                && said.stderr.contains("`gristmill run` does what is missing");
                        assert!(
                            clear && said.stderr.contains("error: "),
                            "{what}, {arguments:?}: {}",
                            said.stderr
                        );
                    }
                    code => panic!("{what}, {arguments:?}: {code:?} {}", said.stderr),
                }
            }
            assert_eq!(mill.texts(), good, "{what}");
            fs::remove_dir_all(&store).unwrap();
            copy_tree(&whole, &store);
        }
    }
    assert!(n_named > 20, "{n_named} of {}", files.len());
}
