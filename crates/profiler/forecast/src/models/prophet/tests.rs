use super::*;

/// Monday, 2 March 2026.
const START_S: i64 = 1_772_409_600;

/// Vienna: summer time begins on Sunday, 29 March 2026, 01:00 UTC.
fn vienna(holidays: &[i64]) -> Calendar {
    let holidays = holidays.iter().map(|day| (*day, "Fair".to_owned()));
    Calendar::new(vec![(0, 3600), (1_774_746_000, 7200)], holidays.collect())
}

fn noise(step: i64) -> f64 {
    (step * 7919 % 997) as f64 / 997.0 - 0.5
}

/// A day as people live it, on a slope that doubles after a while, with noise.
fn load(calendar: &Calendar, step: i64) -> f64 {
    let angle = std::f64::consts::TAU * calendar.of_day_s(START_S + 300 * step) as f64 / 86_400.0;
    let fair = if calendar.holiday(START_S + 300 * step).is_some() {
        25.0
    } else {
        0.0
    };
    let trend = 0.002 * step as f64 + 0.004 * (step - 2000).max(0) as f64;
    60.0 + trend + 20.0 * angle.sin() + fair + 2.0 * noise(step)
}

fn fitted(calendar: &Calendar, lived: &Calendar, steps: std::ops::Range<i64>) -> Fitted {
    let times_s: Vec<i64> = steps.clone().map(|step| START_S + 300 * step).collect();
    let values: Vec<f64> = steps.map(|step| load(lived, step)).collect();
    Fitted::new(&times_s, &values, calendar).expect("it moves")
}

#[test]
fn trend_season_and_noise_are_told_apart() {
    let utc = Calendar::default();
    let fitted = fitted(&utc, &utc, 0..14 * 288);
    let noon_s = START_S + 10 * 86_400 + 6 * 3600;
    let parts = fitted.parts(&utc, noon_s);
    let step = (noon_s - START_S) / 300;
    let trend = 60.0 + 0.002 * step as f64 + 0.004 * (step - 2000) as f64;
    assert!((parts.seasons[0] - 20.0).abs() < 0.3, "{parts:?}");
    assert!((parts.trend - trend).abs() < 0.5, "{parts:?}, trend {trend}");
    assert!(
        (fitted.noise() - 2.0 / 12.0_f64.sqrt()).abs() < 0.05,
        "{}",
        fitted.noise()
    );
}

#[test]
fn a_fair_is_an_effect_of_its_own() {
    let day = START_S / 86_400;
    let calendar = vienna(&[day + 4, day + 9, day + 15]);
    let fitted = fitted(&calendar, &calendar, 0..14 * 288);
    let next_s = START_S + 15 * 86_400;
    let [on, off] = [next_s, next_s + 86_400].map(|time_s| fitted.parts(&calendar, time_s).holiday);
    assert!((on - 25.0).abs() < 1.0 && off == 0.0, "{on} {off}");
}

#[test]
fn days_keep_their_time_when_the_clocks_jump() {
    let lived = vienna(&[]);
    // Two weeks up to the evening of the Sunday with 23 hours; asked for the Monday after.
    let steps = 14 * 288..28 * 288 - 24;
    let error = |calendar: &Calendar| {
        let fitted = fitted(calendar, &lived, steps.clone());
        let missed = (28 * 288 - 24..29 * 288 - 24).map(|step| {
            let at_s = START_S + 300 * step;
            let parts = fitted.parts(calendar, at_s);
            (parts.trend + parts.seasons.iter().sum::<f64>() - load(&lived, step)).abs()
        });
        missed.sum::<f64>() / 288.0
    };
    let (local, utc) = (error(&lived), error(&Calendar::default()));
    assert!(local < 2.0 && utc > 1.5 * local, "local {local}, UTC {utc}");
}

#[test]
fn a_year_comes_again() {
    let utc = Calendar::default();
    let times_s: Vec<i64> = (0..3 * 365).map(|day| START_S + 86_400 * day).collect();
    let year = |time_s: i64| 10.0 * (std::f64::consts::TAU * time_s as f64 / 31_557_600.0).cos();
    let values: Vec<f64> = times_s.iter().map(|time_s| 50.0 + year(*time_s)).collect();
    let fitted = Fitted::new(&times_s, &values, &utc).expect("it moves");
    for month in 0..12 {
        let at_s = START_S + 86_400 * (3 * 365 + 30 * month);
        let found = fitted.parts(&utc, at_s).seasons[2];
        assert!((found - year(at_s)).abs() < 0.5, "month {month}: {found}");
    }
}

#[test]
fn a_saved_fit_says_the_same_and_damage_is_refused() {
    let day = START_S / 86_400;
    let calendar = vienna(&[day + 4]);
    let fitted = fitted(&calendar, &calendar, 0..14 * 288);
    let bytes = fitted.to_bytes();
    assert_eq!(Fitted::from_bytes(&bytes), Ok(fitted));
    for place in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x41;
        assert!(Fitted::from_bytes(&damaged).is_err(), "byte {place}");
        assert!(Fitted::from_bytes(&bytes[..place]).is_err(), "cut at {place}");
    }
}

#[test]
fn when_it_is_asked_changes_nothing() {
    let utc = Calendar::default();
    let follow = |asked: &[i64]| {
        let mut model = Prophet::new(300, [70.0, 90.0]);
        for step in 0..=700 {
            model
                .observe(START_S + 300 * step, load(&utc, step))
                .expect("time goes forward");
            if asked.contains(&step) {
                model.forecast().expect("known");
            }
        }
        model.forecast().expect("known")
    };
    assert_eq!(follow(&[]), follow(&[100, 576, 650]));
}

#[test]
fn too_little_is_said_plainly() {
    assert!(Fitted::new(&[0, 300], &[1.0, 2.0], &Calendar::default()).is_none());
    let times_s: Vec<i64> = (0..100).map(|step| 300 * step).collect();
    assert!(Fitted::new(&times_s, &[4.0; 100], &Calendar::default()).is_none());
    let mut model = Prophet::new(300, [1.0, 2.0]);
    model.observe(0, 7.0).expect("first");
    assert_eq!(model.forecast().expect("one value").quantiles[4], [7.0; 12]);
}
