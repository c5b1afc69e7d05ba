//! Serves the page with seeded, invented data: `cargo run -p tidegate-dashboard --example preview [PORT]`.

#[path = "../tests/it/demo.rs"]
mod demo;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_dashboard::{NoControl, ServeConfig, serve};

/// How much of the past the preview begins with, in seconds; the next crowd is half a minute away then.
const PAST_S: u32 = 3_190;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(7980), |port| port.parse())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let (demo, shared) = demo::run(i64::try_from(now.as_millis())?, PAST_S);
    let demo = Arc::new(Mutex::new(demo));
    let config = ServeConfig {
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        socket: None,
    };
    let backend = demo::DemoBackend(Arc::clone(&demo));
    let server = serve(&config, shared.clone(), Arc::new(backend), Arc::new(NoControl))?;
    if let Some(address) = server.address() {
        println!("http://{address}/");
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let (view, sample) = demo.lock().map_err(|error| error.to_string())?.step();
        shared.publish(view, sample);
    }
}
