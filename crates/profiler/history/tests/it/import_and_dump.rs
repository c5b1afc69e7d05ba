//! Text in, the same text out; or nothing in.

use crate::support::{NOON_MS, app, inline, sample};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use tidegate_history::{
    DumpFormat, DumpQuery, HistoryError, Reader, Store, StoreConfig, Tier, dump, import_csv,
};
use tidegate_types::{AppName, Field};

const HEADING: &str = "app,time,cpu,memory,disk_read,disk_write,net_rx,net_tx\n";
const ALL: std::ops::Range<i64> = i64::MIN..i64::MAX;

fn import(dir: &Path, lines: &str) -> tidegate_history::Result<tidegate_history::ImportReport> {
    import_csv(dir, 1 << 30, format!("{HEADING}{lines}").as_bytes())
}

fn dumped(dir: &Path, format: DumpFormat, apps: &[&str]) -> String {
    let query = DumpQuery {
        utc_ms: ALL,
        apps: apps
            .iter()
            .map(|name| AppName::new(name))
            .collect::<BTreeSet<_>>(),
        format,
    };
    let mut out = Vec::new();
    dump(&Reader::open(dir), &query, &mut out).expect("dumps");
    String::from_utf8(out).expect("text")
}

fn check(lines: &str, expect: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    import(dir.path(), lines).expect("imports");
    assert_eq!(
        dumped(dir.path(), DumpFormat::Csv, &[]),
        format!("{HEADING}{expect}")
    );
}

#[test]
fn an_import_dumps_as_it_was_sorted_by_time_and_app() {
    check(
        "web,1700000000,0.5,1048576,1,2,3,4\n",
        "web,1700000000,0.5,1048576,1,2,3,4\n",
    );
    check(
        "web,1700000001.25,1,,,,,\r\n\nbatch,1700000001.25,,7,,,,\nweb,2023-11-14T22:13:20Z,0.1,,,,,\n",
        "web,1700000000,0.1,,,,,\nbatch,1700000001.25,,7,,,,\nweb,1700000001.25,1,,,,,\n",
    );
    check("\"a,\"\"b\"\"\",5,1,,,,,\n", "\"a,\"\"b\"\"\",5,1,,,,,\n");
}

#[test]
fn of_two_lines_for_one_moment_the_later_counts() {
    let dir = tempfile::tempdir().expect("a folder");
    let report = import(dir.path(), "web,5,1,,,,,\nweb,6,9,,,,,\nweb,5.0,2,3,,,,\n").expect("imports");
    assert_eq!((report.lines, report.replaced, report.apps), (3, 1, 1));
    assert_eq!((report.first_utc_ms, report.last_utc_ms), (5_000, 6_000));
    let csv = dumped(dir.path(), DumpFormat::Csv, &[]);
    assert_eq!(csv, format!("{HEADING}web,5,2,3,,,,\nweb,6,9,,,,,\n"));
    import(dir.path(), "web,6,10,,,,,\n").expect("imports");
    let points = Reader::open(dir.path())
        .series(&app("web"), Field::CpuUsage, ALL, None)
        .expect("a series");
    let values: Vec<f64> = points.iter().map(|point| point.mean).collect();
    assert_eq!(values, [2.0, 10.0], "a later import replaces an earlier one");
}

fn refused(lines: &str, line: u64, column: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let error = import(dir.path(), lines).expect_err(lines);
    let HistoryError::Line {
        line: at, column: of, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*at, *of), (line, column), "{error}");
    let left = Reader::open(dir.path()).entities().expect("a listing");
    assert_eq!(left, [], "nothing is imported by halves");
}

#[test]
fn a_bad_line_is_named_by_number_and_column() {
    refused("web,5,1,,,,,\nweb,6,x,,,,,\n", 3, "cpu");
    refused("web,5,1,,,,,\nweb,6,-1,,,,,\n", 3, "cpu");
    refused("web,5,1,NaN,,,,\n", 2, "memory");
    refused("web,5,1,,,,,inf\n", 2, "net_tx");
    refused("web,yesterday,1,,,,,\n", 2, "time");
    refused("web,,1,,,,,\n", 2, "time");
    refused(",5,1,,,,,\n", 2, "app");
    refused("web,5,1,,,,\n", 2, "net_tx");
    refused("web,5,1,,,,,,\n", 2, "net_tx");
    refused("\"web,5,1,,,,,\n", 2, "app");
}

#[test]
fn headings_may_be_shorter_and_in_any_order_but_not_unknown() {
    let dir = tempfile::tempdir().expect("a folder");
    let read = |text: &str| import_csv(dir.path(), 1 << 30, text.as_bytes());
    read("time,cpu,app\n5,1,web\n").expect("imports");
    for text in [
        "app,cpu\nweb,1\n",
        "app,time,gpu\nweb,5,1\n",
        "app,app,time\n",
        "web,5,1\n",
        "",
        HEADING,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert_eq!(
        dumped(dir.path(), DumpFormat::Csv, &[]),
        format!("{HEADING}web,5,1,,,,,\n")
    );
}

#[test]
fn an_import_beyond_the_limit_is_refused_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = format!("{HEADING}web,5,1,,,,,\n");
    let error = import_csv(dir.path(), 20, text.as_bytes()).expect_err("too large");
    assert!(error.to_string().contains("import less"), "{error}");
    assert_eq!(Reader::open(dir.path()).entities().expect("a listing"), []);
    // A quarter of the store is theirs: two of these do not fit where one and a half would.
    let bytes = import(dir.path(), "web,5,1,,,,,\n").expect("imports").bytes;
    let error = import_csv(dir.path(), 6 * bytes, text.as_bytes()).expect_err("too large");
    assert!(error.to_string().contains(&format!("have {bytes} of")), "{error}");
    import_csv(dir.path(), 8 * bytes, text.as_bytes()).expect("imports");
}

