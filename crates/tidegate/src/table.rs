//! Plain tables for people: aligned columns, a dim head where the terminal allows it.

use crate::out::put;
use std::fmt::Write as _;
use std::io::IsTerminal;

/// Whether a stream may carry colours: a terminal, and `NO_COLOR` not set.
pub(crate) fn colours_on(stream: &impl IsTerminal) -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && stream.is_terminal()
}

/// Prints rows under a head. Columns whose head starts with `>` are aligned to the right.
pub(crate) fn print(head: &[&str], rows: &[Vec<String>]) {
    put!("{}", render(head, rows, colours_on(&std::io::stdout())));
}

/// The text that [`print`] prints.
pub(crate) fn render(head: &[&str], rows: &[Vec<String>], colours: bool) -> String {
    let titles: Vec<&str> = head.iter().map(|title| title.trim_start_matches('>')).collect();
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain([titles[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (column, cell) in cells.enumerate() {
            let pad = widths[column].saturating_sub(cell.chars().count());
            let gap = if column == 0 { "" } else { "  " };
            let padding = " ".repeat(pad);
            let _ = if head[column].starts_with('>') {
                write!(text, "{gap}{padding}{cell}")
            } else {
                write!(text, "{gap}{cell}{padding}")
            };
        }
        text.trim_end().to_owned()
    };
    let mut text = line(&mut titles.iter().copied());
    if colours {
        text = format!("\u{1b}[2m{text}\u{1b}[0m");
    }
    text.push('\n');
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
        text.push('\n');
    }
    text
}

/// A number with so many decimals, or a dash for what was not measured.
pub(crate) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// Bytes with a binary unit, or a dash.
pub(crate) fn bytes(value: Option<f64>) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let Some(mut value) = value else {
        return "-".to_owned();
    };
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.*} {}", usize::from(unit > 0), UNITS[unit])
}

/// A share as a percentage, or a dash.
pub(crate) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.0} %", value * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["web".to_owned(), "1.50".to_owned()],
            vec!["b".to_owned(), "12.00".to_owned()],
        ];
        assert_eq!(
            render(&["app", ">cores"], &rows, false),
            "app  cores\nweb   1.50\nb    12.00\n"
        );
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        assert_eq!(number(None, 2), "-");
        assert_eq!(bytes(None), "-");
        assert_eq!(bytes(Some(1536.0)), "1.5 KiB");
        assert_eq!(percent(Some(0.256)), "26 %");
    }
}
