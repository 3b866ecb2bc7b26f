//! Owns the worker inside the test's own process, made of the same parts as `run` makes it, with a clock of the test's own.

use std::path::Path;
use std::sync::Arc;

use hikagen::clock::SharedClock;
use hikagen::compose::{Composer, Content, Templates, Tokens};
use hikagen::config::Config;
use hikagen::relay::Relay;
use hikagen::relay::smtp::SmtpRelay;
use hikagen::store::Store;
use hikagen::store::sqlite::SqliteStore;
use hikagen::worker::{self, Control, Pacing, Parts};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A worker at work.
pub struct Working {
    /// Its store.
    pub store: Arc<dyn Store>,
    orders: mpsc::Sender<Control>,
    task: JoinHandle<()>,
}

impl Working {
    /// Starts one on this configuration; `speed` is that of the clock.
    pub fn start(config: Config, clock: SharedClock, speed: f64) -> Self {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open_existing(&config.store).unwrap());
        let tokens = Arc::new(Tokens::open(&Tokens::key_file(&config.store)).unwrap());
        let groups = config.groups.clone();
        let parts = Parts {
            store: store.clone(),
            clock,
            relays: Arc::new(|settings| Ok(Arc::new(SmtpRelay::new(settings.clone())?) as Arc<dyn Relay>)),
            composers: Arc::new(move |content: &str| {
                let content: Content = serde_json::from_str(content).map_err(|error| error.to_string())?;
                match Templates::compile(&content, groups.clone(), tokens.clone()) {
                    Ok(templates) => Ok(Arc::new(templates) as Arc<dyn Composer>),
                    Err(problems) => Err(format!("{problems:?}")),
                }
            }),
            owner: "test".to_owned(),
            disk: None,
            pacing: Pacing::at_speed(speed),
        };
        let (orders, control) = mpsc::channel(8);
        let task = tokio::spawn(async move { worker::run(parts, Arc::new(config), false, control).await.unwrap() });
        Self { store, orders, task }
    }

    /// Drains it and waits for its end.
    pub async fn end(self) {
        self.orders.send(Control::Drain).await.unwrap();
        self.task.await.unwrap();
    }
}

/// The configuration in a folder, with these variables in its environment.
pub fn configuration(folder: &Path, environment: &[(&str, &str)]) -> Config {
    let variable = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    let (read, _) = hikagen::config::config_file::load_with(&folder.join("hikagen.yaml"), &variable);
    read.value.unwrap_or_else(|| panic!("{:?}", read.problems))
}
