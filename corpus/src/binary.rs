//! What readers of our binary files share: integers out of bytes, and errors that name the file.

use std::io;
use std::path::Path;

/// The little-endian u64 at `start`.
pub fn word(bytes: &[u8], start: usize) -> u64 {
    u64::from_le_bytes(bytes[start..start + 8].try_into().expect("a slice of eight bytes"))
}

/// The error of a file that is not what it should be.
pub fn damaged(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The same error with the file's path in front.
pub fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
