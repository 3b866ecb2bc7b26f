//! Owns the peer: a private Postfix of Debian, with its own configuration, queue and data, on a free port of loopback. It asks no
//! DNS and hands everything to the sink.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::children::{self, Background};

/// A running Postfix. Stopped when dropped.
pub(crate) struct Postfix {
    conf: PathBuf,
    master: Option<Background>,
    pub(crate) port: u16,
}

impl Postfix {
    /// Starts one below `folder` and waits until it listens.
    pub(crate) fn start(folder: &Path, sink: u16) -> Result<Self> {
        let conf = folder.join("conf");
        for part in ["conf", "queue", "data"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        chown(folder.join("data"), Some(account("postfix")?), None)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::write(conf.join("main.cf"), main_cf(folder, sink))?;
        fs::write(conf.join("master.cf"), master_cf(port))?;
        fs::write(conf.join("dynamicmaps.cf"), "")?;
        let mut command = Command::new("postfix");
        command.arg("-c").arg(&conf).arg("start-fg");
        let mut master = Background::start(&mut command, &folder.join("master.log"))?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(master.lives()? && began.elapsed() < Duration::from_secs(30), "Postfix did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { conf, master: Some(master), port })
    }

    /// CPU seconds of all its processes so far.
    pub(crate) fn cpu(&self) -> Result<f64> {
        children::tree_cpu(self.master.as_ref().context("Postfix has been stopped")?.id())
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = children::run(Command::new("postfix").arg("-c").arg(&self.conf).arg("stop"));
        self.master.take();
    }
}

/// The number of an account of this machine.
fn account(name: &str) -> Result<u32> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    let line = accounts.lines().find(|line| line.starts_with(&format!("{name}:"))).context("Postfix is missing")?;
    line.split(':').nth(2).and_then(|id| id.parse().ok()).context("/etc/passwd is damaged")
}

fn main_cf(folder: &Path, sink: u16) -> String {
    let folder = folder.display();
    format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n\
         maillog_file = {folder}/mail.log\nmaillog_file_prefixes = {folder}\nimport_environment = MAIL_CONFIG PATH\n\
         myhostname = relay.example\nmydestination =\nlocal_recipient_maps =\nalias_maps =\nalias_database =\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
         smtpd_peername_lookup = no\nsmtpd_client_connection_count_limit = 0\nsmtpd_tls_security_level = none\n\
         smtp_tls_security_level = none\nsmtp_dns_support_level = disabled\nrelayhost = [127.0.0.1]:{sink}\n"
    )
}

fn master_cf(port: u16) -> String {
    let mut text = format!("127.0.0.1:{port} inet n - n - 200 smtpd\n");
    for (name, kind, private, unprivileged, wakeup, most, command) in [
        ("cleanup", "unix", "n", "-", "-", "0", "cleanup"),
        ("qmgr", "unix", "n", "-", "300", "1", "qmgr"),
        ("tlsmgr", "unix", "-", "-", "1000?", "1", "tlsmgr"),
        ("rewrite", "unix", "-", "-", "-", "-", "trivial-rewrite"),
        ("bounce", "unix", "-", "-", "-", "0", "bounce"),
        ("defer", "unix", "-", "-", "-", "0", "bounce"),
        ("trace", "unix", "-", "-", "-", "0", "bounce"),
        ("flush", "unix", "n", "-", "1000?", "0", "flush"),
        ("proxymap", "unix", "-", "-", "-", "-", "proxymap"),
        ("smtp", "unix", "-", "-", "-", "-", "smtp"),
        ("relay", "unix", "-", "-", "-", "-", "smtp"),
        ("error", "unix", "-", "-", "-", "-", "error"),
        ("retry", "unix", "-", "-", "-", "-", "error"),
        ("anvil", "unix", "-", "-", "-", "1", "anvil"),
        ("scache", "unix", "-", "-", "-", "1", "scache"),
        ("postlog", "unix-dgram", "n", "-", "-", "1", "postlogd"),
    ] {
        // No process is locked into the queue: the folder has nothing that it would need there.
        let _ = writeln!(text, "{name} {kind} {private} {unprivileged} n {wakeup} {most} {command}");
    }
    text
}
