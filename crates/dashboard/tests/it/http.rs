//! The TCP port: what it answers, and what it refuses.

use crate::support::{bed, bed_with};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tidegate_dashboard::{
    MapView, NoBackend, NoControl, Problem, ServeConfig, ServeError, Shared, View, metric_name, serve,
};
use tidegate_types::{EntityKind, Field};

#[test]
fn other_hosts_and_other_sites_are_refused() {
    let bed = bed(30);
    let port = bed.port();
    let own = format!("http://127.0.0.1:{port}");
    let check = |headers: &[(&str, &str)], expected: u16| {
        let answer = bed.ask("GET", "/api/v1/map", headers);
        assert_eq!(answer.status, expected, "{headers:?}");
        if expected != 200 {
            assert!(!answer.body.contains("web.service"), "{headers:?} leaks nothing");
        }
    };
    check(&[], 200);
    check(&[("Host", &format!("localhost:{port}"))], 200);
    check(&[("Host", &format!("rebound.example:{port}"))], 421);
    check(&[("Host", "127.0.0.1:1")], 421);
    check(&[("Host", "")], 421);
    check(&[("Origin", &own)], 200);
    check(&[("Origin", "http://evil.example")], 403);
    check(&[("Origin", "null")], 403);
    check(&[("Sec-Fetch-Site", "same-origin")], 200);
    check(&[("Sec-Fetch-Site", "cross-site")], 403);
    check(
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
        200,
    );
}

#[test]
fn a_request_without_a_host_is_refused() {
    use std::io::{Read, Write};
    let bed = bed(1);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", bed.port())).expect("connects");
    stream
        .write_all(b"GET /api/v1/map HTTP/1.0\r\n\r\n")
        .expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    assert!(answer.contains(" 421 "), "{answer}");
}

#[test]
fn the_port_can_only_be_read() {
    let bed = bed(1);
    for (method, target) in [
        ("POST", "/api/v1/pause"),
        ("POST", "/api/v1/view"),
        ("PUT", "/api/v1/plan"),
        ("DELETE", "/"),
        ("OPTIONS", "/api/v1/view"),
    ] {
        let answer = bed.ask(method, target, &[("Content-Length", "0")]);
        assert_eq!(answer.status, 405, "{method} {target}");
    }
    // The acting addresses are not even there.
    assert_eq!(bed.get("/api/v1/inspect?pid=1").status, 404);
    assert_eq!(bed.get("/api/v1/switch").status, 404);
}

#[test]
fn every_answer_holds_the_browser_to_the_rules() {
    let bed = bed(1);
    for target in ["/", "/page.js", "/api/v1/view", "/metrics", "/nowhere"] {
        let answer = bed.get(target);
        let policy = answer.header("content-security-policy").expect(target);
        assert!(policy.contains("default-src 'none'"), "{target}");
        assert!(!policy.contains("unsafe"), "{target}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{target}"
        );
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{target}");
        assert!(answer.header("access-control-allow-origin").is_none(), "{target}");
    }
}

#[test]
fn what_is_not_there_is_a_problem_with_a_hint() {
    let bed = bed(1);
    let answer = bed.get("/api/v1/nothing");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem: Problem = serde_json::from_str(&answer.body).expect("a problem");
    assert_eq!(problem.status, 404);
    assert!(problem.hint.expect("a hint").contains("openapi.json"));
}

#[test]
fn the_view_reads_back_as_what_was_published() {
    let bed = bed(120);
    let published = bed.shared.view();
    let view: View = serde_json::from_str(&bed.get("/api/v1/view").body).expect("a view");
    assert_eq!(view.apps.len(), 11);
    assert_eq!(view.map, published.map);
    assert_eq!(view.actions, published.actions);
    assert!(
        view.doctor.is_null() && view.heat.columns.is_empty(),
        "they have addresses of their own"
    );
    let map: MapView = serde_json::from_str(&bed.get("/api/v1/map").body).expect("a map");
    assert_eq!(map, published.map);
    let doctor = bed.get("/api/v1/doctor").json();
    assert_eq!(doctor, published.doctor);
}

#[test]
fn every_reading_address_answers_json() {
    let bed = bed(120);
    for target in [
        "heat",
        "plan",
        "leases",
        "actions",
        "contention",
        "variants",
        "skill",
        "health",
        "apps",
    ] {
        let answer = bed.get(&format!("/api/v1/{target}"));
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{target}"
        );
        answer.json();
    }
    let document = bed.get("/openapi.json").json();
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1")
    );
}

