//! The code cache: images on disk, found by what they were made from, believed only after a check.
//!
//! Why so: the key is the hash of everything that decides the image (the blob as read from the very process, the
//! scenario, the worker's build, the CPU, the tunables), so an entry never becomes stale, only unused. What the
//! worker refuses for good is kept too, so that it is not tried at every onset. Entries are written beside their
//! place and renamed; a reader sees all of one or nothing. The oldest use goes first when the bound is reached.
//!
//! One folder per user: code of one user is never given to another.
//!
//! ## Layout of an entry (little-endian)
//! | offset | field |
//! |---|---|
//! | 0 | magic `TGCACHE\0` |
//! | 8 | version `u32` |
//! | 12 | kind `u32`: 0 image, 1 refusal |
//! | 16 | key (32 bytes); the file's name is its hexadecimal form |
//! | 48 | BLAKE3 (32 bytes) of everything from byte 80 |
//! | 80 | length of the label `u32`, length of the payload `u32` |
//! | 88 | label (JSON, for people), payload |

use crate::VariantsError;
use crate::error::at;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use tidegate_format::bytes::Reader;
use tidegate_format::image::{CpuFeatures, Image};
use tidegate_format::request::Constant;
use tidegate_format::{FormatError, FunctionHash};

const MAGIC: [u8; 8] = *b"TGCACHE\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 88;
const HASHED_FROM: usize = 80;
/// An entry holds one image (at most 4 MiB) and a short label.
const ENTRY_LIMIT_BYTES: u64 = 5 * 1024 * 1024;
/// The whole folder, unless told otherwise: some ten thousand variants.
pub const DEFAULT_LIMIT_BYTES: u64 = 256 * 1024 * 1024;
/// After reaching the bound, this much is freed, so that not every store has to.
const FREED_SHARE: f64 = 0.1;

/// Entries that this process has begun to write.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// Everything that decides what an image looks like.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    /// The blob, as read from the process.
    pub blob: &'a [u8],
    /// The scenario's name.
    pub scenario: &'a str,
    /// Which of its pipelines.
    pub candidate: u8,
    /// Arguments that are assumed.
    pub constants: &'a [Constant],
    /// Identity of the worker: its pipelines and its compiler.
    pub worker: &'a str,
    /// Model of the CPU.
    pub cpu_model: &'a str,
    /// Bits of its features.
    pub cpu_features: u64,
    /// Values of tunables that differ from the declared ones.
    pub tunables: &'a [(String, i64)],
}

/// The name of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// Hashes the parts, each with its length, so that no two lists of parts collide by concatenation.
    pub fn new(parts: &KeyParts<'_>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tidegate code cache, key of an image, version 2");
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(parts.blob);
        add(parts.scenario.as_bytes());
        add(&[parts.candidate]);
        let constants = parts.constants.iter();
        let constants: Vec<u8> = constants
            .flat_map(|constant| {
                let value = constant.value.to_le_bytes();
                [constant.register].into_iter().chain(value)
            })
            .collect();
        add(&constants);
        add(parts.worker.as_bytes());
        add(parts.cpu_model.as_bytes());
        add(&parts.cpu_features.to_le_bytes());
        for (name, value) in parts.tunables {
            add(name.as_bytes());
            add(&value.to_le_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }

    fn from_name(name: &str) -> Option<Self> {
        blake3::Hash::from_hex(name)
            .ok()
            .map(|hash| Self(*hash.as_bytes()))
    }

    fn name(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name())
    }
}

/// What an entry is about, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The function's name.
    pub function: String,
    /// Its recipe in words: scenario, candidate, constants.
    pub scenario: String,
    /// The executable that it was first made for.
    pub executable: String,
    /// Model of the CPU.
    pub cpu_model: String,
    /// CPU time of the worker.
    pub compile_cpu_ms: f64,
}

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// An image, checked.
    Image(Vec<u8>),
    /// There is none, and why.
    Refusal(String),
}

