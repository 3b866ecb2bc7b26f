//! Owns what the tests stand on: the program as a child process, a project folder, sinks, a private Postfix, certificates.
//!
//! Included by each test binary, none of which uses all of it. Nothing here leaves 127.0.0.0/8.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "shared by several test binaries; real processes are waited for in real time"
)]

pub mod certificates;
pub mod chromium;
pub mod dkim;
pub mod insight;
pub mod postfix;
pub mod program;
pub mod python;
pub mod scene;
pub mod schemas;
pub mod settings;
pub mod sink;
pub mod terminal;
pub mod worker;

use std::time::{Duration, Instant};

/// Waits until `met` gives something, at most `limit`; fails with `what` then.
pub fn until<T>(what: &str, limit: Duration, mut met: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = met() {
            return value;
        }
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A TCP port on 127.0.0.1 that nobody listened on a moment ago. For servers that cannot bind port 0 themselves.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Lets real time pass: for servers that are slow on purpose, never to wait for something.
pub fn dawdle(span: Duration) {
    std::thread::sleep(span);
}
