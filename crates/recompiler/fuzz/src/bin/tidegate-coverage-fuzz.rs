//! The targets under libFuzzer: `tidegate-coverage-fuzz TARGET [libFuzzer's arguments]`.
//!
//! Built by `cargo xtask bench fuzz`, which has rustc instrument the code, links clang's libFuzzer and sets the cfg
//! `coverage_guided`; without it there is nobody who would mutate, and the program says so.

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().unwrap_or_default();
    let Some(target) = tidegate_fuzz::targets::Target::named(&first) else {
        // Not a target: the list of them.
        for target in tidegate_fuzz::TARGETS {
            println!("{}", target.name);
        }
        return std::process::ExitCode::from(2);
    };
    guided::run(target, arguments.collect())
}

#[cfg(coverage_guided)]
mod guided {
    use std::ffi::{CString, c_char, c_int};
    use std::process::ExitCode;
    use std::sync::OnceLock;
    use tidegate_fuzz::Target;

    static TARGET: OnceLock<&Target> = OnceLock::new();

    unsafe extern "C" {
        fn LLVMFuzzerRunDriver(
            count: *mut c_int,
            arguments: *mut *mut *mut c_char,
            callback: extern "C" fn(*const u8, usize) -> c_int,
        ) -> c_int;
    }

    extern "C" fn one_input(data: *const u8, length: usize) -> c_int {
        // SAFETY: libFuzzer hands over this many bytes; of none, the pointer may be null.
        let input = if length == 0 {
            &[]
        } else {
            unsafe { std::slice::from_raw_parts(data, length) }
        };
        if let Some(target) = TARGET.get() {
            target.run(input);
        }
        0
    }

    /// Hands over to libFuzzer, with the good records in the first folder among its arguments.
    pub(crate) fn run(target: &'static Target, arguments: Vec<String>) -> ExitCode {
        if let Some(folder) = arguments.iter().find(|argument| !argument.starts_with('-')) {
            write_seeds(target, std::path::Path::new(folder));
        }
        let _ = TARGET.set(target);
        // A panic is what we look for: it must end the process where it happens.
        std::panic::set_hook(Box::new(|info| {
            eprintln!("{info}");
            std::process::abort();
        }));
        let words = std::iter::once(target.name.to_owned()).chain(arguments);
        let words: Vec<CString> = words.filter_map(|word| CString::new(word).ok()).collect();
        let mut pointers: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
        pointers.push(std::ptr::null_mut());
        let mut count = words.len() as c_int;
        let mut start = pointers.as_mut_ptr();
        // SAFETY: as `main` would get them, and they outlive the call.
        let status = unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut start, one_input) };
        ExitCode::from(u8::try_from(status).unwrap_or(1))
    }

    fn write_seeds(target: &Target, folder: &std::path::Path) {
        for (index, seed) in (target.seeds)().iter().enumerate() {
            for choice in [0, 1] {
                let input = [&[choice], seed.as_slice()].concat();
                // Without it the corpus only starts from less.
                let _ = std::fs::write(folder.join(format!("seed-{index}-{choice}")), input);
            }
        }
    }
}

#[cfg(not(coverage_guided))]
mod guided {
    use std::process::ExitCode;
    use tidegate_fuzz::Target;

    pub(crate) fn run(_: &'static Target, _: Vec<String>) -> ExitCode {
        eprintln!("error: built without coverage\nhint: cargo xtask bench fuzz");
        ExitCode::from(2)
    }
}