/// One entry in a listing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Its key in hexadecimal.
    pub key: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Seconds since the Unix epoch of its last use.
    pub used_utc_s: u64,
    /// What it is about; `None` for a damaged entry.
    pub label: Option<Label>,
    /// `image`, `refusal`, or what is wrong with it.
    pub state: String,
}

/// One entry, looked into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// As in a listing.
    #[serde(flatten)]
    pub entry: Listed,
    /// What its image is; `None` for a refusal or a damaged entry.
    pub image: Option<ShownImage>,
}

/// An image in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownImage {
    /// Identity of the function.
    pub function_hash: String,
    /// Version of the worker's table of pipelines.
    pub pipeline_version: u16,
    /// Bytes of code.
    pub text_bytes: u32,
    /// Bytes of constants.
    pub constant_bytes: u32,
    /// Bytes of unwind information.
    pub unwind_bytes: u32,
    /// Places that are filled in when it is loaded.
    pub relocations: usize,
    /// What the CPU must offer.
    pub cpu_features: Vec<String>,
}

fn feature_names(features: CpuFeatures) -> Vec<String> {
    let named = CpuFeatures::NAMED.iter();
    named
        .filter(|(feature, _)| feature.is_subset_of(features))
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

/// A user's code cache.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    limit_bytes: u64,
}

impl Cache {
    /// Opens or makes the folder, for its owner only.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn open(folder: &Path, limit_bytes: u64) -> Result<Self, VariantsError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(at(folder))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            limit_bytes,
        })
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, key: Key) -> PathBuf {
        self.folder.join(key.name())
    }

    /// Looks an entry up; a damaged or foreign one is removed and counts as missing.
    pub fn get(&self, key: Key, hash: FunctionHash) -> Option<Stored> {
        let path = self.path(key);
        if !path.exists() {
            return None;
        }
        let stored = read_entry(&path, key)
            .and_then(|entry| entry.stored(&path, Some(hash)))
            .ok();
        // The time decides only the order of removal.
        let _ = match stored {
            Some(_) => File::open(&path).and_then(|file| file.set_modified(SystemTime::now())),
            None => fs::remove_file(&path),
        };
        stored
    }

    /// Stores what was compiled, and makes room if there is too much.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn put(&self, key: Key, label: &Label, stored: &Stored) -> Result<(), VariantsError> {
        let bytes = entry_bytes(key, label, stored);
        let path = self.path(key);
        // Nobody else's, also where the same is stored twice at once.
        let draft = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = format!(".{}.{}.{draft}", key.name(), std::process::id());
        let draft = self.folder.join(draft);
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_data()
        });
        let renamed = written.and_then(|()| fs::rename(&draft, &path));
        if renamed.is_err() {
            let _ = fs::remove_file(&draft);
        }
        renamed.map_err(at(&path))?;
        self.collect().map(|_| ())
    }

    /// Removes the entries that were not used for longest until its bound is kept; gives their number and bytes.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn collect(&self) -> Result<(usize, u64), VariantsError> {
        self.collect_to(self.limit_bytes)
    }

    /// As [`collect`](Self::collect), down to this bound.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn collect_to(&self, limit_bytes: u64) -> Result<(usize, u64), VariantsError> {
        let mut files = self.files()?;
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        let before = total;
        if total <= limit_bytes {
            return Ok((0, 0));
        }
        let goal = (limit_bytes as f64 * (1.0 - FREED_SHARE)) as u64;
        files.sort_by_key(|(_, _, used)| *used);
        let mut removed = 0;
        for (path, bytes, _) in files {
            if total <= goal {
                break;
            }
            fs::remove_file(&path).map_err(at(&path))?;
            total -= bytes;
            removed += 1;
        }
        Ok((removed, before - total))
    }

    fn files(&self) -> Result<Vec<(PathBuf, u64, SystemTime)>, VariantsError> {
        let entries = fs::read_dir(&self.folder).map_err(at(&self.folder))?;
        let files = entries.filter_map(Result::ok).filter_map(|entry| {
            let data = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((entry.path(), data.len(), data.modified().ok()?))
        });
        Ok(files.collect())
    }

    /// The entries whose key begins so, checked, with what they hold.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn show(&self, key: &str) -> Result<Vec<Shown>, VariantsError> {
        let entries = self
            .list()?
            .into_iter()
            .filter(|entry| entry.key.starts_with(key));
        Ok(entries.map(|entry| self.shown(entry)).collect())
    }

    fn shown(&self, entry: Listed) -> Shown {
        let path = self.folder.join(&entry.key);
        let stored = Key::from_name(&entry.key).and_then(|key| {
            read_entry(&path, key)
                .and_then(|read| read.stored(&path, None))
                .ok()
        });
        let image = stored.and_then(|stored| match stored {
            Stored::Image(bytes) => Image::read(&bytes).ok().map(|image| ShownImage {
                function_hash: image.hash.to_string(),
                pipeline_version: image.pipeline_version,
                text_bytes: image.text_length,
                constant_bytes: image.rodata.1,
                unwind_bytes: image.eh_frame.1,
                relocations: image.relocations().count(),
                cpu_features: feature_names(image.cpu_features),
            }),
            Stored::Refusal(_) => None,
        });
        Shown { entry, image }
    }

    /// Every entry, checked, the latest use first.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn list(&self) -> Result<Vec<Listed>, VariantsError> {
        let mut files = self.files()?;
        files.sort_by(|left, right| (right.2, &left.0).cmp(&(left.2, &right.0)));
        Ok(files
            .iter()
            .map(|(path, bytes, used)| listed(path, *bytes, *used))
            .collect())
    }

    /// Checks every entry and removes those that do not hold; gives (checked, removed).
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn verify(&self) -> Result<(usize, Vec<Listed>), VariantsError> {
        let all = self.list()?;
        let checked = all.len();
        let damaged: Vec<Listed> = all.into_iter().filter(|entry| entry.label.is_none()).collect();
        for entry in &damaged {
            let path = self.folder.join(&entry.key);
            fs::remove_file(&path).map_err(at(&path))?;
        }
        Ok((checked, damaged))
    }
}

