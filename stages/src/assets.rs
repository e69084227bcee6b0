//! Outside files that results depend on: the vendored ones, compiled in so that the binary works anywhere.

use gristmill_tokenizer::{CL100K_BASE, O200K_BASE, R50K_BASE};

/// A vendored file.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// The name that recipes use.
    pub name: &'static str,
    /// The whole file.
    pub bytes: &'static [u8],
}

/// Where each asset comes from, its digest and its licence: the text of `assets/assets.toml`.
pub const LIST: &str = include_str!("../../assets/assets.toml");

/// Every vendored file.
pub static VENDORED: &[Asset] = &[
    Asset { name: "lid.176.ftz", bytes: include_bytes!("../../assets/lid.176.ftz") },
    Asset { name: "r50k_base.tiktoken", bytes: R50K_BASE },
    Asset { name: "cl100k_base.tiktoken", bytes: CL100K_BASE },
    Asset { name: "o200k_base.tiktoken", bytes: O200K_BASE },
];

/// A vendored file by name.
pub fn find(name: &str) -> Option<&'static Asset> {
    VENDORED.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn vendored_files_are_the_pinned_ones() {
        let list: toml::Table = LIST.parse().unwrap();
        let pinned = list["asset"].as_array().unwrap();
        assert_eq!(pinned.len(), VENDORED.len());
        for pin in pinned {
            let asset = find(pin["name"].as_str().unwrap()).unwrap();
            assert_eq!(asset.bytes.len() as i64, pin["bytes"].as_integer().unwrap());
            let digest = Sha256::digest(asset.bytes);
            assert_eq!(format!("{digest:x}"), pin["sha256"].as_str().unwrap(), "{}", asset.name);
            assert!(pin["licence"].as_str().is_some_and(|licence| !licence.is_empty()));
        }
    }
}
