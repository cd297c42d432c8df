//! The hash of a base: of every file in its folder that decides what is computed with it, by name and content.

use std::path::{Path, PathBuf};

use super::ModelError;
use hilora_contract::artifact::ContentHash;

/// Endings of the files that decide: weights, configuration, tokenizer and chat template.
const HASHED_ENDINGS: [&str; 3] = ["json", "safetensors", "jinja"];

/// The hash of a base's folder. `on_bytes` is told how many bytes are read, of how many.
pub fn hash_of_base(folder: &Path, on_bytes: &mut dyn FnMut(u64, u64)) -> Result<ContentHash, ModelError> {
    let unreadable = |source| ModelError::Base { folder: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>().map_err(unreadable)?;
    files.retain(|path| path.extension().is_some_and(|ending| HASHED_ENDINGS.iter().any(|hashed| ending == *hashed)));
    let total: u64 = files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum();
    let mut done = 0;
    let mut listing = Vec::with_capacity(files.len());
    for path in files {
        let mut on_piece = |bytes: usize| {
            done += bytes as u64;
            on_bytes(done, total);
        };
        let hash = ContentHash::of_file_watched(&path, &mut on_piece).map_err(unreadable)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        listing.push(format!("{name}\0{hash}"));
    }
    listing.sort();
    Ok(ContentHash::of_parts(listing.iter().map(String::as_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_decide_and_other_files_do_not() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        let hash = || hash_of_base(folder.path(), &mut |_, _| ());
        write("config.json", "{}")?;
        write("model.safetensors", "weights")?;
        let first = hash()?;
        write("README.md", "a text")?;
        assert_eq!(hash()?, first);
        write("tokenizer.json", "{}")?;
        let with_tokenizer = hash()?;
        assert_ne!(with_tokenizer, first);
        std::fs::rename(folder.path().join("tokenizer.json"), folder.path().join("vocabulary.json"))?;
        assert_ne!(hash()?, with_tokenizer);
        let mut last = (0, 0);
        hash_of_base(folder.path(), &mut |done, total| last = (done, total))?;
        assert_eq!(last, (11, 11));
        let missing = hash_of_base(&folder.path().join("none"), &mut |_, _| ()).expect_err("there is no such folder");
        assert!(missing.to_string().starts_with("cannot read the base model "), "{missing}");
        Ok(())
    }
}
