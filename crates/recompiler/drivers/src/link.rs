//! `tidegate-link`, the linker that rustc calls: bitcode becomes ELF by clang with the partition plugin, and clang
//! links it.
//!
//! Objects and the members of archives that are bitcode are converted, each once: the result is kept by the hash of
//! everything that it is made of. What came as machine code (std, C libraries, crates without optimisation) goes on
//! as it is, and the program says so to `tidegate inspect`.

use crate::DriverError;
use crate::cc;
use crate::rustc::{LEVEL_VARIABLE, WITHOUT_RUNTIME_VARIABLE};
use crate::tools::Tools;
use object::read::archive::ArchiveFile;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_format::section::{REFUSED_SECTION, Refusal, RefusalReason};

/// The folder in which converted objects are kept; without it, the system's folder for temporary files.
pub const OBJECTS_VARIABLE: &str = "TIDEGATE_OBJECTS";
/// The functions to select (see `tidegate_partition::options`): part of what an object is made of.
const FUNCTIONS_VARIABLE: &str = "TIDEGATE_FUNCTIONS";
/// The names of the programs beside this one.
const PROGRAMS: [&str; 2] = ["tidegate-link", "tidegate"];
/// First bytes of bitcode, bare and wrapped.
const BITCODE: [[u8; 4]; 2] = [*b"BC\xc0\xde", [0xde, 0xc0, 0x17, 0x0b]];

/// The program for `-C linker=…`: beside the running one.
pub fn program() -> Result<PathBuf, DriverError> {
    beside(&PROGRAMS[..1])
}

/// The first of `names` that stands beside the running program.
pub(crate) fn beside(names: &'static [&'static str]) -> Result<PathBuf, DriverError> {
    let own = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .unwrap_or_default();
    let folder = own.parent().unwrap_or(Path::new("")).to_owned();
    let candidates = [folder.clone(), folder.join("..")];
    let mut paths = candidates
        .iter()
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    paths.find(|path| path.is_file()).ok_or(DriverError::Missing {
        what: names[0],
        places: folder.display().to_string(),
    })
}

/// Links: becomes clang, on the converted arguments.
pub fn link(arguments: &[OsString]) -> Result<Infallible, DriverError> {
    let mut tools = Tools::find()?;
    if std::env::var_os(WITHOUT_RUNTIME_VARIABLE).is_some() {
        (tools.runtime, tools.library) = (None, None);
    }
    let arguments = expand(arguments)?;
    let level = std::env::var(LEVEL_VARIABLE).unwrap_or_default();
    let converter = Converter::new(&tools, &level)?;
    let mut all = Vec::with_capacity(arguments.len());
    let mut precompiled = Vec::new();
    for argument in arguments
        .iter()
        .filter(|argument| !is_for_a_link_time_optimiser(argument))
    {
        let path = Path::new(argument);
        let replaced = converter.replacement(path)?;
        if replaced.is_none() && extension(path) == Some("rlib") {
            precompiled.push(crate_name(path));
        }
        all.push(replaced.map_or_else(|| argument.clone(), PathBuf::into_os_string));
    }
    if tools.runtime.is_some() && !precompiled.is_empty() {
        all.push(converter.record(&precompiled)?.into_os_string());
    }
    let mut command = cc::command(&all, &tools)?;
    Err(DriverError::Start {
        source: command.exec(),
        program: tools.clang,
    })
}

/// Words for the plugin of a linker that optimises itself.
fn is_for_a_link_time_optimiser(argument: &OsStr) -> bool {
    let text = argument.to_str().unwrap_or_default();
    text.starts_with("-Wl,-plugin-opt=") || text.starts_with("-plugin-opt=")
}

/// `libstd-d1237ef7159db0a2.rlib` is `std`.
fn crate_name(path: &Path) -> String {
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = stem.strip_prefix("lib").unwrap_or(&stem);
    name.rsplit_once('-').map_or(name, |(name, _)| name).to_owned()
}

/// Makes ELF of bitcode.
pub struct Converter<'a> {
    tools: &'a Tools,
    folder: PathBuf,
    level: &'static str,
    /// What else an object is made of, besides its bitcode.
    rest: blake3::Hash,
}