#[test]
fn questions_are_checked() {
    let bed = bed(30);
    let check = |target: &str, expected: u16| {
        let answer = bed.get(target);
        assert_eq!(answer.status, expected, "{target}: {}", answer.body);
    };
    let now = bed.shared.view().made_utc_ms;
    let series = |from: i64, to: i64, rest: &str| {
        format!("/api/v1/series?entity=host&from_utc_ms={from}&to_utc_ms={to}{rest}")
    };
    check(&series(now - 20_000, now, "&field=cpu_busy"), 200);
    check(&series(now - 20_000, now, "&field=cpu_busy&points=5"), 200);
    check(&series(now - 20_000, now, "&field=nothing"), 404);
    check(&series(now, now - 1, "&field=cpu_busy"), 422);
    check(&series(now - 20_000, now, "&field=cpu_busy&points=0"), 422);
    check(&series(now - 20_000, now, "&field=cpu_busy&points=999999"), 422);
    check("/api/v1/series", 422);
    check("/api/v1/report?since_utc_ms=yesterday", 422);
    check("/api/v1/report?since_utc_ms=0", 200);
    check("/api/v1/explain/999999", 404);
    check("/api/v1/explain/nonsense", 404);
    check("/api/v1/apps?sparks=maybe", 422);
}

#[test]
fn a_lease_and_a_forecast_are_explained_from_the_view() {
    let bed = bed(600);
    let view = bed.shared.view();
    let lease = view.actions.first().expect("a lease ended");
    let explained = bed.get(&format!("/api/v1/explain/{}", lease.id)).json();
    assert_eq!(explained["lease"]["id"], lease.id);
    let titles: Vec<&str> = explained["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| step["title"].as_str().expect("a title"))
        .collect();
    assert_eq!(titles, ["Prediction", "Data", "Rule", "Action", "After"]);
    let forecast = view.map.rows.first().expect("a forecast");
    let explained = bed.get(&format!("/api/v1/explain/p{}", forecast.id)).json();
    assert_eq!(explained["forecast"]["unit"], forecast.unit);
}

#[test]
fn metrics_are_whole_and_parse() {
    let bed = bed(120);
    let answer = bed.get("/metrics");
    assert!(
        answer
            .header("content-type")
            .expect("a type")
            .starts_with("text/plain; version=0.0.4")
    );
    let mut announced = std::collections::BTreeSet::new();
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().expect("a name");
            assert!(announced.insert(name.to_owned()), "{name} is announced once");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().expect("a name");
            assert!(announced.contains(name), "{name} is announced before its values");
            let number = value.trim_start_matches('+').parse::<f64>().expect(line);
            assert!(!number.is_nan(), "{line}");
        }
    }
    for name in [
        metric_name(Field::HostCpuBusy),
        metric_name(Field::HostCpuWaiting),
        metric_name(Field::CpuUsage),
        "tidegate_contention_probability_ratio".to_owned(),
        "tidegate_build_info".to_owned(),
    ] {
        assert!(announced.contains(&name), "{name}");
    }
    // What the demo never measures has no line.
    for spec in Field::of_kind(EntityKind::Node) {
        assert!(!announced.contains(&metric_name(spec.field)), "{}", spec.name);
    }
}

#[test]
fn before_the_first_tick_it_is_starting() {
    let bed = bed(0);
    let answer = bed.get("/api/v1/health");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "starting");
    assert_eq!(bed.get("/api/v1/view").status, 200);
    assert_eq!(bed.get("/metrics").status, 200);
}

#[test]
fn a_port_in_use_and_an_open_address_are_told_apart() {
    let bed = bed_with(0, Arc::new(NoControl));
    let open = |listen: SocketAddr| {
        let config = ServeConfig {
            listen: Some(listen),
            socket: None,
        };
        serve(&config, Shared::new(), Arc::new(NoBackend), Arc::new(NoControl)).expect_err("refused")
    };
    let taken = SocketAddr::from((Ipv4Addr::LOCALHOST, bed.port()));
    assert!(matches!(open(taken), ServeError::PortInUse(address) if address == taken));
    let wide = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    assert!(matches!(open(wide), ServeError::NotLoopback(_)));
}
