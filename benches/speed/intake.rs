//! Owns the second part: the way of a list into the store, beside bare inserts of the same rows.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OpenFlags};

use crate::children;
use crate::scene::{Scene, addresses};
use crate::show::{Rounds, say};
use crate::table::{Bar, Report, Samples, float, number};

pub(crate) fn run(rounds: &Rounds, report: &mut Report) -> Result<()> {
    let n = if rounds.quick { 50_000 } else { 1_000_000 };
    let folder = rounds.folder.join("intake");
    let scene = Scene::new(&folder, &rounds.program)?;
    scene.campaign("spring", addresses(n))?;
    let [mut ours, mut cpu, mut bare]: [Samples; 3] = Default::default();
    for round in 0..rounds.n {
        say(&format!("intake, round {}: Hikagen", round + 1));
        let cost = children::run(&mut scene.program(&["submit", "spring.yaml"]))?;
        ours.push(float(n) / cost.wall.as_secs_f64());
        cpu.push(cost.cpu * 1e6 / float(n));
        say("bare inserts");
        let store = folder.join("bare.db");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("insert").arg("--csv").arg(folder.join("spring.csv")).arg("--store").arg(&store);
        bare.push(children::run(&mut command)?.said.trim().parse().context("no rate")?);
        let (a, b) = (contents(&scene.store())?, contents(&store)?);
        ensure!(a == b, "the two did not store the same rows: {a:?}, {b:?}");
        for entry in std::fs::read_dir(&folder)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("hikagen.db") || name.starts_with("bare.db") {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    std::fs::remove_dir_all(folder)?;
    report.goal("intake from CSV, of the rate of bare inserts", &ours.over(&bare), Bar::AtLeast(0.4), "");
    report.figure(
        &format!("`submit` of {} recipients", number(float(n))),
        format!("{} rows/s, {} µs CPU each", ours.show(), cpu.show()),
    );
    report.figure("bare inserts of the same rows, parsed already", format!("{} rows/s", bare.show()));
    Ok(())
}

/// How many rows of which content a store holds.
fn contents(store: &std::path::Path) -> Result<(i64, i64, i64, i64)> {
    let conn = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let sql = "SELECT count(*), sum(length(columns)), sum(score), (SELECT sum(rank) FROM ready) FROM message";
    Ok(conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?)
}
