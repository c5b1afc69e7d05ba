//! What to do about one process, decided from what is known: a pure function.
//!
//! Why so: the rules can be read and tested in one place. Ahead of contention, what is missing is compiled; when
//! it is there (seen, not foreseen: a prediction that does not come switches nothing), only what is ready is used: accepted variants are switched to and looked after, untried ones are tried, one at a
//! time; when it is over, the base is put back, and what was missing is compiled for the next time. Where it does not
//! end, there is no next time: after a while what is missing is compiled beside it, at idle priority.
//!
//! Not here: heat, verdicts, and carrying it out.

use crate::choice::Advice;
use tidegate_format::scenario::Scenario;
use tidegate_types::BootTime;

/// Contention of this age is not waited for any longer.
const LASTING_S: f64 = 120.0;

/// Where a wish is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The contention is expected, but not yet.
    Ahead,
    /// It is there.
    Now,
    /// It is there, and has been for so long that waiting for its end could be waiting for ever.
    Lasting,
    /// It should be over, or is no longer wished.
    Over,
}

impl Phase {
    /// Whether contention is there.
    pub fn is_present(self) -> bool {
        matches!(self, Self::Now | Self::Lasting)
    }
}

/// The phase of a wish that holds until `until`; `since` is when its contention began, or is expected to.
pub fn phase(now: BootTime, (since, until): (BootTime, BootTime), is_observed: bool) -> Phase {
    if now >= until {
        Phase::Over
    } else if !is_observed {
        Phase::Ahead
    } else if now.seconds_since(since) < LASTING_S {
        Phase::Now
    } else {
        Phase::Lasting
    }
}

/// What is known about one function.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, in a plain record"
)]
pub struct Known {
    /// Index in the process.
    pub function: u32,
    /// Its place among the hot functions, 0 = hottest; `None` = not hot on the cores in question.
    pub rank: Option<usize>,
    /// What is remembered.
    pub advice: Advice,
    /// Whether the variant is loaded.
    pub has_variant: bool,
    /// Whether the placebo is loaded.
    pub has_placebo: bool,
    /// Whether it is known that there is no variant.
    pub refused: bool,
    /// Whether its trial is running.
    pub on_trial: bool,
    /// What its slot leads to.
    pub current: Scenario,
    /// Whether we led its slot there, not somebody's command.
    pub is_ours: bool,
    /// Whether its variant in use was not compared with the base for long.
    pub is_check_due: bool,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Lead the function's calls there.
    Switch {
        /// The function.
        function: u32,
        /// Where to.
        to: Scenario,
    },
    /// Compile and load the variant, and the placebo too.
    Prepare {
        /// The function.
        function: u32,
        /// With the placebo, for a trial.
        with_placebo: bool,
    },
    /// Try the variant.
    Try {
        /// The function.
        function: u32,
    },
    /// Compare the variant in use with the base again.
    Check {
        /// The function.
        function: u32,
    },
}

/// The actions for one process under one scenario, switches first, then by heat.
pub fn decide(phase: Phase, scenario: Scenario, functions: &[Known]) -> Vec<Action> {
    let mut actions: Vec<Action> = functions
        .iter()
        .filter_map(|known| switch(phase, scenario, known))
        .collect();
    let mut hot: Vec<&Known> = functions
        .iter()
        .filter(|known| known.rank.is_some() && !known.refused)
        .collect();
    hot.sort_by_key(|known| known.rank);
    let tried = functions.iter().any(|known| known.on_trial);
    let work = hot.into_iter().filter_map(|known| work(phase, known, tried));
    actions.extend(work);
    actions
}

fn switch(phase: Phase, scenario: Scenario, known: &Known) -> Option<Action> {
    if known.on_trial {
        return None;
    }
    let wanted = phase.is_present() && known.advice == Advice::Use && known.has_variant;
    // Before the contention what somebody else switched by command stays; what is left of an earlier one does not, and
    // afterwards the base is right.
    let to = match (wanted, phase) {
        (true, _) => scenario,
        (false, Phase::Ahead) if !known.is_ours => known.current,
        (false, _) => Scenario::Base,
    };
    (to != known.current).then_some(Action::Switch {
        function: known.function,
        to,
    })
}