#[test]
fn a_line_without_an_end_is_refused_before_it_is_read() {
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let dir = tempfile::tempdir().expect("a folder");
    let error = import_csv(dir.path(), 1 << 30, endless).expect_err("no line");
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[test]
fn imports_run_beside_the_writer_count_in_every_tier_and_do_not_age() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    store.append(&sample(0)).expect("well formed");
    import(dir.path(), "old,60,1,,,,,\nold,61,3,,,,,\n").expect("imports");
    store.seal_head();
    store.flush().expect("maintains");
    let read = |tier| {
        let points = store.reader().series(&app("old"), Field::CpuUsage, ALL, tier);
        points
            .expect("a series")
            .iter()
            .map(|point| point.mean)
            .collect::<Vec<_>>()
    };
    assert_eq!(read(None), [1.0, 3.0]);
    assert_eq!(read(Some(Tier::Minute)), [2.0]);
    assert_eq!(read(Some(Tier::FiveMinutes)), [2.0]);
}

#[test]
fn a_dump_takes_each_time_from_the_finest_tier_and_an_app_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = StoreConfig {
        second_hours: 1,
        ..inline()
    };
    let (mut store, _) = Store::open(dir.path(), config).expect("opens");
    for number in 0..1_300 {
        let mut coarse = sample(number);
        coarse.now.utc_ms = NOON_MS + number.cast_signed() * 10_000;
        store.append(&coarse).expect("well formed");
    }
    let csv = dumped(dir.path(), DumpFormat::Csv, &["busy"]);
    let times: Vec<f64> = csv
        .lines()
        .skip(1)
        .map(|line| {
            line.split(',')
                .nth(1)
                .and_then(|time| time.parse().ok())
                .expect("a time")
        })
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times[0], NOON_MS as f64 / 1e3);
    assert_eq!(times[1] - times[0], 60.0, "the old ones are minutes");
    assert_eq!(
        times[times.len() - 1] - times[times.len() - 2],
        10.0,
        "the new ones are as taken"
    );
    let json = dumped(dir.path(), DumpFormat::JsonLines, &[]);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["entity"], "host");
    let lines = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    assert!(
        lines
            .filter(|line| line["entity"] == "app:busy")
            .all(|line| line["cpu_limit"] == "inf")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_import_dumps_the_same_values(
        rows in prop::collection::btree_map(
            (0_i64..7_258_118_399_999, "[a-z\", é]{0,5}[a-z]"),
            prop::option::of(prop::num::f64::POSITIVE | prop::num::f64::ZERO),
            1..30,
        ),
    ) {
        let quote = |text: &str| format!("\"{}\"", text.trim().replace('"', "\"\""));
        let mut lines = String::new();
        let mut expect = std::collections::BTreeMap::new();
        for ((utc_ms, name), value) in rows.iter().rev() {
            let cell = value.map(|value| value.to_string()).unwrap_or_default();
            let (seconds, fraction) = (utc_ms / 1000, utc_ms % 1000);
            lines += [quote(name), format!("{seconds}.{fraction:03}"), cell].join(",").as_str();
            lines += ",,,,,\n";
            expect.insert((*utc_ms, name.trim().to_owned()), value.map(f64::to_bits));
        }
        let dir = tempfile::tempdir().expect("a folder");
        // Names that differ only in surrounding blanks are one app, and the later line counts.
        import(dir.path(), &lines).expect("imports");
        let again = tempfile::tempdir().expect("a folder");
        let csv = dumped(dir.path(), DumpFormat::Csv, &[]);
        import_csv(again.path(), 1 << 30, csv.as_bytes()).expect("a dump imports");
        prop_assert_eq!(&dumped(again.path(), DumpFormat::Csv, &[]), &csv);
        let samples = Reader::open(dir.path()).imported(ALL).expect("a listing");
        let mut seen = 0;
        for sample in samples {
            let sample = sample.expect("readable");
            for row in &sample.rows {
                let name = row.entity.app().expect("an app").to_string();
                let value = row.get(Field::CpuUsage).map(f64::to_bits);
                prop_assert_eq!(Some(&value), expect.get(&(sample.now.utc_ms, name)));
                seen += 1;
            }
        }
        prop_assert_eq!(seen, expect.len());
    }

    #[test]
    fn no_text_makes_an_import_panic(text in ".{0,200}") {
        let dir = tempfile::tempdir().expect("a folder");
        let _ = import(dir.path(), &text);
    }
}
