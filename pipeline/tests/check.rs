//! `gristmill check`: every mistake at once, each with its place.

use std::fs;
use std::process::Command;

fn check(recipe: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .current_dir(folder.path())
        .args(["check", "recipe.toml"])
        .output()
        .unwrap();
    assert!(output.stdout.is_empty() || output.status.success());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn five_mistakes_are_all_placed() {
    let (code, words) = check(
        r#"name = "x"
sede = 3

[[stage]]
kind = "jsonl"
paths = "a.jsonl"

[[stage]]
kind = "langauge"

[[stage]]
kind = "gopher_quality"
min_wrds = 50
input = "crawl"
"#,
    );
    assert_eq!(code, Some(2));
    for (message, place) in [
        ("unknown key `sede`", "recipe.toml:2:1"),
        ("`paths` in stage `jsonl`: invalid type", "recipe.toml:6:1"),
        ("unknown stage kind `langauge`", "recipe.toml:9:1"),
        ("unknown key `min_wrds` in stage `gopher_quality`", "recipe.toml:13:1"),
        ("no stage above is called `crawl`", "recipe.toml:14:1"),
    ] {
        let at = words.find(message).unwrap_or_else(|| panic!("no `{message}` in\n{words}"));
        let next = words[at..].lines().nth(1).unwrap();
        assert!(next.contains(place), "`{message}` stands at {next}");
    }
    assert!(words.contains("hint: did you mean `language`?"), "{words}");
    assert!(words.ends_with("5 mistakes in recipe.toml\n"), "{words}");
}

#[test]
fn a_missing_column_names_the_stage_that_writes_it() {
    let (code, words) = check(
        "[[stage]]\nkind = \"warc\"\npaths = [\"a\"]\n[[stage]]\nkind = \"language\"\n[[stage]]\nkind = \"write_parquet\"\n",
    );
    assert_eq!(code, Some(2));
    assert!(words.contains("`language` needs the column `text`; no stage above writes it"), "{words}");
    assert!(words.contains("hint: `kind = \"extract_text\"` writes `text`"), "{words}");
}

#[test]
fn text_that_is_no_toml_is_a_mistake_with_a_place() {
    let (code, words) = check("[[stage]]\nkind = \"jsonl\"\npaths = [\"a\"\n");
    assert_eq!(code, Some(2));
    assert!(words.contains("recipe.toml:3:"), "{words}");
}

#[test]
fn a_recipe_that_does_not_exist_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .args(["check", "/nowhere/recipe.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("cannot read recipe `/nowhere/recipe.toml`"), "{words}");
}
