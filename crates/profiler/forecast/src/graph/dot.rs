//! The part of Graphviz's DOT that says who calls whom: `digraph`, chains of `->`, groups in braces, subgraphs.
//!
//! Attributes are passed over. Nodes without an edge say nothing here.

use super::read::{Read, line_and_column};

/// Braces within braces deeper than this are refused.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Arrow,
    Line,
    Sign(char),
}

/// A token and the byte at which it begins.
type Placed = (Token, usize);

struct Fault {
    at: usize,
    text: &'static str,
}

fn fault<T>(at: usize, text: &'static str) -> Result<T, Fault> {
    Err(Fault { at, text })
}

pub(super) fn read(text: &str) -> Read {
    let mut read = Read::default();
    let done = tokens(text).and_then(|tokens| {
        let mut parser = Parser {
            text,
            tokens: &tokens,
            next: 0,
            read: &mut read,
        };
        parser.file()
    });
    if let Err(Fault { at, text: problem }) = done {
        let (line, column) = line_and_column(text, at);
        read.finding(format!("{line}:{column}"), problem.to_owned());
    }
    read
}

fn tokens(text: &str) -> Result<Vec<Placed>, Fault> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = &text[at..];
        let line_end = || rest.find('\n').map_or(text.len(), |length| at + length);
        match byte {
            b'#' => at = line_end(),
            b'/' if rest.starts_with("//") => at = line_end(),
            b'/' if rest.starts_with("/*") => at += comment(rest, at)?,
            b'-' if rest.starts_with("->") => {
                tokens.push((Token::Arrow, at));
                at += 2;
            }
            b'-' if rest.starts_with("--") => {
                tokens.push((Token::Line, at));
                at += 2;
            }
            b'"' => {
                let (name, length) = quoted(rest, at)?;
                tokens.push((Token::Name(name), at));
                at += length;
            }
            b'{' | b'}' | b'[' | b']' | b';' | b',' | b'=' | b':' => {
                tokens.push((Token::Sign(char::from(*byte)), at));
                at += 1;
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let length = word(rest, at)?;
                tokens.push((Token::Name(rest[..length].to_owned()), at));
                at += length;
            }
        }
    }
    Ok(tokens)
}

/// Bytes of the comment at the beginning of `rest`.
fn comment(rest: &str, at: usize) -> Result<usize, Fault> {
    match rest.find("*/") {
        Some(length) => Ok(length + 2),
        None => fault(at, "a comment is not closed"),
    }
}

/// Bytes of the name at the beginning of `rest`; an arrow ends it, a single dash or slash does not.
fn word(rest: &str, at: usize) -> Result<usize, Fault> {
    let ends = |character: char| character.is_whitespace() || "{}[];,=:\"#".contains(character);
    let end = rest.char_indices().find(|(place, character)| {
        let tail = &rest[*place..];
        ends(*character) || ["->", "--", "//", "/*"].iter().any(|sign| tail.starts_with(sign))
    });
    match end.map_or(rest.len(), |(place, _)| place) {
        0 => fault(at, "this sign has no meaning here"),
        length => Ok(length),
    }
}

/// A quoted name and its length with the quotes.
fn quoted(rest: &str, at: usize) -> Result<(String, usize), Fault> {
    let mut name = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Ok((name, place + 1)),
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            other => name.push(other),
        }
    }
    fault(at, "a quote is not closed")
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Placed],
    next: usize,
    read: &'a mut Read,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |(_, at)| *at)
    }

    fn take(&mut self, token: &Token) -> bool {
        let is = self.peek() == Some(token);
        self.next += usize::from(is);
        is
    }

    fn name(&mut self) -> Option<String> {
        let Some(Token::Name(name)) = self.peek() else {
            return None;
        };
        let name = name.clone();
        self.next += 1;
        Some(name)
    }

    fn file(&mut self) -> Result<(), Fault> {
        let start = self.at();
        let mut kind = self.name();
        if kind.as_deref() == Some("strict") {
            kind = self.name();
        }
        if kind.as_deref() != Some("digraph") {
            return fault(
                start,
                "it is no digraph: begin with `digraph {` and write `a -> b`",
            );
        }
        self.name();
        if !self.take(&Token::Sign('{')) {
            return fault(self.at(), "`{` is missing");
        }
        self.statements(0)?;
        match self.peek() {
            None => Ok(()),
            Some(_) => fault(self.at(), "nothing may follow the last `}`"),
        }
    }

    /// Statements up to the closing brace; the nodes that they name.
    fn statements(&mut self, depth: usize) -> Result<Vec<String>, Fault> {
        if depth > DEPTH_MAX {
            return fault(self.at(), "braces are nested too deeply");
        }
        let mut nodes = Vec::new();
        loop {
            match self.peek() {
                None => return fault(self.at(), "`}` is missing"),
                Some(Token::Sign('}')) => {
                    self.next += 1;
                    return Ok(nodes);
                }
                Some(Token::Sign(';' | ',')) => self.next += 1,
                Some(Token::Line) => return fault(self.at(), "`--` has no direction: write `->`"),
                Some(Token::Arrow) => return fault(self.at(), "a name is missing before `->`"),
                Some(Token::Sign('[')) => self.attributes()?,
                Some(Token::Sign('{') | Token::Name(_)) => nodes.extend(self.chain(depth)?),
                Some(Token::Sign(_)) => return fault(self.at(), "this sign has no meaning here"),
            }
        }
    }

    /// `a -> b -> {c d} [..]`, or `key = value`.
    fn chain(&mut self, depth: usize) -> Result<Vec<String>, Fault> {
        let mut all = Vec::new();
        let mut left = self.nodes(depth)?;
        if self.take(&Token::Sign('=')) {
            self.name();
            return Ok(all);
        }
        while self.take(&Token::Arrow) {
            let (line, _) = line_and_column(self.text, self.at());
            if !matches!(self.peek(), Some(Token::Name(_) | Token::Sign('{'))) {
                return fault(self.at(), "a name is missing after `->`");
            }
            let right = self.nodes(depth)?;
            for upstream in &left {
                for downstream in &right {
                    self.read.edge(upstream, downstream, line.to_string());
                }
            }
            all.append(&mut left);
            left = right;
        }
        all.append(&mut left);
        while self.peek() == Some(&Token::Sign('[')) {
            self.attributes()?;
        }
        Ok(all)
    }

    /// One node, or all nodes of a group in braces.
    fn nodes(&mut self, depth: usize) -> Result<Vec<String>, Fault> {
        if self.take(&Token::Sign('{')) {
            return self.statements(depth + 1);
        }
        let Some(name) = self.name() else {
            return fault(self.at(), "a name is missing");
        };
        if name == "subgraph" {
            self.name();
            return if self.take(&Token::Sign('{')) {
                self.statements(depth + 1)
            } else {
                fault(self.at(), "`{` is missing")
            };
        }
        if ["node", "edge", "graph"].contains(&name.as_str()) && self.peek() == Some(&Token::Sign('[')) {
            return Ok(Vec::new());
        }
        // A port: `name:port:compass`.
        while self.take(&Token::Sign(':')) {
            self.name();
        }
        Ok(vec![name])
    }

    fn attributes(&mut self) -> Result<(), Fault> {
        let start = self.at();
        while let Some(token) = self.peek() {
            let ends = *token == Token::Sign(']');
            self.next += 1;
            if ends {
                return Ok(());
            }
        }
        fault(start, "`]` is missing")
    }
}