impl<'a> Converter<'a> {
    /// A converter for this process's environment; `level` is rustc's `-C opt-level`.
    pub fn new(tools: &'a Tools, level: &str) -> Result<Self, DriverError> {
        let folder = std::env::var_os(OBJECTS_VARIABLE).map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| std::env::temp_dir().join("tidegate-objects"));
        create_folder(&folder)?;
        let level = level_flag(level);
        let plugin = state_of(&tools.plugin)?;
        let functions = std::env::var_os(FUNCTIONS_VARIABLE).and_then(|path| std::fs::read(path).ok());
        let mut hasher = blake3::Hasher::new();
        hasher.update(plugin.as_bytes()).update(level.as_bytes());
        hasher.update(&functions.unwrap_or_default());
        Ok(Self {
            tools,
            folder,
            level,
            rest: hasher.finalize(),
        })
    }

    /// What to link in place of an argument; `None` for the argument itself.
    fn replacement(&self, path: &Path) -> Result<Option<PathBuf>, DriverError> {
        match extension(path) {
            Some("o") if path.is_file() => self.object_file(path),
            Some("rlib") if path.is_file() => self.archive(path),
            _ => Ok(None),
        }
    }

    /// The converted object, `None` where it is no bitcode.
    fn object_file(&self, path: &Path) -> Result<Option<PathBuf>, DriverError> {
        let bytes = read(path)?;
        is_bitcode(&bytes).then(|| self.object(&bytes)).transpose()
    }

    /// The archive with ELF in place of bitcode, `None` where there is no bitcode in it.
    pub fn archive(&self, path: &Path) -> Result<Option<PathBuf>, DriverError> {
        let bytes = read(path)?;
        let members = members(path, &bytes)?;
        if !members.iter().any(|(_, bytes)| is_bitcode(bytes)) {
            return Ok(None);
        }
        let target = self.place(&bytes, "a");
        if target.is_file() {
            return Ok(Some(target));
        }
        let folder = self.temporary();
        create_folder(&folder)?;
        let mut files = Vec::new();
        for (index, (name, bytes)) in members.iter().enumerate() {
            // A linker looks at objects only; a number keeps apart what has the same name.
            if !is_bitcode(bytes) && !bytes.starts_with(b"\x7fELF") {
                continue;
            }
            let file = folder.join(format!("{index}-{}", name.replace('/', "_")));
            if is_bitcode(bytes) {
                let object = self.object(bytes)?;
                std::fs::copy(&object, &file)
                    .map(|_| ())
                    .map_err(|source| write_error(&file, source))?;
            } else {
                write(&file, bytes)?;
            }
            files.push(file);
        }
        let unfinished = folder.join("archive.a");
        let mut command = Command::new(self.archiver()?);
        command.arg("rcsD").arg(&unfinished).args(files);
        run(command, path)?;
        rename(&unfinished, &target)?;
        let _ = std::fs::remove_dir_all(folder);
        Ok(Some(target))
    }

    fn object(&self, bitcode: &[u8]) -> Result<PathBuf, DriverError> {
        let mut plugin = OsString::from("-fpass-plugin=");
        plugin.push(&self.tools.plugin);
        let flags = "-fPIC -ffunction-sections -fdata-sections -ffp-contract=off -w -x ir";
        let mut arguments: Vec<_> = flags.split(' ').map(OsString::from).collect();
        arguments.extend([OsString::from(self.level), plugin]);
        self.compiled(bitcode, &arguments)
    }

    /// What clang makes of `source` with `arguments`, once.
    fn compiled(&self, source: &[u8], arguments: &[OsString]) -> Result<PathBuf, DriverError> {
        let target = self.place(source, "o");
        if target.is_file() {
            return Ok(target);
        }
        let (input, unfinished) = (self.temporary(), self.temporary());
        write(&input, source)?;
        let mut command = Command::new(&self.tools.clang);
        command
            .arg("-c")
            .args(arguments)
            .arg(&input)
            .arg("-o")
            .arg(&unfinished);
        let done = run(command, &input);
        let _ = std::fs::remove_file(&input);
        done?;
        rename(&unfinished, &target)?;
        Ok(target)
    }

    /// An object that tells `tidegate inspect` which crates came as machine code.
    fn record(&self, crates: &[String]) -> Result<PathBuf, DriverError> {
        let records = crates.iter().flat_map(|name| {
            let refusal = Refusal {
                name,
                reason: RefusalReason::Precompiled,
            };
            refusal.to_bytes()
        });
        let bytes: Vec<String> = records.map(|byte| byte.to_string()).collect();
        let text = format!(
            ".section {REFUSED_SECTION},\"aR\",@progbits\n.p2align 3\n.byte {}\n.section .note.GNU-stack,\"\",@progbits\n",
            bytes.join(",")
        );
        self.compiled(text.as_bytes(), &["-x", "assembler"].map(OsString::from))
    }

    fn archiver(&self) -> Result<PathBuf, DriverError> {
        let mut command = Command::new(&self.tools.clang);
        let output = command.arg("-print-prog-name=llvm-ar").output();
        let output = output.map_err(|source| DriverError::Start {
            program: self.tools.clang.clone(),
            source,
        })?;
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }

    fn place(&self, bytes: &[u8], extension: &str) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.rest.as_bytes()).update(bytes);
        self.folder
            .join(format!("{}.{extension}", hasher.finalize().to_hex()))
    }

    /// A name that no other process and no other call of this one uses.
    fn temporary(&self) -> PathBuf {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.folder
            .join(format!("unfinished-{}-{number}", std::process::id()))
    }
}