fn work(phase: Phase, known: &Known, tried: bool) -> Option<Action> {
    let function = known.function;
    let with_placebo = known.advice == Advice::Try;
    let missing = !known.has_variant || (with_placebo && !known.has_placebo);
    match (phase, known.advice) {
        (_, Advice::KeepBase | Advice::Wait) => None,
        // What is not ready at the onset has to wait: compiling then would add to the contention.
        (Phase::Ahead | Phase::Over | Phase::Lasting, _) if missing => Some(Action::Prepare {
            function,
            with_placebo,
        }),
        (Phase::Now | Phase::Lasting, Advice::Try) if !missing && !tried => Some(Action::Try { function }),
        (Phase::Now | Phase::Lasting, Advice::Use) if !missing && !tried && known.is_check_due => {
            Some(Action::Check { function })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known = Known {
        function: 1,
        rank: Some(0),
        advice: Advice::Try,
        has_variant: false,
        has_placebo: false,
        refused: false,
        on_trial: false,
        current: Scenario::Base,
        is_ours: false,
        is_check_due: false,
    };
    const LOADED: Known = Known {
        has_variant: true,
        has_placebo: true,
        ..KNOWN
    };
    const ACCEPTED: Known = Known {
        advice: Advice::Use,
        ..LOADED
    };
    const TO_CPU: Action = Action::Switch {
        function: 1,
        to: Scenario::Cpu,
    };
    const TO_BASE: Action = Action::Switch {
        function: 1,
        to: Scenario::Base,
    };
    const PREPARE: Action = Action::Prepare {
        function: 1,
        with_placebo: true,
    };

    fn check(phase: Phase, known: Known, expect: &[Action]) {
        assert_eq!(
            decide(phase, Scenario::Cpu, &[known]),
            expect,
            "{phase:?} {known:?}"
        );
    }

    #[test]
    fn ahead_everything_missing_is_compiled() {
        check(Phase::Ahead, KNOWN, &[PREPARE]);
        check(Phase::Ahead, LOADED, &[]);
        check(Phase::Ahead, ACCEPTED, &[]);
        check(
            Phase::Ahead,
            Known {
                refused: true,
                ..KNOWN
            },
            &[],
        );
        check(Phase::Ahead, Known { rank: None, ..KNOWN }, &[]);
        check(
            Phase::Ahead,
            Known {
                advice: Advice::KeepBase,
                ..KNOWN
            },
            &[],
        );
        let without_placebo = Known {
            advice: Advice::Use,
            ..KNOWN
        };
        check(
            Phase::Ahead,
            without_placebo,
            &[Action::Prepare {
                function: 1,
                with_placebo: false,
            }],
        );
    }

    #[test]
    fn at_the_onset_only_what_is_ready_is_used() {
        check(Phase::Now, KNOWN, &[]);
        check(Phase::Lasting, KNOWN, &[PREPARE]);
        check(Phase::Lasting, ACCEPTED, &[TO_CPU]);
        check(Phase::Now, LOADED, &[Action::Try { function: 1 }]);
        check(Phase::Now, ACCEPTED, &[TO_CPU]);
        check(
            Phase::Now,
            Known {
                current: Scenario::Cpu,
                ..ACCEPTED
            },
            &[],
        );
        check(
            Phase::Now,
            Known {
                rank: None,
                ..ACCEPTED
            },
            &[TO_CPU],
        );
        let unconfirmed = Known {
            advice: Advice::Wait,
            ..LOADED
        };
        check(Phase::Now, unconfirmed, &[]);
        let lost = Known {
            advice: Advice::KeepBase,
            current: Scenario::Cpu,
            ..LOADED
        };
        check(Phase::Now, lost, &[TO_BASE]);
    }

    #[test]
    fn what_is_used_is_compared_with_the_base_now_and_then() {
        let due = Known {
            current: Scenario::Cpu,
            is_check_due: true,
            ..ACCEPTED
        };
        check(Phase::Now, due, &[Action::Check { function: 1 }]);
        check(Phase::Ahead, due, &[]);
        check(Phase::Over, due, &[TO_BASE]);
    }

    #[test]
    fn between_two_contentions_the_base_runs() {
        let commanded = Known {
            current: Scenario::Cpu,
            ..ACCEPTED
        };
        check(Phase::Ahead, commanded, &[]);
        let ours = Known {
            is_ours: true,
            ..commanded
        };
        check(Phase::Ahead, ours, &[TO_BASE]);
    }

    #[test]
    fn a_trial_is_left_alone_and_is_the_only_one() {
        check(
            Phase::Now,
            Known {
                on_trial: true,
                current: Scenario::Cpu,
                ..LOADED
            },
            &[],
        );
        let running = Known {
            function: 2,
            on_trial: true,
            ..LOADED
        };
        assert_eq!(decide(Phase::Now, Scenario::Cpu, &[LOADED, running]), []);
    }

    #[test]
    fn afterwards_the_base_is_put_back_and_the_rest_compiled() {
        check(
            Phase::Over,
            Known {
                current: Scenario::Cpu,
                ..ACCEPTED
            },
            &[TO_BASE],
        );
        check(Phase::Over, KNOWN, &[PREPARE]);
    }

    #[test]
    fn hotter_functions_come_first() {
        let cold = Known {
            function: 2,
            rank: Some(1),
            ..LOADED
        };
        let actions = decide(Phase::Now, Scenario::Cpu, &[cold, LOADED]);
        assert_eq!(
            actions,
            [Action::Try { function: 1 }, Action::Try { function: 2 }]
        );
    }

    #[test]
    fn phases() {
        let check = |now_s, is_observed, expect| {
            let times = [10.0, 200.0].map(BootTime::from_seconds);
            let now = BootTime::from_seconds(now_s);
            assert_eq!(phase(now, (times[0], times[1]), is_observed), expect);
        };
        check(9.0, false, Phase::Ahead);
        check(9.0, true, Phase::Now);
        check(129.0, true, Phase::Now);
        check(131.0, true, Phase::Lasting);
        check(200.0, false, Phase::Over);
        check(200.0, true, Phase::Over);
    }
}
