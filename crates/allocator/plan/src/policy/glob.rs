//! Matching of paths and names: `*` stops at a slash, `**` does not, `?` is one character.

/// True when the whole of `text` matches `pattern`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match_bytes(pattern.as_bytes(), text.as_bytes())
}

fn match_bytes(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|skipped| match_bytes(rest, &text[skipped..])),
        [b'*', rest @ ..] => {
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|skipped| match_bytes(rest, &text[skipped..]))
        }
        [b'?', rest @ ..] => text.first().is_some_and(|byte| *byte != b'/') && match_bytes(rest, &text[1..]),
        [byte, rest @ ..] => text.first() == Some(byte) && match_bytes(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stops_at_a_slash() {
        for (pattern, text, expect) in [
            ("/bed/*", "/bed/web", true),
            ("/bed/*", "/bed/web/worker", false),
            ("/bed/**", "/bed/web/worker", true),
            ("/bed/w?b", "/bed/web", true),
            ("/bed/w?b", "/bed/w/b", false),
            ("nginx*.service", "nginx@1.service", true),
            ("/bed", "/bed/", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), expect, "{pattern} on {text}");
        }
    }
}
