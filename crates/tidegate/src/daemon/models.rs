//! Trained models at the start of the daemon: what the state rests on comes from the store, and the shipped model is put
//! in force where there is none.

use std::sync::Arc;
use tidegate_engine::{PeakModel, State};
use tidegate_history::Store;
use tidegate_types::Event;

/// Hands `state` its models; the event that puts the shipped one in force, where the state has none.
///
/// The bytes lie in the store before anything names them, so that a replay finds them.
pub(super) fn furnish(state: &mut State, store: &Store) -> Option<Event> {
    for name in state.needed() {
        match stored(store, &name) {
            Ok(model) => state.supply(&name, Arc::new(model)),
            Err(problem) => tracing::warn!("trained model {name}: {problem}; it is forgotten"),
        }
    }
    state.forget_lost_models();
    if state.forecaster().model_report().name.is_some() {
        return None;
    }
    let shipped = PeakModel::shipped().map_err(|error| error.to_string());
    let name = store
        .put_model(PeakModel::shipped_bytes())
        .map_err(|error| error.to_string());
    match shipped.and_then(|model| Ok((model, name?))) {
        Ok((model, name)) => {
            let name: Arc<str> = name.into();
            state.supply(&name, Arc::new(model));
            Some(Event::ModelPromoted(name))
        }
        Err(problem) => {
            tracing::warn!("the shipped model cannot be used: {problem}");
            None
        }
    }
}

fn stored(store: &Store, name: &str) -> Result<PeakModel, String> {
    let bytes = store.reader().model(name).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or("its bytes are not in the store")?;
    PeakModel::from_bytes(&bytes).map_err(|error| error.to_string())
}
