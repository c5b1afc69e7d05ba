//! Models by the hash of their content: a promoted model is named in the input log, and found here.

use crate::error::{HistoryError, Result};
use crate::layout;
use crate::reader::Reader;
use crate::store::Store;
use std::path::PathBuf;

fn model_path(reader: &Reader, hash: &str) -> Option<PathBuf> {
    let named = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    named.then(|| reader.dir.join(layout::MODELS).join(hash))
}

impl Store {
    /// Keeps the bytes of a model and gives the hash that names it.
    pub fn put_model(&self, bytes: &[u8]) -> Result<String> {
        self.reader().put_model(bytes)
    }
}

impl Reader {
    /// Keeps the bytes of a model and gives the hash that names it. The file is written whole or not at all, and the
    /// same bytes have the same name, so this may be done beside the store's writer.
    pub fn put_model(&self, bytes: &[u8]) -> Result<String> {
        let hash = blake3::hash(bytes).to_hex().to_string();
        let path = self.dir.join(layout::MODELS).join(&hash);
        self.storage
            .replace(&path, bytes)
            .map_err(HistoryError::io("writing", &path))?;
        Ok(hash)
    }

    /// The bytes of a model; `None` where it is not there. Bytes that do not match their name are an error.
    pub fn model(&self, hash: &str) -> Result<Option<Vec<u8>>> {
        let Some(path) = model_path(self, hash) else {
            return Ok(None);
        };
        let bytes = match self.storage.read(&path, 0, usize::MAX) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(HistoryError::io("reading", &path))?,
        };
        if blake3::hash(&bytes).to_hex().as_str() != hash {
            return Err(HistoryError::Model { path });
        }
        Ok(Some(bytes))
    }
}
