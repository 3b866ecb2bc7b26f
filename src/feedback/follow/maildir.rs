//! Owns the watching of Maildir folders to which bounces and complaints come.
//!
//! Invariants: a report is marked as seen only after it was taken, so that a crash between the two is a repeat; whatever is no report
//! stays as it is, for the people whose mailbox it may be; mails and what is remembered of them are bounded. A mail that
//! somebody has seen is theirs: in `cur` only mail without the flag S is read.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::trouble::Trouble;
use super::{Desk, LOOK};
use crate::core::feedback::Heard;

/// Reads one mail; `None`: it is no report.
pub type ReadMail = fn(&[u8]) -> Option<Vec<Heard>>;

/// Largest mail that is read, bytes: a bounce may hold all of the mail that it is about.
pub const LARGEST_MAIL: u64 = 10 * 1024 * 1024;
/// Mails that are handed over together at most.
const MAILS: usize = 100;
/// Bytes of mails that are handed over together, about.
const BYTES: u64 = 16 * 1024 * 1024;
/// Names that are looked at together at most.
const NAMES: usize = 10_000;
/// Mails that are remembered as no reports. Beyond it the oldest is read once more.
const REMEMBERED: usize = 100_000;
/// A folder that seems unchanged is listed again after so many looks: two changes within one tick of its clock look like one.
const LIST_AGAIN: u32 = 60;

/// Watches the Maildir at `path` until it is aborted.
pub(super) async fn watch(desk: Desk, path: PathBuf, read: ReadMail) {
    let name = format!("the mailbox {}", path.display());
    let mut trouble = Trouble::new(format!("{name} cannot be read"));
    let mut unmarked = Trouble::new(format!("reports in {name} cannot be marked as seen"));
    let mut maildir = Maildir::new(&path, read);
    loop {
        let looked = tokio::task::spawn_blocking(move || {
            let look = maildir.look();
            (maildir, look)
        });
        let Ok((back, look)) = looked.await else { return };
        maildir = back;
        let mut more = false;
        match look {
            Ok(look) => {
                match &look.trouble {
                    Some(why) => trouble.is(why),
                    None => trouble.over("it is read again"),
                }
                look.remarks.iter().for_each(|remark| tracing::warn!("{name}: {remark}"));
                more = look.more;
                desk.hand_over(look.heard, &name).await;
                let marked = tokio::task::spawn_blocking(move || {
                    let marked = maildir.mark(&look.reports);
                    (maildir, marked)
                });
                let Ok((back, marked)) = marked.await else { return };
                maildir = back;
                match marked {
                    Ok(()) => unmarked.over("they are marked again"),
                    Err(error) => unmarked.is(&error.to_string()),
                }
            }
            Err(error) => trouble.is(&error.to_string()),
        }
        if !more {
            desk.clock.sleep(LOOK).await;
        }
    }
}

/// What one look found.
#[derive(Debug, Default)]
struct Look {
    heard: Vec<Heard>,
    /// The files that were reports.
    reports: Vec<PathBuf>,
    /// There is more at once.
    more: bool,
    remarks: Vec<String>,
    /// Some mail cannot be read.
    trouble: Option<String>,
}

/// A watched Maildir.
struct Maildir {
    path: PathBuf,
    read: ReadMail,
    /// Unique names of mails that need no reading, and their order.
    known: HashSet<String>,
    order: VecDeque<String>,
    /// Unique names of mails that could not be read just now.
    failed: HashSet<String>,
    /// When `new` and `cur` changed last, as of their last whole listing.
    listed: [Option<SystemTime>; 2],
    looks: u32,
}

impl Maildir {
    fn new(path: &Path, read: ReadMail) -> Self {
        Self {
            path: path.to_owned(),
            read,
            known: HashSet::new(),
            order: VecDeque::new(),
            failed: HashSet::new(),
            listed: [None; 2],
            looks: 0,
        }
    }

