//! Owns a private Postfix: Debian's, with its own configuration, queue and data in a temporary folder, on a free loopback port,
//! handing everything to a sink on loopback. It asks no DNS and never leaves the machine.
//!
//! A missing Postfix fails the test: a test that passes by not running proves nothing.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::certificates::ServerCertificate;
use super::{free_port, until};

const MISSING: &str = "Postfix is missing or cannot run: use ./tests/run as root on Debian, or \
                       apt-get install postfix sasl2-bin libsasl2-modules (\"No configuration\") and be root";

/// How mail comes in.
pub enum Entry<'a> {
    /// STARTTLS, and no mail without it; AUTH PLAIN and LOGIN, and no mail without it.
    StarttlsAndLogin {
        /// User.
        user: &'a str,
        /// Password.
        password: &'a str,
    },
    /// TLS from the first byte; everybody on loopback may send.
    ImplicitTls,
}

/// A running Postfix. Stopped when dropped.
pub struct Postfix {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    folder: tempfile::TempDir,
    master: Child,
}

impl Postfix {
    /// Starts one that hands everything to the sink at `sink`, and waits until it listens.
    pub fn start(entry: &Entry<'_>, certificate: &ServerCertificate, sink: u16) -> Self {
        Self::start_with(entry, certificate, sink, "")
    }

    /// The same; mail to `domain` is handed over by `transport` (`lmtp:inet:127.0.0.1:2527`) instead.
    pub fn start_returning(certificate: &ServerCertificate, sink: u16, domain: &str, transport: &str) -> Self {
        let more = format!("transport_maps = inline:{{ {{ {domain} = {transport} }} }}\n");
        Self::start_with(&Entry::ImplicitTls, certificate, sink, &more)
    }

    /// The same; mail to `domain` is kept in the Maildir `FOLDER/mailbox` instead.
    pub fn start_keeping(certificate: &ServerCertificate, sink: u16, domain: &str, folder: &Path) -> Self {
        let owner = account("postfix");
        chown(folder, Some(owner), None).unwrap();
        let more = format!(
            "virtual_mailbox_domains = {domain}\nvirtual_transport = virtual\nvirtual_mailbox_base = {}\n\
             virtual_mailbox_maps = static:mailbox/\nvirtual_minimum_uid = 1\nvirtual_uid_maps = static:{owner}\n\
             virtual_gid_maps = static:{owner}\n",
            folder.display()
        );
        Self::start_with(&Entry::ImplicitTls, certificate, sink, &more)
    }

    fn start_with(entry: &Entry<'_>, certificate: &ServerCertificate, sink: u16, more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("postfix-").tempdir().unwrap();
        let owner = account("postfix");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["conf", "queue", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        chown(folder.path().join("data"), Some(owner), None).unwrap();
        let port = free_port();
        let conf = folder.path().join("conf");
        fs::write(conf.join("server.pem"), format!("{}{}", certificate.key, certificate.certificate)).unwrap();
        fs::set_permissions(conf.join("server.pem"), Permissions::from_mode(0o600)).unwrap();
        fs::write(conf.join("main.cf"), main_cf(folder.path(), entry, sink) + more).unwrap();
        fs::write(conf.join("master.cf"), master_cf(entry, port)).unwrap();
        if let Entry::StarttlsAndLogin { user, password } = entry {
            write_logins(folder.path(), user, password, owner);
        }
        let master = postfix(&conf, "start-fg").spawn().expect(MISSING);
        let mut started = Self { port, folder, master };
        started.until_it_listens();
        started
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The file of its log.
    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("mail.log")
    }

    fn conf(&self) -> PathBuf {
        self.folder.path().join("conf")
    }

    fn until_it_listens(&mut self) {
        until("Postfix listens", Duration::from_secs(30), || {
            if let Some(status) = self.master.try_wait().unwrap() {
                panic!("Postfix ended ({status}). {MISSING}\n{}", self.log());
            }
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = postfix(&self.conf(), "stop").status();
        if self.master.try_wait().ok().flatten().is_none() {
            let _ = self.master.kill();
        }
        let _ = self.master.wait();
    }
}

fn postfix(conf: &Path, verb: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("postfix");
    command
        .arg("-c")
        .arg(conf)
        .arg(verb)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The number of an account of this machine.
fn account(name: &str) -> u32 {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let line = accounts.lines().find(|line| line.starts_with(&format!("{name}:"))).expect(MISSING);
    line.split(':').nth(2).unwrap().parse().unwrap()
}

fn main_cf(folder: &Path, entry: &Entry<'_>, sink: u16) -> String {
    let folder = folder.display();
    let mut text = format!(
        "compatibility_level = 3.6\n\
         queue_directory = {folder}/queue\n\
         data_directory = {folder}/data\n\
         maillog_file = {folder}/mail.log\n\
         maillog_file_prefixes = {folder}\n\
         import_environment = MAIL_CONFIG PATH\n\
         myhostname = relay.example\n\
         mydestination =\n\
         local_recipient_maps =\n\
         alias_maps =\n\
         alias_database =\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         smtp_dns_support_level = disabled\n\
         smtpd_peername_lookup = no\n\
         relayhost = [127.0.0.1]:{sink}\n\
         smtp_tls_security_level = none\n\
         smtpd_tls_chain_files = {folder}/conf/server.pem\n"
    );
    match entry {
        Entry::StarttlsAndLogin { .. } => {
            let _ = write!(
                text,
                "mynetworks =\n\
                 smtpd_tls_security_level = encrypt\n\
                 smtpd_tls_auth_only = yes\n\
                 smtpd_sasl_auth_enable = yes\n\
                 smtpd_sasl_local_domain = relay.example\n\
                 cyrus_sasl_config_path = {folder}/conf/sasl\n\
                 smtpd_relay_restrictions = permit_sasl_authenticated, reject\n"
            );
        }
        Entry::ImplicitTls => {
            text.push_str("mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, reject\n");
        }
    }
    text
}

fn master_cf(entry: &Entry<'_>, port: u16) -> String {
    let wrapped = if matches!(entry, Entry::ImplicitTls) { " -o smtpd_tls_wrappermode=yes" } else { "" };
    let mut text = format!("127.0.0.1:{port} inet n - n - - smtpd{wrapped}\n");
    text.push_str(
        "cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         flush unix n - n 1000? 0 flush\n\
         proxymap unix - - n - - proxymap\n\
         smtp unix - - n - - smtp\n\
         relay unix - - n - - smtp\n\
         lmtp unix - - n - - lmtp\n\
         virtual unix - n n - - virtual\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         anvil unix - - n - 1 anvil\n\
         scache unix - - n - 1 scache\n\
         postlog unix-dgram n - n - 1 postlogd\n",
    );
    text
}

/// Cyrus SASL with a password database of its own.
fn write_logins(folder: &Path, user: &str, password: &str, owner: u32) {
    let sasl = folder.join("conf/sasl");
    fs::create_dir(&sasl).unwrap();
    let database = folder.join("data/logins");
    fs::write(
        sasl.join("smtpd.conf"),
        format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {}\n",
            database.display()
        ),
    )
    .unwrap();
    let mut child = Command::new("saslpasswd2")
        .args(["-p", "-c", "-u", "relay.example", "-f"])
        .arg(&database)
        .arg(user)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::piped())
        .spawn()
        .expect(MISSING);
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), password.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "saslpasswd2 failed. {MISSING}");
    chown(&database, Some(owner), None).unwrap();
}
