//! A list far larger than the memory it may take, in every form in which lists come.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::support::program::Project;
use crate::support::until;

/// Peak of memory that is allowed, KiB: the program itself, 16 octets an address twice over while the table grows, some buffers.
fn allowed(rows: usize) -> u64 {
    34 * 1024 + rows as u64 * 64 / 1024
}

/// Writes `rows` rows of about `width` octets each, encoded by `encode`.
fn write(project: &Project, name: &str, rows: usize, width: usize, encode: fn(&str) -> Vec<u8>) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(project.path(name)).unwrap());
    let jsonl = name.ends_with(".jsonl");
    let padding = "x".repeat(width);
    let mut text = if jsonl { String::new() } else { "email,name,city\n".to_owned() };
    for n in 0..rows {
        if jsonl {
            writeln!(text, "{{\"email\":\"u{n}@example.jp\",\"name\":\"名{n}\",\"city\":\"{padding}\"}}").unwrap();
        } else {
            writeln!(text, "u{n}@example.jp,名{n},{padding}").unwrap();
        }
        file.write_all(&encode(&text)).unwrap();
        text.clear();
    }
}

#[test]
fn a_list_is_read_row_by_row_whatever_its_form() {
    let (rows, width) = if std::env::var_os("HIKAGEN_LONG").is_some() { (1_000_000, 200) } else { (2_500, 16_000) };
    let utf8: fn(&str) -> Vec<u8> = |text| text.as_bytes().to_vec();
    let utf16: fn(&str) -> Vec<u8> = |text| text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (name, encoding, encode) in [("a.csv", "utf-8", utf8), ("b.csv", "utf-16be", utf16), ("c.jsonl", "utf-8", utf8)]
    {
        let project = Project::of_examples();
        write(&project, name, rows, width, encode);
        let campaign = project.read("campaign.yaml");
        let campaign =
            campaign.replace("recipients: recipients.csv", &format!("recipients: {name}\nencoding: {encoding}"));
        project.write("campaign.yaml", campaign);
        let mut running = project.start("submit", &["submit", "campaign.yaml", "--dry-run", "--json"]);
        let status = format!("/proc/{}/status", running.id());
        let mut peak = 0;
        let ended = until("the end of submit", Duration::from_secs(600), || {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
            running.ended()
        });
        assert!(ended.success(), "{}", running.log());
        assert!(
            running.log().contains(&format!("\"recipients\":{rows}"))
                || running.log().contains(&format!("\"recipients\": {rows}"))
        );
        assert!(peak > 1_000 && peak < allowed(rows), "{name}: {peak} KiB at the peak, {} allowed", allowed(rows));
    }
}