fn listed(path: &Path, bytes: u64, used: SystemTime) -> Listed {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("?")
        .to_owned();
    let used_utc_s = used
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let checked = match Key::from_name(&name) {
        Some(key) => {
            read_entry(path, key).and_then(|entry| Ok((entry.stored(path, None)?, entry.label(path)?)))
        }
        None => Err(damaged(path, "the name is not a key")),
    };
    let (label, state) = match checked {
        Ok((Stored::Image(_), label)) => (Some(label), "image".to_owned()),
        Ok((Stored::Refusal(why), label)) => (Some(label), format!("refusal: {why}")),
        Err(VariantsError::Stored { what, .. }) => (None, what),
        Err(error) => (None, error.to_string()),
    };
    Listed {
        key: name,
        bytes,
        used_utc_s,
        label,
        state,
    }
}

/// An entry whose hash holds.
struct Entry {
    kind: u32,
    label: Vec<u8>,
    payload: Vec<u8>,
}

impl Entry {
    fn stored(&self, path: &Path, hash: Option<FunctionHash>) -> Result<Stored, VariantsError> {
        if self.kind == 1 {
            return Ok(Stored::Refusal(
                String::from_utf8_lossy(&self.payload).into_owned(),
            ));
        }
        let image = Image::read(&self.payload).map_err(|error| damaged(path, &error.to_string()))?;
        if hash.is_some_and(|hash| hash != image.hash) {
            return Err(damaged(path, "the image is of another function"));
        }
        Ok(Stored::Image(self.payload.clone()))
    }

