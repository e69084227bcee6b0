//! The generated pages in docs/ say what the code says. `UPDATE=1 cargo test -p gristmill` writes them anew.

use std::path::Path;

fn is_current(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(text.lines()).position(|(old, new)| old != new);
    let line = differs.unwrap_or_else(|| written.lines().count().min(text.lines().count())) + 1;
    assert!(
        written == text,
        "docs/{file} is not what the code says, from line {line} on: run `UPDATE=1 cargo test --release -p gristmill`"
    );
}

#[test]
fn stages_page_is_current() {
    is_current("stages.md", &gristmill::report::reference::stages_page());
}

#[test]
fn command_line_page_is_current() {
    is_current("cli.md", &gristmill::cli::reference());
}
