//! The control socket: who gets in, and what a verb does.

use crate::support::{bed, bed_with};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_dashboard::client::{Client, ClientError, get, post};
use tidegate_dashboard::{
    Caller, Control, ControlError, Done, InspectRequest, MapView, NoBackend, NoControl, ServeConfig,
    ServeError, Shared, StormReport, StormRequest, SwitchReport, SwitchRequest, View, serve,
};
use tidegate_types::DeclaredEvent;

/// Writes down what it is told.
#[derive(Default)]
struct Recorder(Mutex<Vec<(Caller, String)>>);

impl Recorder {
    fn note(&self, caller: Caller, text: String) -> Done {
        self.0.lock().expect("not poisoned").push((caller, text.clone()));
        Done::new(text)
    }
}

impl Control for Recorder {
    fn pause(&self, caller: Caller) -> Result<Done, ControlError> {
        Ok(self.note(caller, "pause".to_owned()))
    }
    fn resume(&self, caller: Caller) -> Result<Done, ControlError> {
        Ok(self.note(caller, "resume".to_owned()))
    }
    fn reload(&self, _: Caller) -> Result<Done, ControlError> {
        Err(ControlError::Invalid(
            "policy.toml:3: unknown key `modee`".to_owned(),
        ))
    }
    fn declare(&self, caller: Caller, event: DeclaredEvent) -> Result<Done, ControlError> {
        Ok(self.note(caller, format!("{} of {}", event.name, event.app)))
    }
    fn switch(&self, caller: Caller, request: &SwitchRequest) -> Result<SwitchReport, ControlError> {
        self.note(caller, format!("{request:?}"));
        Ok(SwitchReport {
            switched: vec!["hash_chain".to_owned()],
            refused: Vec::new(),
        })
    }
    fn storm(&self, _: Caller, _: &StormRequest) -> Result<StormReport, ControlError> {
        Ok(StormReport {
            functions: 3,
            switches: 30_000,
            failures: 0,
        })
    }
    fn inspect(&self, _: Caller, request: &InspectRequest) -> Result<Value, ControlError> {
        Err(ControlError::NotFound(format!("process {}", request.pid)))
    }
}

#[test]
fn the_same_rows_are_read_through_the_socket() {
    let bed = bed(60);
    let view: View = get(&bed.socket, "/api/v1/view").expect("a view");
    assert_eq!(view.map, bed.shared.view().map);
    let map: MapView = get(&bed.socket, "/api/v1/map").expect("a map");
    assert_eq!(map, view.map);
}

#[test]
fn verbs_reach_the_control_with_the_kernels_word_on_the_caller() {
    let control = Arc::new(Recorder::default());
    let bed = bed_with(1, control.clone());
    let done: Done = post(&bed.socket, "/api/v1/pause", &()).expect("paused");
    assert_eq!(done.text, "pause");
    let _: Done = post(&bed.socket, "/api/v1/resume", &()).expect("resumed");
    let event = json!({"name": "sale", "app": "web", "at_utc_ms": 1, "duration_s": 60.0});
    let _: Done = post(&bed.socket, "/api/v1/events", &event).expect("declared");
    let request = json!({"pid": 7, "to": "base"});
    let report: SwitchReport = post(&bed.socket, "/api/v1/switch", &request).expect("switched");
    assert_eq!(report.switched, ["hash_chain"]);
    let patient = Client::new(&bed.socket).with_timeout(Duration::from_mins(1));
    let storm: StormReport = patient
        .post("/api/v1/storm", &json!({"pid": 7, "seconds": 0.5}))
        .expect("stormed");
    assert_eq!((storm.switches, storm.failures), (30_000, 0));
    let notes = control.0.lock().expect("not poisoned");
    let words: Vec<&str> = notes.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(&words[..3], ["pause", "resume", "sale of web"]);
    let own = fs::metadata(&bed.socket).expect("the socket").uid();
    for (caller, _) in notes.iter() {
        assert_eq!(caller.uid, own);
        assert_eq!(caller.pid, i32::try_from(std::process::id()).ok());
    }
}

#[test]
fn a_refusal_comes_back_with_its_words() {
    let bed = bed_with(1, Arc::new(Recorder::default()));
    let check = |answer: Result<Value, ClientError>, status: u16, words: &str| match answer {
        Err(ClientError::Refused(problem)) => {
            assert_eq!(problem.status, status, "{problem:?}");
            assert!(problem.detail.contains(words), "{problem:?}");
        }
        other => panic!("{words}: {other:?}"),
    };
    let post = |target: &str, body: Value| post::<_, Value>(&bed.socket, target, &body);
    check(post("/api/v1/reload", json!(null)), 422, "modee");
    check(get(&bed.socket, "/api/v1/inspect?pid=4"), 404, "process 4");
    check(get(&bed.socket, "/api/v1/nothing"), 404, "nothing");
    check(
        post("/api/v1/storm", json!({"pid": 7, "seconds": -1.0})),
        422,
        "seconds",
    );
    check(
        post("/api/v1/switch", json!({"pid": 7, "to": "base", "too": 1})),
        422,
        "too",
    );
    let event = json!({"name": "sale", "app": "", "at_utc_ms": 1, "duration_s": 60.0});
    check(post("/api/v1/events", event), 422, "app");
    let endless = json!({"name": "sale", "app": "web", "at_utc_ms": 1, "duration_s": 0.0});
    check(post("/api/v1/events", endless), 422, "duration_s");
    let policy = json!({"policy": "", "file_name": "p.toml"});
    check(post("/api/v1/plan", policy), 422, "p.toml");
}

#[test]
fn another_user_is_turned_away_twice() {
    let bed = bed(1);
    let mode = fs::metadata(&bed.socket)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "the file keeps others out");
    // The second door behind it is the kernel's word; to knock there as someone else takes root.
    let asked = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "true"])
        .status();
    if !asked.is_ok_and(|status| status.success()) {
        eprintln!("SKIP another_user_is_turned_away_twice: becoming another user takes root and setpriv");
        return;
    }
    let folder = bed.socket.parent().expect("a folder");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("opens the folder");
    fs::set_permissions(&bed.socket, fs::Permissions::from_mode(0o666)).expect("opens the socket");
    let answer = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["curl", "--silent", "--unix-socket"])
        .arg(&bed.socket)
        .arg("http://localhost/api/v1/view")
        .output();
    let Ok(answer) = answer else {
        eprintln!("SKIP another_user_is_turned_away_twice: curl is not installed");
        return;
    };
    let problem: Value = serde_json::from_slice(&answer.stdout).expect("a problem");
    assert_eq!(problem["status"], 403, "{problem}");
}

#[test]
fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    drop(UnixListener::bind(&socket).expect("binds"));
    assert!(matches!(
        get::<Value>(&socket, "/api/v1/view"),
        Err(ClientError::NotRunning { .. })
    ));
    let config = ServeConfig {
        listen: None,
        socket: Some(socket.clone()),
    };
    let open = || serve(&config, Shared::new(), Arc::new(NoBackend), Arc::new(NoControl));
    let first = open().expect("replaces the dead one");
    assert!(matches!(open(), Err(ServeError::AlreadyRunning(_))));
    get::<View>(&socket, "/api/v1/view").expect("the first one still answers");
    first.stop();
    assert!(!socket.exists(), "nothing is left behind");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}
