//! Why something is not switchable in a process, or why a request was refused: a byte on the wire, words for people.
//!
//! Not here: who finds it out.

/// Why something is not switchable here, or why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Nothing stands in the way.
    None = 0,
    /// The executable carries no tidegate sections.
    NoSections = 1,
    /// The kernel denies new executable memory to this process (`PR_SET_MDWE`).
    MemoryDenyWriteExecute = 2,
    /// A seccomp filter is installed.
    Seccomp = 3,
    /// No room within reach of the executable.
    NoNearMemory = 4,
    /// The cap on loaded code is reached.
    CodeCap = 5,
    /// The image is not well-formed, or its version is unknown.
    BadImage = 6,
    /// The image's checksum is wrong.
    Checksum = 7,
    /// The image was made for another function or another build of it.
    WrongFunction = 8,
    /// The image owns writable data.
    WritableData = 9,
    /// The CPU (or the kernel's saved state) lacks a feature that the image needs.
    CpuFeature = 10,
    /// The image refers to an anchor that the executable does not have.
    BadAnchor = 11,
    /// A target is out of a relocation's reach.
    OutOfReach = 12,
    /// No such function.
    UnknownFunction = 13,
    /// No image was loaded for this function and scenario.
    NotLoaded = 14,
    /// The function's slot does not hold its own base: another party switches it.
    ForeignSlot = 15,
    /// The kernel refused a mapping or a protection.
    Kernel = 16,
    /// The request is not understood.
    BadRequest = 17,
    /// A table of fixed size is full.
    TableFull = 18,
    /// The build left this function out.
    Excluded = 19,
    /// An exception may pass through the function, and unwinders cannot be told about new code there.
    Unwinder = 20,
    /// The library of the function was closed.
    Closed = 21,
}

impl Reason {
    pub(super) const ALL: [Self; 22] = [
        Self::None,
        Self::NoSections,
        Self::MemoryDenyWriteExecute,
        Self::Seccomp,
        Self::NoNearMemory,
        Self::CodeCap,
        Self::BadImage,
        Self::Checksum,
        Self::WrongFunction,
        Self::WritableData,
        Self::CpuFeature,
        Self::BadAnchor,
        Self::OutOfReach,
        Self::UnknownFunction,
        Self::NotLoaded,
        Self::ForeignSlot,
        Self::Kernel,
        Self::BadRequest,
        Self::TableFull,
        Self::Excluded,
        Self::Unwinder,
        Self::Closed,
    ];

    /// The reason with this wire byte.
    pub fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// A sentence part for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "nothing stands in the way",
            Self::NoSections => "the executable was not built with tidegate cc",
            Self::MemoryDenyWriteExecute => "the process may not get new executable memory (MDWE)",
            Self::Seccomp => "a seccomp filter is installed",
            Self::NoNearMemory => "no free memory within reach of the executable",
            Self::CodeCap => "the cap of 4 MiB of loaded code is reached",
            Self::BadImage => "the variant's image is malformed or of an unknown version",
            Self::Checksum => "the variant's checksum is wrong",
            Self::WrongFunction => "the variant was made for another function or build",
            Self::WritableData => "the variant owns writable data",
            Self::CpuFeature => "this CPU lacks a feature that the variant needs",
            Self::BadAnchor => "the variant refers to a symbol that the executable does not offer",
            Self::OutOfReach => "a target is out of a relocation's reach",
            Self::UnknownFunction => "there is no such function",
            Self::NotLoaded => "no variant is loaded for it",
            Self::ForeignSlot => "its slot does not start at its own code",
            Self::Kernel => "the kernel refused the mapping",
            Self::BadRequest => "the request is not understood",
            Self::TableFull => "a table of fixed size is full",
            Self::Excluded => "the build left it out",
            Self::Closed => "its library was closed",
            Self::Unwinder => {
                "exceptions may pass through it, and unwinders cannot find new code here (in a library, or in a static \
                 program at a fixed address)"
            }
        }
    }
}
