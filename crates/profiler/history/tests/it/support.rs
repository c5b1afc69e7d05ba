//! Samples, inputs and stores for the tests.

use std::sync::Arc;
use tidegate_history::StoreConfig;
use tidegate_types::{AppName, BootTime, Entity, Field, Moment, Row, Sample};

/// A Monday at noon.
pub(crate) const NOON_MS: i64 = 1_750_075_200_000;

/// Settings for a store whose jobs run at once.
pub(crate) fn inline() -> StoreConfig {
    StoreConfig {
        boot_id: Arc::from("boot-1"),
        background: false,
        ..StoreConfig::default()
    }
}

/// The moment `second` seconds after the first.
pub(crate) fn at(second: u64) -> Moment {
    Moment {
        boot: BootTime(5_000_000_000 + second * 1_000_000_007),
        utc_ms: NOON_MS + second.cast_signed() * 1000,
    }
}

pub(crate) fn app(name: &str) -> Entity {
    Entity::App(AppName::new(name))
}

/// A sample like those of a small host: an idle app, a busy one, one that comes and goes.
pub(crate) fn sample(second: u64) -> Sample {
    let interval_s = 1.0 + (second % 7) as f64 * 1e-6;
    let mut rows = vec![
        Row::empty(Entity::Host),
        Row::empty(app("busy")),
        Row::empty(app("idle")),
    ];
    rows[0].set(Field::HostCpuBusy, (second * 37 % 113) as f64 * 1e-6 / interval_s);
    rows[1].set(
        Field::CpuUsage,
        (second * 7919 % 1_000_003) as f64 / interval_s * 1e-6,
    );
    rows[1].set(Field::Memory, ((1 << 20) + second * 4096) as f64);
    rows[1].set(Field::CpuLimit, f64::INFINITY);
    rows[2].set(Field::CpuUsage, 0.0);
    if second % 10 < 4 {
        let mut guest = Row::empty(app("guest"));
        guest.set(Field::CpuThrottled, (second as f64).sin().abs());
        rows.push(guest);
    }
    let mut sample = Sample {
        now: at(second),
        interval_s,
        rows,
    };
    sample.sort();
    sample
}
