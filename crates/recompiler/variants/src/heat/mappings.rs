//! Which files a process has mapped where, by the kernel's word.
//!
//! Why so: executable and libraries are told apart by it, addresses become places in files, and files are found as the
//! process sees them, whatever root folder it has.
//!
//! Not here: what the files hold.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A mapped file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MappedFile {
    /// Device (as the kernel writes it) and inode.
    pub(crate) identity: (String, u64),
    /// Its path, as the process sees it.
    pub(crate) path: String,
}

impl MappedFile {
    /// The path for somebody outside of the process.
    pub(crate) fn real_path(&self, process: u32) -> PathBuf {
        PathBuf::from(format!("/proc/{process}/root{}", self.path))
    }
}

/// One line of `/proc/<pid>/maps` that belongs to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// First address and the one behind the last.
    pub(crate) range: (u64, u64),
    /// Place of the first address in the file.
    pub(crate) offset: u64,
    /// Whether it is code.
    pub(crate) is_code: bool,
    /// The file.
    pub(crate) file: MappedFile,
}

/// The mapped files of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mappings {
    all: Vec<Mapping>,
    executable: u64,
}

impl Mappings {
    /// Those of a process; none where it cannot be read.
    pub(crate) fn of(process: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
        let executable = fs::metadata(format!("/proc/{process}/exe"));
        Self {
            all: text.lines().filter_map(mapping).collect(),
            executable: executable.map_or(0, |data| data.ino()),
        }
    }

    /// The file that is mapped at an address.
    pub(crate) fn file_at(&self, address: u64) -> Option<&MappedFile> {
        let covers = |mapping: &&Mapping| (mapping.range.0..mapping.range.1).contains(&address);
        self.all.iter().find(covers).map(|mapping| &mapping.file)
    }

    /// Mappings of code.
    pub(crate) fn code(&self) -> impl Iterator<Item = &Mapping> {
        self.all.iter().filter(|mapping| mapping.is_code)
    }

    /// Whether a file is the executable itself.
    pub(crate) fn is_executable(&self, file: &MappedFile) -> bool {
        file.identity.1 == self.executable
    }
}

fn mapping(line: &str) -> Option<Mapping> {
    let (start, rest) = line.split_once('-')?;
    let mut fields = rest.split_whitespace();
    let (end, access, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let (device, inode) = (fields.next()?, fields.next()?.parse().ok()?);
    let path = rest.find('/').and_then(|place| rest.get(place..))?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    Some(Mapping {
        range: (number(start)?, number(end)?),
        offset: number(offset)?,
        is_code: access.contains('x'),
        file: MappedFile {
            identity: (device.to_owned(), inode),
            path: path.to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_files() {
        let line = "55d0c0001000-55d0c0005000 r-xp 00001000 fe:00 1234                       /tmp/an app";
        let found = mapping(line).unwrap();
        assert_eq!(found.range, (0x55d0_c000_1000, 0x55d0_c000_5000));
        assert_eq!((found.offset, found.is_code), (0x1000, true));
        assert_eq!(found.file.identity, ("fe:00".to_owned(), 1234));
        assert_eq!(found.file.path, "/tmp/an app");
        assert_eq!(
            mapping("55d0c0001000-55d0c0005000 rw-p 00000000 00:00 0   [heap]"),
            None
        );
        assert_eq!(mapping("garbage"), None);
    }

    #[test]
    fn our_own_code_is_the_executable_s() {
        let mapped = Mappings::of(std::process::id());
        let file = mapped.file_at(mapping as *const () as u64).unwrap();
        assert!(mapped.is_executable(file) && file.real_path(std::process::id()).is_file());
        assert!(mapped.code().any(|code| !mapped.is_executable(&code.file)));
    }
}
