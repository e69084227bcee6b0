//! How much memory a run may fill.

use std::fs;

/// Half of the machine's memory; 4 GiB where it does not say.
pub fn default() -> usize {
    let all = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    all.map_or(4 << 30, |bytes| bytes / 2)
}

fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Reads a size as people write it: `4GiB`, `512MiB`, `2.5G`, `1000000`.
///
/// # Errors
/// A message that says what would work.
pub fn parse(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is no size; `4GiB`, `512MiB` and `800000000` are");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = number * unit;
    if bytes >= 1.0 && bytes < 2_f64.powi(60) { Ok(bytes as usize) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_written() {
        assert_eq!(parse("4GiB"), Ok(4 << 30));
        assert_eq!(parse("1.5 g"), Ok(3 << 29));
        assert_eq!(parse("512mib"), Ok(512 << 20));
        assert_eq!(parse("2kB"), Ok(2000));
        assert_eq!(parse("77"), Ok(77));
        for wrong in ["", "GiB", "0", "4 apples", "-1G", "1.2.3M", "99999999TiB", "inf"] {
            assert!(parse(wrong).unwrap_err().contains("is no size"), "{wrong}");
        }
    }

    #[test]
    fn the_machine_is_asked() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       24576000 kB\n"), Some(24_576_000 * 1024));
        assert_eq!(total("nothing"), None);
        assert!(default() > 1 << 20);
    }
}
