//! The command as people meet it: built, run on a tiny recipe, its words compared.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// A folder with a crawl of five documents and recipes over it.
struct Tiny {
    folder: tempfile::TempDir,
}

/// What a command said.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

/// English prose of `n` words that no filter minds.
fn prose(n: usize, seed: &str) -> String {
    let words =
        ["the", "mill", "and", "water", "of", "river", "turns", "to", "wheel", "that", "grinds", "with"];
    let sentence: Vec<&str> = words.iter().copied().cycle().take(n).collect();
    format!("{seed} {}.", sentence.join(" "))
}

impl Tiny {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tiny = Self { folder };
        let documents = [
            json!({"id": "long", "url": "http://a.example/long", "text": prose(80, "First")}),
            json!({"id": "middle", "url": "http://a.example/middle", "text": prose(20, "Second")}),
            json!({"id": "short", "url": "http://b.example/short", "text": "too short"}),
            json!({"id": "twin", "url": "http://b.example/twin", "text": prose(80, "First")}),
            json!({"id": "evil", "url": "http://evil.example/\u{1b}]0;x\u{7}",
                   "text": format!("\u{1b}[2J\u{202e}\u{9b}31m{}", prose(60, "Evil"))}),
        ];
        let mut lines: String = documents.iter().map(|document| document.to_string() + "\n").collect();
        lines.push_str("{broken\n");
        std::fs::write(tiny.path("pages.jsonl"), lines).unwrap();
        tiny.recipe("low.toml", 10);
        tiny.recipe("high.toml", 30);
        tiny
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn recipe(&self, name: &str, min_words: usize) {
        let recipe = format!(
            "seed = 1\n\n[[stage]]\nkind = \"jsonl\"\npaths = [\"pages.jsonl\"]\n\n[[stage]]\nkind = \"gopher_quality\"\nmin_words = {min_words}\n\n[[stage]]\nkind = \"exact_dedup\"\n\n[[stage]]\nkind = \"write_parquet\"\n"
        );
        std::fs::write(self.path(name), recipe).unwrap();
    }

    fn say(&self, arguments: &[&str]) -> Said {
        say(self.folder.path(), arguments, "")
    }

