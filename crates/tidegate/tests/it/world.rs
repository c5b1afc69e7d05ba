//! A daemon in folders of its own, and the verbs around it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

/// Folders that go when the test does.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

/// A running daemon; it is killed when it is dropped without [`Daemon::stop`].
pub(crate) struct Daemon {
    child: Child,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg(verb).arg("--data").arg(self.path().join("data"));
        command
            .arg("--run-dir")
            .arg(self.path().join("run"))
            .env("XDG_CACHE_HOME", self.path().join("cache"));
        command
    }

    /// Runs one verb to its end.
    pub(crate) fn verb(&self, verb: &str, arguments: &[&str]) -> Output {
        self.command(verb).args(arguments).output().unwrap()
    }

    /// Begins one verb that prints to `stdout`; its errors can be read.
    pub(crate) fn begin(&self, verb: &str, arguments: &[&str], stdout: Stdio) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg(verb).args(arguments);
        if verb != "completions" {
            command.arg("--data").arg(self.path().join("data"));
        }
        command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs one read verb and gives its JSON.
    pub(crate) fn json(&self, verb: &str, arguments: &[&str]) -> serde_json::Value {
        let output = self.command(verb).args(arguments).arg("--json").output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tidegate {verb} failed: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Starts `tidegate run` without a page and waits until it says that it is ready.
    pub(crate) fn run(&self, arguments: &[&str]) -> Daemon {
        let (daemon, lines) = self.start(arguments);
        std::thread::spawn(move || lines.for_each(drop));
        daemon
    }

    /// The same, and nobody hears what it says from then on.
    pub(crate) fn run_unheard(&self, arguments: &[&str]) -> Daemon {
        self.start(arguments).0
    }

    fn start(&self, arguments: &[&str]) -> (Daemon, Lines<BufReader<ChildStderr>>) {
        let mut command = self.command("run");
        command.args(["--port", "0", "--interval", "0.2"]).args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line == "tidegate is ready");
        assert!(ready, "the daemon ended before it was ready");
        (Daemon { child }, lines)
    }

    /// Asks until the daemon shows a sample.
    pub(crate) fn wait_for_apps(&self) -> serde_json::Value {
        for _ in 0..300 {
            let apps = self.json("apps", &[]);
            if apps.as_array().is_some_and(|apps| !apps.is_empty()) {
                return apps;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("no sample within thirty seconds")
    }
}

impl Daemon {
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Ends it as Ctrl-C does, and gives its exit status.
    pub(crate) fn stop(mut self) -> Option<i32> {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
