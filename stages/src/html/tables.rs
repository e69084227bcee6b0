//! Tables that hold data.

use super::content::Kept;
use super::dom::{AttributeName, Dom, Tag};
use super::render::kept_text;
use super::writer::{Format, Gap, Writer, fold};

/// Whether a table holds data rather than layout: two columns at least, no tables inside, and no long cells.
pub fn is_data_table(dom: &Dom, kept: &Kept, table: u32) -> bool {
    let end = dom.nodes[table as usize].end;
    let (mut rows, mut cells, mut chars, mut headings, mut spanned) =
        (0_usize, 0_usize, 0_usize, 0_usize, 0_usize);
    for id in table + 1..end {
        match dom.nodes[id as usize].tag {
            Tag::Table | Tag::Pre | Tag::Blockquote | Tag::Form => return false,
            Tag::H1 | Tag::H2 | Tag::H3 => headings += 1,
            Tag::Tr => rows += 1,
            Tag::Td | Tag::Th => {
                cells += 1;
                spanned += span(dom, id, AttributeName::Colspan) - 1;
            }
            Tag::Text if kept.text(id) => chars += dom.text(id).len(),
            _ => {}
        }
    }
    // A row whose one cell spans the table is a heading among the rows.
    let wide = cells + spanned.min(rows / 2);
    rows >= 2 && wide >= 2 * rows - rows / 4 && headings <= 1 && chars <= 200 * cells
}

/// Columns that spans and short rows are filled up to.
const MOST_COLUMNS: usize = 64;

/// The cells of a table, where its spans put them.
#[derive(Default)]
struct Grid {
    rows: Vec<Vec<String>>,
    /// For each column, how many rows more a cell from above takes.
    taken: Vec<u32>,
    /// Empty cells that spans may still add: a table is at most half empty, lest a span of a million fill the memory.
    spare: usize,
}

impl Grid {
    fn begin_row(&mut self) {
        self.rows.push(Vec::new());
    }

    fn cell(&mut self, mut text: String, columns: usize, n_rows: u32) {
        if self.rows.is_empty() {
            self.begin_row();
        }
        let row = self.rows.last_mut().expect("one was begun");
        self.spare += 1;
        while row.len() < MOST_COLUMNS
            && self.spare > 0
            && self.taken.get(row.len()).is_some_and(|&rows| rows > 0)
        {
            self.taken[row.len()] -= 1;
            self.spare -= 1;
            row.push(String::new());
        }
        let columns = columns.min(MOST_COLUMNS.saturating_sub(row.len())).clamp(1, self.spare + 1);
        self.spare -= columns - 1;
        for _ in 0..columns {
            if n_rows > 1 && row.len() < MOST_COLUMNS {
                self.taken.resize(self.taken.len().max(row.len() + 1), 0);
                self.taken[row.len()] = n_rows - 1;
            }
            row.push(std::mem::take(&mut text));
        }
    }
}

/// Writes a table: pipes and a line of dashes in Markdown, cells between bars in plain text.
pub fn table(dom: &Dom, kept: &Kept, table: u32, writer: &mut Writer) {
    let end = dom.nodes[table as usize].end;
    let format = writer.format;
    let markdown = format == Format::Markdown;
    let mut grid = Grid { spare: MOST_COLUMNS, ..Grid::default() };
    let mut id = table + 1;
    while id < end {
        let node = dom.nodes[id as usize];
        match node.tag {
            Tag::Caption => {
                writer.text(&kept_text(dom, kept, id, format));
                writer.request_block();
                id = node.end;
                continue;
            }
            Tag::Tr => grid.begin_row(),
            Tag::Td | Tag::Th => {
                let cell = fold(&kept_text(dom, kept, id, format));
                if markdown {
                    let (columns, rows) =
                        (span(dom, id, AttributeName::Colspan), span(dom, id, AttributeName::Rowspan));
                    grid.cell(cell.replace('|', "\\|"), columns, rows as u32);
                } else {
                    grid.cell(cell, 1, 1);
                }
                id = node.end;
                continue;
            }
            _ => {}
        }
        id += 1;
    }
    let mut rows = grid.rows;
    rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
    if !markdown {
        for row in &mut rows {
            while row.last().is_some_and(String::is_empty) {
                row.pop();
            }
            writer.request(Gap::Line);
            writer.piece(&row.join(" | "));
        }
        return;
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0).min(MOST_COLUMNS);
    let n_cells: usize = rows.iter().map(Vec::len).sum();
    let n_missing: usize = rows.iter().map(|row| columns.saturating_sub(row.len())).sum();
    for (at, row) in rows.iter_mut().enumerate() {
        // The first row must be as wide as any; the others are filled up where that is little.
        if row.len() < columns && (at == 0 || n_missing <= n_cells) {
            row.resize(columns, String::new());
        }
        writer.request(Gap::Line);
        writer.piece(&format!("| {} |", row.join(" | ")));
        if at == 0 {
            writer.request(Gap::Line);
            writer.piece(&format!("|{}", " --- |".repeat(row.len())));
        }
    }
}

/// How many columns or rows a cell takes.
fn span(dom: &Dom, cell: u32, name: AttributeName) -> usize {
    dom.attribute(cell, name).and_then(|span| span.trim().parse().ok()).unwrap_or(1).clamp(1, 1_000)
}
