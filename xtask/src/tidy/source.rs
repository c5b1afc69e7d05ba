//! A Rust file with everything but code blanked out, byte for byte, so that positions stay.

use std::path::{Path, PathBuf};

/// One Rust file.
pub(super) struct Source {
    /// Relative to the repository's root.
    pub(super) path: PathBuf,
    /// As it is.
    pub(super) text: String,
    /// The same length and lines, comments, strings and characters replaced by spaces.
    pub(super) code: String,
}

impl Source {
    /// Blanks `text`.
    pub(super) fn new(path: &Path, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: blank(text),
        }
    }

    /// The line that byte `position` is on, counted from 1.
    pub(super) fn line_of(&self, position: usize) -> usize {
        self.code[..position].split('\n').count()
    }
}

/// Replaces what is no code by spaces, keeping line ends.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let Some(end) = skip(bytes, at) else {
            at += 1;
            continue;
        };
        for byte in out[at..end].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        at = end;
    }
    // Multi-byte characters stand only in what was blanked, or are kept whole.
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment, string or character that begins at `at` ends; none where code stands there.
fn skip(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(find(bytes, at, b"\n").unwrap_or(bytes.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(block_comment_end(bytes, at));
    }
    let starts_word = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match bytes[at] {
        b'"' => Some(string_end(bytes, at + 1)),
        b'r' | b'b' | b'c' if starts_word => prefixed_string_end(bytes, at),
        b'\'' => character_end(bytes, at),
        _ => None,
    }
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `br#"…"#`, `b"…"`, `c"…"`, `b'x'`.
fn prefixed_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut raw = false;
    while at < bytes.len() && matches!(bytes[at], b'r' | b'b' | b'c') && at < start + 2 {
        raw |= bytes[at] == b'r';
        at += 1;
    }
    if !raw {
        return match bytes.get(at)? {
            b'"' => Some(string_end(bytes, at + 1)),
            b'\'' => character_end(bytes, at),
            _ => None,
        };
    }
    let hashes = bytes[at..].iter().take_while(|&&byte| byte == b'#').count();
    if bytes.get(at + hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    Some(find(bytes, at + hashes + 1, &close).map_or(bytes.len(), |end| end + close.len()))
}

/// A character literal, or nothing where the quote begins a lifetime.
fn character_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        return find(bytes, at + 3, b"'").map(|end| end + 1);
    }
    let first = *bytes.get(at + 1)?;
    let length = match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    (bytes.get(at + 1 + length) == Some(&b'\'')).then_some(at + length + 2)
}

fn find(bytes: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(needle.len())
        .position(|window| window == needle)
        .map(|position| from + position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(blank(text), expected);
    }

    #[test]
    fn only_code_stays() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
        check(r#"f("x{y", 1)"#, "f(     , 1)");
        check(r##"r#"{"# + b"{" + '{'"##, "       +      +    ");
        check(r"'\'' '\u{1}' x", "             x");
    }

    #[test]
    fn lifetimes_and_words_are_code() {
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        check("bar r#type", "bar r#type");
    }
}