    /// Reads the mails that are new. Blocks.
    fn look(&mut self) -> io::Result<Look> {
        if self.looks.is_multiple_of(LIST_AGAIN) {
            self.listed = [None; 2];
            self.failed.clear();
        }
        self.looks = self.looks.wrapping_add(1);
        let mut look = Look::default();
        let mut bytes = 0;
        for (at, folder) in ["new", "cur"].into_iter().enumerate() {
            let folder = self.path.join(folder);
            let changed =
                fs::metadata(&folder).and_then(|meta| meta.modified()).map_err(|error| named(&folder, &error))?;
            if self.listed[at] == Some(changed) {
                continue;
            }
            let names = self.list(&folder).map_err(|error| named(&folder, &error))?;
            let mut whole = names.len() < NAMES;
            for name in names {
                if look.reports.len() >= MAILS || bytes >= BYTES {
                    whole = false;
                    break;
                }
                bytes += self.one(&folder.join(&name), &name, &mut look);
            }
            look.more |= !whole;
            self.listed[at] = whole.then_some(changed);
        }
        Ok(look)
    }

    /// The names of mails that are not known, the oldest first.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            let (unique, flags) = parts(&name);
            let over = self.known.contains(unique) || self.failed.contains(unique) || flags.contains('S');
            if !over && !name.starts_with('.') {
                names.push(name);
            }
            if names.len() == NAMES {
                break;
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads one mail; gives its length.
    fn one(&mut self, path: &Path, name: &str, look: &mut Look) -> u64 {
        let unique = parts(name).0.to_owned();
        let mail = match read_mail(path) {
            Ok(Some(mail)) => mail,
            Ok(None) => {
                self.remember(unique);
                let megabytes = LARGEST_MAIL >> 20;
                look.remarks.push(format!("{name} is not read: it is no file, or larger than {megabytes} MB"));
                return 0;
            }
            // Somebody else took it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
            Err(error) => {
                if self.failed.len() < REMEMBERED {
                    self.failed.insert(unique);
                }
                look.trouble = Some(format!("{name}: {error}"));
                return 0;
            }
        };
        match (self.read)(&mail) {
            Some(heard) if !heard.is_empty() => {
                look.heard.extend(heard);
                look.reports.push(path.to_owned());
            }
            _ => self.remember(unique),
        }
        mail.len() as u64
    }

    /// Moves reports into `cur`, marked as seen. Blocks. One that cannot be moved is remembered.
    fn mark(&mut self, reports: &[PathBuf]) -> io::Result<()> {
        let mut failed = Ok(());
        for report in reports {
            let Some(name) = report.file_name().and_then(|name| name.to_str()) else { continue };
            match fs::rename(report, self.path.join("cur").join(seen(name))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.remember(parts(name).0.to_owned());
                    failed = Err(error);
                }
                _ => {}
            }
        }
        failed
    }