fn run(mut command: Command, file: &Path) -> Result<(), DriverError> {
    let program = PathBuf::from(command.get_program());
    let output = command
        .output()
        .map_err(|source| DriverError::Start { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(DriverError::Convert {
        path: file.to_owned(),
        text: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// What tells one build of a file from another, without reading it.
fn state_of(path: &Path) -> Result<String, DriverError> {
    let state = std::fs::metadata(path).and_then(|found| Ok((found.len(), found.modified()?)));
    let state = state.map_err(|source| DriverError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(format!("{state:?}"))
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(OsStr::to_str)
}

fn is_bitcode(bytes: &[u8]) -> bool {
    BITCODE.iter().any(|magic| bytes.starts_with(magic))
}

/// clang's flag for rustc's `-C opt-level`; what was told nothing is a release build's.
fn level_flag(level: &str) -> &'static str {
    match level {
        "0" => "-O0",
        "1" => "-O1",
        "2" => "-O2",
        "s" => "-Os",
        "z" => "-Oz",
        _ => "-O3",
    }
}

fn members<'data>(path: &Path, bytes: &'data [u8]) -> Result<Vec<(String, &'data [u8])>, DriverError> {
    let error = |source| DriverError::NotElf {
        path: path.to_owned(),
        source,
    };
    let archive = ArchiveFile::parse(bytes).map_err(error)?;
    let members = archive.members().map(|member| {
        let member = member.map_err(error)?;
        let name = String::from_utf8_lossy(member.name()).into_owned();
        Ok((name, member.data(bytes).map_err(error)?))
    });
    members.collect()
}

/// Puts the words of response files in their place.
pub(crate) fn expand(arguments: &[OsString]) -> Result<Vec<OsString>, DriverError> {
    let mut all = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match argument.to_str().and_then(|text| text.strip_prefix('@')) {
            Some(file) if Path::new(file).is_file() => {
                let text = String::from_utf8_lossy(&read(Path::new(file))?).into_owned();
                all.extend(words(&text).into_iter().map(OsString::from));
            }
            _ => all.push(argument.clone()),
        }
    }
    Ok(all)
}

/// The words of a response file: separated by white space; quotes and backslashes protect.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (_, '\\') => word.get_or_insert_default().extend(characters.next()),
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

fn read(path: &Path) -> Result<Vec<u8>, DriverError> {
    std::fs::read(path).map_err(|source| DriverError::Read {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), DriverError> {
    std::fs::write(path, bytes).map_err(|source| write_error(path, source))
}

fn rename(from: &Path, to: &Path) -> Result<(), DriverError> {
    std::fs::rename(from, to).map_err(|source| write_error(to, source))
}

fn create_folder(path: &Path) -> Result<(), DriverError> {
    std::fs::create_dir_all(path).map_err(|source| write_error(path, source))
}

fn write_error(path: &Path, source: std::io::Error) -> DriverError {
    DriverError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_response_file() {
        let check = |text: &str, expect: &[&str]| assert_eq!(words(text), expect, "{text}");
        check("a b\nc", &["a", "b", "c"]);
        check("-o\n/with\\ space/x\n", &["-o", "/with space/x"]);
        check("'one word' \"an\\\"other\" \"\"", &["one word", "an\"other", ""]);
    }

    #[test]
    fn crates_are_named_without_hash_and_prefix() {
        assert_eq!(crate_name(Path::new("/x/libstd-d1237ef7159db0a2.rlib")), "std");
        assert_eq!(crate_name(Path::new("libfoo.rlib")), "foo");
    }
}
