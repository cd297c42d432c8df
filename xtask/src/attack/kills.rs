//! Kills: of the job at any moment, and of its workers without a pause.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::job::{Job, finish};
use super::random::Random;
use super::{Row, Tally};
use crate::program;

/// Kills the main job at random moments, each time the next call after the last kill, until it has come to its end under
/// them; then the next job begins. Each ends in the undisturbed bytes, and leaves nothing half-written.
pub(super) fn of_the_job(job: &Job, kills: u64, random: &mut Random) -> Result<Row> {
    let mut tally = Tally::begin("kill -9 of the main job", kills);
    let mut run = 0;
    while tally.tried < kills {
        run += 1;
        let name = format!("killed{run}");
        let mut killed: u64 = 0;
        // After some kills the job is let through, or it would never come to its end.
        while killed < 4 && tally.tried + killed < kills {
            let mut child = job.command(&[], &name).spawn()?;
            let moment = job.takes.mul_f64(random.fraction());
            let begun = Instant::now();
            while begun.elapsed() < moment && child.try_wait()?.is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
            if child.try_wait()?.is_some() {
                break;
            }
            child.kill()?;
            child.wait()?;
            killed += 1;
        }
        let outcome = finish(&mut job.command(&[], &name)).and_then(|output| match output.status.code() {
            Some(0) => job.same(&name).and_then(|()| nothing_is_left(job, &name)),
            _ => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
        });
        // All kills of a job stand or fall with what it left. One that failed without any is a finding, too.
        let attempts = if outcome.is_err() { killed.max(1) } else { killed };
        for _ in 0..attempts {
            tally.enter(outcome.clone());
        }
        job.remove(&name);
    }
    Ok(tally.end())
}

/// Whether something half-written is left, or a checkpoint of a training that has ended.
fn nothing_is_left(job: &Job, run: &str) -> Result<(), String> {
    let mut folders = vec![job.path(run)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| error.to_string())?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains("partial") || name.starts_with("step-") {
                return Err(format!("{} is left behind", entry.path().display()));
            }
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// Kills a worker of `prepare` every 50 milliseconds from its beginning to its end.
pub(super) fn of_workers(job: &Job, runs: u64) -> Result<Row> {
    let mut tally = Tally::begin("20 kills of workers a second over prepare", runs);
    for run in 0..runs {
        let name = format!("workers{run}");
        let mut child = job.command(&["prepare"], &name).spawn()?;
        let host = child.id().to_string();
        let mut kills = 0;
        while child.try_wait()?.is_none() {
            let children = program::output("ps", &["--no-headers", "-o", "pid", "--ppid", &host]).unwrap_or_default();
            if let Some(worker) = children.split_whitespace().last() {
                drop(program::output("kill", &["-9", worker]));
                kills += 1;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = child.wait_with_output()?;
        let outcome = job.said_well(&output).and_then(|()| match (output.status.code(), kills) {
            (_, 0) => Err("no worker was there to be killed".to_owned()),
            (Some(0), _) => job.same_data(&name),
            _ => Ok(()),
        });
        tally.enter(outcome.map_err(|error| format!("after {kills} kills: {error}")));
        job.remove(&name);
    }
    Ok(tally.end())
}