    fn remember(&mut self, unique: String) {
        if self.known.insert(unique.clone()) {
            self.order.push_back(unique);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The bytes of a mail; `None`: too large, or no regular file.
fn read_mail(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_file() || meta.len() > LARGEST_MAIL {
        return Ok(None);
    }
    let mut mail = Vec::new();
    fs::File::open(path)?.take(LARGEST_MAIL + 1).read_to_end(&mut mail)?;
    Ok((mail.len() as u64 <= LARGEST_MAIL).then_some(mail))
}

/// The unique part of a name, and its flags: `1.M2.host:2,FS` is `1.M2.host` and `FS`.
fn parts(name: &str) -> (&str, &str) {
    let (unique, info) = name.split_once(':').unwrap_or((name, ""));
    (unique, info.strip_prefix("2,").unwrap_or_default())
}

/// The name with the flag S, flags in the order of ASCII.
fn seen(name: &str) -> String {
    let (unique, flags) = parts(name);
    let mut flags: Vec<char> = flags.chars().chain(['S']).collect();
    flags.sort_unstable();
    flags.dedup();
    format!("{unique}:2,{}", flags.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::feedback::{Diagnostic, Fate, Way};

    /// Reports say so in their first line.
    fn read(mail: &[u8]) -> Option<Vec<Heard>> {
        let id = std::str::from_utf8(mail).ok()?.strip_prefix("report ")?.to_owned();
        let (fate, said) = (Fate::Refused, Diagnostic::default());
        let (at, stage, remote, recipient) = (None, None, None, None);
        let (clues, evidence) = (Vec::new(), String::new());
        Some(vec![Heard { way: Way::MAIL, id, at, fate, said, stage, remote, clues, recipient, evidence }])
    }

    fn maildir() -> (tempfile::TempDir, Maildir) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["new", "cur", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let maildir = Maildir::new(folder.path(), read);
        (folder, maildir)
    }

    fn names(folder: &Path, sub: &str) -> Vec<String> {
        let entries = fs::read_dir(folder.join(sub)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn heard(look: &Look) -> Vec<&str> {
        look.heard.iter().map(|heard| heard.id.as_str()).collect()
    }

    #[test]
    fn reports_are_marked_as_seen_and_other_mail_is_left() {
        let (folder, mut maildir) = maildir();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put("new/1.a.host", "report a");
        put("new/2.b.host", "dear sir");
        put("cur/3.c.host:2,F", "report c");
        put("cur/4.d.host:2,S", "report d");
        put("new/.hidden", "report e");
        let look = maildir.look().unwrap();
        assert_eq!(heard(&look), ["a", "c"]);
        // A crash here: nothing was moved, and all is heard again.
        let again = Maildir::new(folder.path(), read).look().unwrap();
        assert_eq!(heard(&again), ["a", "c"]);
        maildir.mark(&look.reports).unwrap();
        assert_eq!(names(folder.path(), "new"), [".hidden", "2.b.host"]);
        assert_eq!(names(folder.path(), "cur"), ["1.a.host:2,S", "3.c.host:2,FS", "4.d.host:2,S"]);
        // Somebody reads the ordinary mail; it is not read again, and what comes is.
        fs::rename(folder.path().join("new/2.b.host"), folder.path().join("cur/2.b.host:2,")).unwrap();
        put("new/5.f.host", "report f");
        maildir.listed = [None; 2];
        assert_eq!(heard(&maildir.look().unwrap()), ["f"]);
        assert_eq!(maildir.known.len(), 1);
    }

    #[test]
    fn what_is_too_large_or_no_file_is_told_once_and_left() {
        let (folder, mut maildir) = maildir();
        let large = fs::File::create(folder.path().join("new/1.a.host")).unwrap();
        large.set_len(LARGEST_MAIL + 1).unwrap();
        fs::create_dir(folder.path().join("new/2.b.host")).unwrap();
        let look = maildir.look().unwrap();
        assert_eq!((look.remarks.len(), look.reports.len(), look.more), (2, 0, false));
        maildir.listed = [None; 2];
        assert!(maildir.look().unwrap().remarks.is_empty());
        assert_eq!(names(folder.path(), "new").len(), 2);
    }

    #[test]
    fn many_mails_are_taken_in_portions() {
        let (folder, mut maildir) = maildir();
        for n in 0..MAILS + 50 {
            fs::write(folder.path().join(format!("new/{n:04}.host")), format!("report {n}")).unwrap();
        }
        let first = maildir.look().unwrap();
        assert!(first.more);
        maildir.mark(&first.reports).unwrap();
        let second = maildir.look().unwrap();
        assert_eq!((first.heard.len(), second.heard.len(), second.more), (MAILS, 50, false));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let (folder, mut maildir) = maildir();
        fs::remove_dir(folder.path().join("cur")).unwrap();
        let error = maildir.look().unwrap_err().to_string();
        assert!(error.contains("/cur: "), "{error}");
    }
}
