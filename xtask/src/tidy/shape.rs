//! How long and how deep: functions up to 70 lines, files up to 800, control flow at most 3 deep.

use super::Finding;
use super::source::Source;
use std::path::Path;

const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 800;
const NESTING: usize = 3;

/// Files that people write; what is generated or vendored is not judged.
pub(super) fn check_length(path: &Path, text: &str) -> Option<Finding> {
    const WRITTEN: &[&str] = &["rs", "c", "h", "cpp", "ts", "tsx", "sh"];
    let extension = path.extension()?.to_str()?;
    let generated = path
        .iter()
        .any(|part| part == "dist" || part == "vendor" || part == "third-party");
    let lines = text.lines().count();
    (WRITTEN.contains(&extension) && !generated && lines > FILE_LINES).then(|| {
        Finding::file(
            path,
            format!("{lines} lines; {FILE_LINES} is the most: split it by what it does"),
        )
    })
}

/// Every function of a file.
pub(super) fn check_functions(source: &Source) -> Vec<Finding> {
    let mut scanner = Scanner {
        source,
        at: 0,
        blocks: Vec::new(),
        pending: None,
        parens: 0,
        findings: Vec::new(),
    };
    scanner.run();
    scanner.findings
}

/// What an open brace belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// A function's body, with the byte where its `fn` stands.
    Function(usize),
    /// The body of `if`, `else`, `for`, `while`, `loop` or `match`.
    Control,
    /// Anything else: a module, a literal, a closure, an arm.
    Other,
}

struct Scanner<'a> {
    source: &'a Source,
    at: usize,
    blocks: Vec<Block>,
    /// The block that the next brace outside of parentheses opens, and the depth of parentheses at its keyword.
    pending: Option<(Block, usize)>,
    parens: usize,
    findings: Vec<Finding>,
}

impl Scanner<'_> {
    fn run(&mut self) {
        let code = self.source.code.as_bytes();
        while self.at < code.len() {
            match code[self.at] {
                b'(' | b'[' => self.parens += 1,
                b')' | b']' => self.parens = self.parens.saturating_sub(1),
                b'{' => self.open(),
                b'}' => self.close(),
                b';' if self.pending.is_some_and(|(_, parens)| parens == self.parens) => self.pending = None,
                byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                    self.word();
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn word(&mut self) {
        let code = &self.source.code;
        let start = self.at;
        let length = code[start..]
            .find(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
            .unwrap_or(code.len() - start);
        self.at = start + length;
        let inside = self
            .blocks
            .iter()
            .any(|block| matches!(block, Block::Function(_)));
        let next = code[self.at..].trim_start().bytes().next();
        let block = match &code[start..self.at] {
            // `fn(` is a type, not a function.
            "fn" if next != Some(b'(') => Block::Function(start),
            // `for<'a>` binds lifetimes.
            "for" if inside && next != Some(b'<') => Block::Control,
            // `let … else` is an early return; the `else` of an `if` follows a brace.
            "else" if inside && code[..start].trim_end().ends_with('}') => Block::Control,
            "if" | "while" | "loop" | "match" if inside => Block::Control,
            _ => return,
        };
        self.pending = Some((block, self.parens));
    }

    fn open(&mut self) {
        let block = match self.pending {
            Some((block, parens)) if parens == self.parens => {
                self.pending = None;
                block
            }
            _ => Block::Other,
        };
        // A choice between two values on one line is an expression, no level to hold in mind.
        let one_line = block == Block::Control && self.closes_on_its_line();
        let block = if one_line { Block::Other } else { block };
        self.blocks.push(block);
        let depth = self.depth();
        if block == Block::Control && depth == NESTING + 1 {
            let line = self.source.line_of(self.at);
            let text = format!(
                "control flow {depth} deep; {NESTING} is the most: return early or name the inner part"
            );
            self.findings.push(Finding::line(&self.source.path, line, text));
        }
    }

    fn closes_on_its_line(&self) -> bool {
        let line = self.source.code[self.at..].lines().next().unwrap_or_default();
        let mut depth = 0;
        line.bytes().any(|byte| {
            depth += i32::from(byte == b'{') - i32::from(byte == b'}');
            depth == 0
        })
    }

    /// Control blocks since the innermost function.
    fn depth(&self) -> usize {
        let inner = self
            .blocks
            .iter()
            .rev()
            .take_while(|block| !matches!(block, Block::Function(_)));
        inner.filter(|block| **block == Block::Control).count()
    }

    fn close(&mut self) {
        let Some(Block::Function(start)) = self.blocks.pop() else {
            return;
        };
        let (first, last) = (self.source.line_of(start), self.source.line_of(self.at));
        let lines = last - first + 1;
        if lines > FUNCTION_LINES {
            let text = format!("a function of {lines} lines; {FUNCTION_LINES} is the most: name its parts");
            self.findings.push(Finding::line(&self.source.path, first, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn check(text: &str, expected: usize) {
        let source = Source::new(Path::new("a.rs"), text);
        let findings = check_functions(&source);
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    fn function(lines: usize) -> String {
        let mut text = "fn f() {\n".to_owned();
        for index in 2..lines {
            writeln!(text, "    call({index});").expect("a string takes it");
        }
        text + "}\n"
    }

    #[test]
    fn a_function_has_seventy_lines_at_most() {
        check(&function(70), 0);
        check(&function(71), 1);
    }

    /// Each word opens a level with a line of its own.
    fn nest(words: &[&str], inner: &str) -> String {
        let opening: String = words.iter().flat_map(|word| [word, " {\n"]).collect();
        opening + inner + &"\n}".repeat(words.len())
    }

    #[test]
    fn control_flow_is_three_deep_at_most() {
        check(
            &nest(&["fn f()", "if a", "for b in c", "match d", "_ =>"], "x"),
            0,
        );
        check(
            &nest(&["fn f()", "if a", "for b in c", "match d", "_ =>", "if e"], "x"),
            1,
        );
        check(
            &nest(
                &["fn f()", "if a", "for b in c", "loop"],
                "let x = if e { 1 } else { 2 };",
            ),
            0,
        );
        check(
            &nest(
                &["fn f()", "if a", "for b in c", "loop"],
                "let Some(x) = y else {\nreturn;\n};",
            ),
            0,
        );
    }

    #[test]
    fn literals_closures_and_headers_are_no_nesting() {
        check(
            &nest(
                &["impl A for B", "fn f()", "if a", "if b", "if c", "g(|| S"],
                "x: 1",
            ),
            0,
        );
        check(
            &nest(
                &["fn f() where F: for<'a> Fn(&'a str)", "if a", "if b", "if c"],
                "x",
            ),
            0,
        );
        check("trait T { fn f(); fn g(x: fn(u8)) { loop {\n} } }", 0);
    }

    #[test]
    fn a_file_has_eight_hundred_lines_at_most() {
        let text = "a\n".repeat(801);
        assert!(check_length(Path::new("a.rs"), &text).is_some());
        assert!(check_length(Path::new("a.md"), &text).is_none());
        assert!(check_length(Path::new("web/dist/a.ts"), &text).is_none());
    }
}