    /// Runs a recipe to `runs/<name>`.
    fn ran(&self, name: &str) -> Said {
        let said = self.say(&["run", &format!("{name}.toml"), "--jobs", "2"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        said
    }
}

fn say(folder: &Path, arguments: &[&str], input: impl AsRef<[u8]>) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .args(arguments)
        .current_dir(folder)
        .env("COLUMNS", "80")
        .env_remove("GRISTMILL_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_ref()).unwrap();
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(text: &str) -> Vec<String> {
    json_lines(text).iter().map(|row| row["id"].as_str().unwrap_or("").to_owned()).collect()
}

/// The words of each line, so that widths do not count.
fn folded(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn preview_shows_what_was_kept_and_dropped() {
    let tiny = Tiny::new();
    tiny.ran("low");
    let kept = tiny.say(&["preview", "runs/low", "--json"]);
    assert_eq!(ids(&kept.stdout), ["long", "middle", "evil"]);
    assert_eq!(ids(&tiny.say(&["preview", "runs/low", "--json", "-n", "1"]).stdout), ["long"]);
    let dropped = tiny.say(&["preview", "runs/low", "--rejected", "--json"]);
    assert_eq!(ids(&dropped.stdout), ["", "short", "twin"]);
    let one = tiny.say(&["preview", "runs/low", "--rejected=gopher_short_doc"]);
    assert_eq!(
        one.stdout,
        "id        short\nurl       http://b.example/short\nfrom      pages.jsonl@3\ndropped   gopher_short_doc (gopher_quality)\n    too short\n"
    );
    let of_stage = tiny.say(&["preview", "runs/low", "--stage", "exact_dedup", "--rejected", "--json"]);
    assert_eq!(ids(&of_stage.stdout), ["twin"]);
    let unknown = tiny.say(&["preview", "runs/low", "--stage", "exact_dedupe"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("did you mean `exact_dedup`?"), "{}", unknown.stderr);
}

#[test]
fn preview_takes_sql() {
    let tiny = Tiny::new();
    tiny.ran("low");
    let some = tiny.say(&["preview", "runs/low", "--where", "length(text) > 300 AND id <> 'evil'", "--json"]);
    assert_eq!(ids(&some.stdout), ["long"], "{}", some.stderr);
    let nowhere = tiny.say(&["preview", "runs/low", "--where", "langauge = 'en'"]);
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.stderr.contains("there is no column `langauge`"), "{}", nowhere.stderr);
    let file = tiny.say(&["preview", "pages.jsonl", "--where", "url LIKE '%b.example%'", "--json"]);
    assert_eq!(ids(&file.stdout), ["short", "twin"], "{}", file.stderr);
}

#[test]
fn preview_decodes_token_shards() {
    let tiny = Tiny::new();
    let recipe = "[[stage]]\nkind = \"jsonl\"\npaths = [\"pages.jsonl\"]\n\n[[stage]]\nkind = \"tokenizer_train\"\nvocab_size = 300\n\n[[stage]]\nkind = \"token_shards\"\ntokenizer = { stage = \"tokenizer_train\" }\nvalidation_share = 0.0\n";
    std::fs::write(tiny.path("shards.toml"), recipe).unwrap();
    tiny.ran("shards");
    let of_stage = tiny.say(&["preview", "runs/shards", "--stage", "token_shards", "--json"]);
    let rows = json_lines(&of_stage.stdout);
    let mut texts: Vec<&str> = rows.iter().map(|row| row["text"].as_str().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts.len(), 5, "{}", of_stage.stderr);
    assert_eq!(texts[4], "too short");
    let file = tiny.say(&["preview", "runs/shards/token_shards/train-00000.bin", "--json"]);
    assert_eq!(file.stdout, of_stage.stdout, "{}", file.stderr);
    let none = tiny.say(&["preview", "runs/shards", "--stage", "tokenizer_train"]);
    assert!(none.stderr.contains("those that do: jsonl, token_shards"), "{}", none.stderr);
}

#[test]
fn nothing_in_a_page_reaches_a_terminal_raw() {
    let tiny = Tiny::new();
    tiny.ran("low");
    let url = "http://evil.example/\u{1b}]0;x\u{7}";
    for arguments in [
        &["preview", "runs/low"][..],
        &["preview", "runs/low", "--json"],
        &["preview", "pages.jsonl"],
        &["stats", "runs/low", "--by", "url"],
        &["why", "low.toml", url],
        &["why", "low.toml", url, "--json"],
    ] {
        let said = tiny.say(arguments);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(said.stdout.contains("evil"), "{arguments:?}: {}", said.stdout);
        let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.stdout.contains(harmful), "{arguments:?}: {:?}", said.stdout);
    }
}

#[test]
fn stats_count_by_stage_length_and_group() {
    let tiny = Tiny::new();
    tiny.ran("low");
    let stats: Value = serde_json::from_str(&tiny.say(&["stats", "runs/low", "--json"]).stdout).unwrap();
    let funnel = stats["funnel"]["stages"].as_array().unwrap();
    let row = |stage: &str| funnel.iter().find(|row| row["stage"] == stage).unwrap();
    assert_eq!(row("jsonl")["rejected"], json!({"bad_json": 1}));
    assert_eq!(row("gopher_quality")["rejected"], json!({"gopher_short_doc": 1}));
    assert_eq!(row("exact_dedup")["rejected"], json!({"exact_duplicate": 1}));
    assert_eq!(stats["kept"]["documents"], 3);
    let in_bins: u64 =
        stats["text_bytes"].as_array().unwrap().iter().map(|bin| bin["documents"].as_u64().unwrap()).sum();
    assert_eq!(in_bins, 3);
    let said = tiny.say(&["stats", "runs/low", "--by", "length(id)"]);
    let groups: Vec<String> = folded(&said.stdout).lines().rev().take(3).map(str::to_owned).collect();
    assert!(groups[2].starts_with("length(id) documents share"), "{groups:?} {}", said.stdout);
    assert!(groups[1].starts_with("4 2 66.7 %") && groups[0].starts_with("6 1 33.3 %"), "{groups:?}");
    let wrong = tiny.say(&["stats", "pages.jsonl"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("is no run"), "{}", wrong.stderr);
}

#[test]
fn diff_names_what_a_threshold_changed() {
    let tiny = Tiny::new();
    tiny.ran("low");
    tiny.ran("high");
    let said = tiny.say(&["diff", "runs/low", "runs/high"]);
    assert_eq!(said.code, 1);
    assert_eq!(
        said.stdout,
        "1 documents differ, 5 are alike\n\nkept -> gopher_short_doc (gopher_quality): 1\n  middle  http://a.example/middle\n"
    );
    let json: Value =
        serde_json::from_str(&tiny.say(&["diff", "runs/high", "runs/low", "--json"]).stdout).unwrap();
    assert_eq!(json["changes"][0]["id"], "middle");
    assert_eq!(json["changes"][0]["b"]["fate"], "kept");
    let same = tiny.say(&["diff", "runs/low", "runs/low"]);
    assert_eq!((same.code, same.stdout.as_str()), (0, "no difference: 6 documents alike\n"));
}

#[test]
fn why_replays_a_document() {
    let tiny = Tiny::new();
    let why = |document: &str| tiny.say(&["why", "low.toml", document]);
    let short = why("http://b.example/short");
    let expected = "id short\nurl http://b.example/short\nfrom pages.jsonl@3\n\nstage bytes in bytes out verdict\njsonl - 9 keep\ngopher_quality 9 9 drop gopher_short_doc lines 1, words 2\n";
    assert_eq!(folded(&short.stdout), expected, "{}", short.stderr);
    assert_eq!(why("pages.jsonl@3").stdout, short.stdout);
    let twin = why("twin").stdout;
    assert!(twin.contains("it compares documents and needs the others"), "{twin}");
    assert!(folded(&why("pages.jsonl@6").stdout).contains("jsonl - - drop bad_json"));
    tiny.ran("low");
    let twin = folded(&why("twin").stdout);
    assert!(twin.contains("drop exact_duplicate") && !twin.contains("write_parquet"), "{twin}");
    let long = folded(&why("long").stdout);
    assert!(long.contains("exact_dedup") && long.contains("write_parquet"), "{long}");
    let none = why("http://b.example/shorter");
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("the most alike are\n  http://b.example/short\n"), "{}", none.stderr);
    assert_eq!(why("other.jsonl@3").code, 2);
}

#[test]
fn check_reports_five_mistakes_at_once() {
    let tiny = Tiny::new();
    let recipe = "seed = \"one\"\n\n[[stage]]\nkind = \"jsonl\"\npaths = [\"pages.jsonl\"]\n\n[[stage]]\nkind = \"gopher_qualty\"\n\n[[stage]]\nkind = \"gopher_quality\"\nmin_wrds = 3\nmax_words = \"many\"\n\n[[stage]]\nid = \"again\"\nkind = \"url_dedup\"\ninput = \"nowhere\"\n";
    std::fs::write(tiny.path("wrong.toml"), recipe).unwrap();
    let said = tiny.say(&["check", "wrong.toml"]);
    assert_eq!(said.code, 2);
    let places: Vec<&str> =
        said.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("--> wrong.toml:")).collect();
    assert_eq!(places, ["1:8", "8:1", "12:1", "13:1", "18:1"], "{}", said.stderr);
    assert!(said.stderr.contains("did you mean `gopher_quality`?"), "{}", said.stderr);
    assert!(said.stderr.contains("did you mean `min_words`?"), "{}", said.stderr);
    assert!(said.stderr.contains("5 mistakes in wrong.toml"), "{}", said.stderr);
    assert!(said.stdout.is_empty());
}

#[test]
fn extract_keeps_the_order_and_reports_bad_lines() {
    let folder = tempfile::tempdir().unwrap();
    let input = "{\"id\":1,\"url\":\"u\",\"html\":\"<p>One<script>x</script>\"}\n{bad\n\n{\"id\":\"b\"}\n{\"id\":\"c\",\"html\":\"<p>Three\"}";
    let said = say(folder.path(), &["extract"], input);
    assert_eq!(said.code, 1);
    let lines = json_lines(&said.stdout);
    assert_eq!(lines.len(), 2);
    for (line, expected) in lines.iter().zip([json!([1, "One", null]), json!(["c", "Three", null])]) {
        assert_eq!(json!([line["id"], line["text"], line["title"]]), expected);
        assert!(line["page_type"].is_string() && (0.0..=1.0).contains(&line["confidence"].as_f64().unwrap()));
        assert_eq!(line.as_object().unwrap().len(), 5);
    }
    assert!(
        said.stderr.contains("line 2: `{bad` is not JSON: key must be a string at column 2")
            && said.stderr.contains("line 4: no string `html`"),
        "{}",
        said.stderr
    );
    // More pages than cores, of very different lengths, with lines that are no use in between.
    let mut input = Vec::new();
    for id in 0..200 {
        let page = format!(
            "<article><p>Page {id}{}",
            ", and more of it".repeat(if id % 7 == 0 { 2_000 } else { 3 })
        );
        input.extend(json!({"id": id, "html": page}).to_string().into_bytes());
        input.extend(if id % 50 == 0 { b"\n[1, 2]\n\"\xff\"\n".as_slice() } else { b"\r\n" });
    }
    let said = say(folder.path(), &["extract", "--format", "markdown"], &input);
    assert_eq!(said.code, 1);
    let ids: Vec<i64> = json_lines(&said.stdout).iter().map(|line| line["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    assert_eq!(said.stderr.lines().count(), 8, "{}", said.stderr);
    std::fs::write(folder.path().join("a.html"), b"<meta charset=latin1><h1>Caf\xe9 cr\xe8me</h1>").unwrap();
    let said = say(folder.path(), &["extract", "a.html", "gone.html", "--format", "markdown"], "");
    assert_eq!(said.code, 1);
    let lines = json_lines(&said.stdout);
    assert_eq!(lines.len(), 1);
    let line = json!([lines[0]["id"], lines[0]["text"], lines[0]["title"]]);
    assert_eq!(line, json!(["a.html", "# Café crème", "Café crème"]));
    assert!(said.stderr.contains("gone.html"), "{}", said.stderr);
}

#[test]
fn a_tokenizer_is_trained_and_used() {
    let tiny = Tiny::new();
    let trained = tiny.say(&["tokenizer", "train", "pages.jsonl", "--vocab-size", "300", "--out", "t.json"]);
    assert_eq!(
        (trained.code, trained.stdout.as_str()),
        (0, "t.json: 300 ids, 36 merges\n"),
        "{}",
        trained.stderr
    );
    let lines = "{\"id\":\"a\",\"text\":\"the wheel <|bos|> é\"}\n{\"id\":2,\"text\":\"\"}\n";
    let encoded = say(tiny.folder.path(), &["tokenizer", "encode", "--tokenizer", "t.json", "--json"], lines);
    assert_eq!(encoded.code, 0, "{}", encoded.stderr);
    let decoded =
        say(tiny.folder.path(), &["tokenizer", "decode", "--tokenizer", "t.json", "--json"], &encoded.stdout);
    assert_eq!(json_lines(&decoded.stdout), json_lines(lines));
    let ids = say(tiny.folder.path(), &["tokenizer", "encode", "--tokenizer", "t.json"], "the mill");
    let text = say(tiny.folder.path(), &["tokenizer", "decode", "--tokenizer", "t.json"], &ids.stdout);
    assert_eq!(text.stdout, "the mill");
    let stats = tiny.say(&["tokenizer", "stats", "--tokenizer", "t.json", "pages.jsonl", "--json"]);
    let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
    assert_eq!(stats["files"][0]["documents"], 5);
    assert!(stats["files"][0]["bytes_per_token"].as_f64().unwrap() > 1.5, "{stats}");
    assert!(stats["files"][0]["published"]["o200k_base"].as_f64().unwrap() > 1.5, "{stats}");
    assert!(stats["vocabulary"]["used"].as_u64().unwrap() <= 292, "{stats}");
    assert!(stats["longest"][0]["bytes"].as_u64().unwrap() > 2, "{stats}");
    let shown = tiny.say(&["tokenizer", "stats", "--tokenizer", "cl100k_base", "pages.jsonl"]);
    assert!(shown.stdout.contains("of 100256 tokens used"), "{}", shown.stdout);
    let shown = say(
        tiny.folder.path(),
        &["tokenizer", "encode", "--show", "--tokenizer", "cl100k_base"],
        "hello world\nand \u{1b}[2J<|endoftext|>",
    );
    assert_eq!(
        shown.stdout.lines().next_back(),
        Some("15 tokens, 33 bytes"),
        "a page that quotes a special token gives ordinary ids: {}",
        shown.stdout
    );
    assert!(shown.stdout.starts_with("hello| world|\\n\nand| |\\u{1b}[|"), "{}", shown.stdout);
    let wrong = tiny.say(&["tokenizer", "encode", "--tokenizer", "cl1000k_base"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("cl100k_base, o200k_base"), "{}", wrong.stderr);
}

#[test]
fn assets_are_as_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let said = say(folder.path(), &["assets"], "");
    assert_eq!(said.code, 0, "{}", said.stdout);
    let listed = say(folder.path(), &["assets", "--json"], "");
    let assets: Value = serde_json::from_str(&listed.stdout).unwrap();
    let lid = assets.as_array().unwrap().iter().find(|asset| asset["name"] == "lid.176.ftz").unwrap();
    assert_eq!((lid["state"].as_str(), lid["licence"].as_str()), (Some("as pinned"), Some("CC-BY-SA-3.0")));
}
