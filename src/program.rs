//! Owns the programs of the operator that Hikagen runs: each is the head of a process group, which ends as a whole.
//!
//! Invariants: a program that is given up leaves none of its children running; what a program leaves behind that ended by
//! itself is its own affair.

use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A running program. Dropped before its end was waited for, it is killed with all that it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// `None`: it has ended, and its number may be another's.
    group: Option<Pid>,
}

impl Running {
    /// Starts `command` in a process group of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> std::io::Result<Self> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// Its pipes.
    pub fn pipes(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end. Read its pipes first: until then its children can be told from strangers.
    ///
    /// # Errors
    /// When the system cannot say how it ended.
    pub async fn end(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group = None;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::Future;
    use std::io::Read as _;
    use std::time::Duration;

    use super::*;

    /// Gives up on a program that should have ended; no test waits that long when it passes.
    const HANGS: Duration = Duration::from_secs(30);

    /// Has `start` run a pipeline of two that never ends, drops it while both run, and sees them end.
    pub(crate) async fn ends_with_its_children<F>(start: impl FnOnce(Vec<String>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("held");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = format!("exec 3> {}; sleep 1000 | {{ echo up >&3; cat; }}", pipe.display());
        let task = tokio::spawn(start(["/bin/sh", "-c", &script].map(str::to_owned).to_vec()));
        let (up, is_up) = tokio::sync::oneshot::channel();
        let (over, is_over) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut held = std::fs::File::open(pipe).unwrap();
            let mut said = [0; 3];
            held.read_exact(&mut said).unwrap();
            up.send(said).unwrap();
            // It ends when nobody holds the other side any more.
            held.read_to_end(&mut Vec::new()).unwrap();
            let _ = over.send(());
        });
        assert_eq!(tokio::time::timeout(HANGS, is_up).await.unwrap().unwrap(), *b"up\n");
        task.abort();
        let _ = task.await;
        assert!(tokio::time::timeout(HANGS, is_over).await.is_ok(), "a child of the program still runs");
    }

    #[tokio::test]
    async fn a_program_that_is_given_up_ends_with_its_children() {
        ends_with_its_children(|words| async move {
            let mut running = Running::start(Command::new(&words[0]).args(&words[1..])).unwrap();
            running.end().await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_program_that_ended_is_told_on_and_killed_no_more() {
        let mut running = Running::start(Command::new("/bin/sh").args(["-c", "exit 3"])).unwrap();
        assert_eq!(running.end().await.unwrap().code(), Some(3));
        assert!(running.group.is_none());
        assert!(Running::start(&mut Command::new("/nonexistent/program")).is_err());
    }
}
