//! Whose calls lead to variants, and what that hides.
//!
//! Why so: code that needs less of a contended CPU waits less, and would look as if the contention were over; led back to
//! the base, it would wait again. So while variants are in use, a CPU counts as contended for as long as it would be full
//! with the base, as a limit does under a lease: what is prevented is still an event.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_types::{AppName, Switched};

/// A CPU is full from this share of its capacity on.
const FULL: f64 = 0.97;
/// Whoever uses less than this share of it contends for nothing.
const NOTICEABLE: f64 = 0.1;

/// The apps with processes whose calls lead to variants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SwitchedCode {
    /// App, process and gain.
    processes: Vec<(AppName, u32, f64)>,
}

impl SwitchedCode {
    /// Slots of a process were led elsewhere.
    pub(crate) fn switched(&mut self, switched: &Switched) {
        self.processes.retain(|(_, process, _)| *process != switched.pid);
        if switched.to.is_some() {
            let gain = if switched.gain.is_finite() {
                switched.gain.max(1.0)
            } else {
                1.0
            };
            self.processes.push((switched.app.clone(), switched.pid, gain));
        }
    }

    /// An app went away.
    pub(crate) fn gone(&mut self, app: &AppName) {
        self.processes.retain(|(known, ..)| known != app);
    }

    /// What an app's usage is to be multiplied with to be what the base would use; none where it runs the base.
    pub(crate) fn gain(&self, app: &AppName) -> Option<f64> {
        let own = self.processes.iter().filter(|(known, ..)| known == app);
        own.map(|(.., gain)| *gain).reduce(f64::max)
    }

    /// The apps, each once, with their gains.
    pub(crate) fn apps(&self) -> BTreeMap<&AppName, f64> {
        let names = self.processes.iter().map(|(app, ..)| app);
        names.filter_map(|app| Some((app, self.gain(app)?))).collect()
    }
}

/// Whether CPUs with so many cores would be full if an app that uses `own` of them ran its base, while others are there.
pub(crate) fn would_be_full(own: f64, gain: f64, busy: f64, capacity: f64) -> bool {
    let (base, others) = (own * gain, (busy - own).max(0.0));
    let noticeable = NOTICEABLE * capacity;
    base >= noticeable && others >= noticeable && base + others >= FULL * capacity
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::Scenario;

    fn switched(pid: u32, to: Option<Scenario>, gain: f64) -> Switched {
        Switched {
            app: AppName::new("web"),
            pid,
            functions: vec!["inner".to_owned()],
            to,
            prediction: None,
            gain,
            reason: String::new(),
        }
    }

    #[test]
    fn an_app_has_the_gain_of_its_processes_until_all_are_at_the_base() {
        let mut code = SwitchedCode::default();
        code.switched(&switched(1, Some(Scenario::Cpu), 1.5));
        code.switched(&switched(2, Some(Scenario::Cpu), f64::NAN));
        assert_eq!(code.gain(&AppName::new("web")), Some(1.5));
        code.switched(&switched(1, None, 1.0));
        assert_eq!(code.apps(), BTreeMap::from([(&AppName::new("web"), 1.0)]));
        code.gone(&AppName::new("web"));
        assert_eq!(code.gain(&AppName::new("web")), None);
    }

    #[test]
    fn a_cpu_would_be_full_beside_a_neighbour_and_not_without_one() {
        assert!(would_be_full(0.24, 2.5, 1.0, 1.0), "0.6 wanted beside 0.76");
        assert!(!would_be_full(0.24, 2.5, 0.24, 1.0), "the neighbour has left");
        assert!(!would_be_full(0.24, 2.5, 0.5, 1.0), "there is room for both");
        assert!(
            !would_be_full(0.98, 2.5, 1.0, 1.0),
            "it takes all that there is, alone"
        );
        assert!(!would_be_full(0.0, 2.5, 1.0, 1.0), "it does nothing");
    }
}
