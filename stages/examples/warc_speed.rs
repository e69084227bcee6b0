//! Bytes a second of the WARC reader on one core: `cargo run --release --example warc_speed -- FILE...`

use std::fs::File;
use std::time::Instant;

use gristmill_stages::warc::http::Response;
use gristmill_stages::warc::reader::{Event, Reader};

fn main() -> std::io::Result<()> {
    for path in std::env::args().skip(1) {
        let begin = Instant::now();
        let mut reader = Reader::new(File::open(&path)?, 256 << 20)?;
        let (mut n_records, mut n_damages, mut n_bytes, mut n_pages) = (0u64, 0u64, 0u64, 0u64);
        while let Some(event) = reader.next_event()? {
            match event {
                Event::Record(record) => {
                    n_records += 1;
                    n_bytes += record.block.len() as u64;
                    let is_page =
                        record.headers.is("response") && Response::parse(record.block).status == 200;
                    n_pages += u64::from(is_page);
                }
                Event::Damage(_) => n_damages += 1,
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "{path}: {n_records} records, {n_pages} pages, {n_damages} damages, {:.1} MB of blocks, {:.0} MB/s",
            n_bytes as f64 / 1e6,
            n_bytes as f64 / 1e6 / seconds
        );
    }
    Ok(())
}