    fn label(&self, path: &Path) -> Result<Label, VariantsError> {
        serde_json::from_slice(&self.label).map_err(|error| damaged(path, &error.to_string()))
    }
}

fn damaged(path: &Path, what: &str) -> VariantsError {
    VariantsError::Stored {
        path: path.to_path_buf(),
        what: what.to_owned(),
    }
}

/// The bytes of an entry.
pub fn entry_bytes(key: Key, label: &Label, stored: &Stored) -> Vec<u8> {
    let (kind, payload) = match stored {
        Stored::Image(image) => (0_u32, image.as_slice()),
        Stored::Refusal(why) => (1, why.as_bytes()),
    };
    // A label is made of strings and a number: nothing that JSON cannot hold but a number that is not one.
    let label = serde_json::to_vec(label).unwrap_or_default();
    let mut body = Vec::with_capacity(label.len() + payload.len() + 8);
    body.extend((label.len() as u32).to_le_bytes());
    body.extend((payload.len() as u32).to_le_bytes());
    body.extend(&label);
    body.extend(payload);
    let mut bytes = Vec::with_capacity(HASHED_FROM + body.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(key.0);
    bytes.extend(blake3::hash(&body).as_bytes());
    bytes.extend(body);
    bytes
}

fn read_entry(path: &Path, key: Key) -> Result<Entry, VariantsError> {
    let data = fs::symlink_metadata(path).map_err(at(path))?;
    if !data.is_file() || data.len() > ENTRY_LIMIT_BYTES {
        return Err(damaged(path, "not a file of an entry's size"));
    }
    if data.uid()
        != fs::metadata(path.parent().unwrap_or(path))
            .map_err(at(path))?
            .uid()
    {
        return Err(damaged(path, "owned by another user than the folder"));
    }
    let bytes = fs::read(path).map_err(at(path))?;
    parse_entry(path, key, &bytes)
}

/// Reads the bytes of an entry as [`Cache::get`] does; `path` is only named in errors.
///
/// # Errors
/// [`VariantsError::Stored`], [`VariantsError::StoredVersion`].
pub fn parse(path: &Path, key: Key, bytes: &[u8]) -> Result<(Label, Stored), VariantsError> {
    let entry = parse_entry(path, key, bytes)?;
    Ok((entry.label(path)?, entry.stored(path, None)?))
}

fn parse_entry(path: &Path, key: Key, bytes: &[u8]) -> Result<Entry, VariantsError> {
    let truncated = |_: FormatError| damaged(path, "truncated");
    let mut reader = Reader::new(bytes);
    if reader.array::<8>().map_err(truncated)? != MAGIC {
        return Err(damaged(path, "not an entry of the code cache"));
    }
    let found = reader.u32().map_err(truncated)?;
    if found != VERSION {
        return Err(VariantsError::StoredVersion {
            path: path.to_path_buf(),
            found,
            known: VERSION,
        });
    }
    let kind = reader.u32().map_err(truncated)?;
    if kind > 1 {
        return Err(damaged(path, "of an unknown kind"));
    }
    if reader.array::<32>().map_err(truncated)? != key.0 {
        return Err(damaged(path, "its key is not its name"));
    }
    let hash = reader.array::<32>().map_err(truncated)?;
    let body = bytes.get(HASHED_FROM..).unwrap_or(&[]);
    if blake3::hash(body).as_bytes() != &hash {
        return Err(damaged(path, "its hash does not hold"));
    }
    let label_bytes = reader.u32().map_err(truncated)? as usize;
    let payload_bytes = reader.u32().map_err(truncated)? as usize;
    let label = reader.take(label_bytes).map_err(truncated)?.to_vec();
    let payload = reader.take(payload_bytes).map_err(truncated)?.to_vec();
    if bytes.len() != HEADER_BYTES + label_bytes + payload_bytes {
        return Err(damaged(path, "bytes after its end"));
    }
    Ok(Entry { kind, label, payload })
}
