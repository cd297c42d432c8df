//! `cargo xtask attack`: a campaign of kills, faults and hostile inputs against the built binary, bounded and seeded, with
//! one table at its end.
//!
//! What holds is what `docs/security.md` promises: the undisturbed bytes or one message and an exit code, never fewer rows,
//! a panic, a hang or half a file. The short form is part of what every change must pass.

mod damage;
mod faults;
mod inputs;
mod job;
mod kills;
mod programs;
#[path = "../../../tests/support/random.rs"]
mod random;

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::job::Job;
use self::random::Random;
use crate::announce;
use crate::build::build_host;

/// How large the campaign is.
#[derive(Debug, clap::Args)]
pub(crate) struct AttackArguments {
    /// A little of each attack that no test makes: about a minute
    #[arg(long)]
    short: bool,
    /// What the moments of kills, the damaged places and the inputs are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Damaged inputs in all, over everything that reads files
    #[arg(long, default_value_t = 1_000_000)]
    inputs: u64,
}

/// What one kind of attack came to.
pub(crate) struct Row {
    attack: String,
    tried: u64,
    held: u64,
    seconds: f64,
    /// What did not hold.
    findings: Vec<String>,
}

/// How often it is told how far an attack is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Counts over one kind of attack.
struct Tally {
    attack: String,
    begun: Instant,
    told: Instant,
    /// How many attempts there will be.
    total: u64,
    tried: u64,
    findings: Vec<String>,
}

impl Tally {
    fn begin(attack: impl Into<String>, total: u64) -> Self {
        let attack = attack.into();
        announce(&attack);
        let now = Instant::now();
        Self { attack, begun: now, told: now, total, tried: 0, findings: Vec::new() }
    }

    /// Enters what came of one attempt: an error says what did not hold.
    fn enter(&mut self, outcome: Result<(), String>) {
        self.tried += 1;
        self.findings.extend(outcome.err());
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            let left = time_left(self.begun.elapsed(), self.tried, self.total);
            announce(&format!("{}: {} of {}, {left}", self.attack, self.tried, self.total));
        }
    }

    fn end(self) -> Row {
        let Self { attack, begun, tried, findings, .. } = self;
        let held = tried.saturating_sub(findings.len() as u64);
        Row { attack, tried, held, seconds: begun.elapsed().as_secs_f64(), findings }
    }
}

/// How long the rest takes if it goes on as it did.
fn time_left(taken: Duration, done: u64, total: u64) -> String {
    let left = taken.mul_f64(total.saturating_sub(done) as f64 / done.max(1) as f64).as_secs();
    if left < 100 { format!("about {left} s left") } else { format!("about {} min left", left.div_ceil(60)) }
}

/// Runs the campaign; 0 where everything held.
pub(crate) fn run(repository: &Path, arguments: &AttackArguments) -> Result<u8> {
    build_host(repository)?;
    build(repository)?;
    if arguments.short {
        return short(repository, arguments.seed);
    }
    let mut random = Random::new(arguments.seed);
    let job = Job::undisturbed(repository)?;
    let mut rows = vec![
        kills::of_the_job(&job, 60, &mut random)?,
        kills::of_workers(&job, 6)?,
        faults::of_streams(&job, 4)?,
        faults::of_the_disk(&job, 24)?,
        damage::of_artefacts(&job, 12, &mut random)?,
        programs::hostile(repository)?,
    ];
    rows.extend(inputs::damaged(repository, arguments.seed, arguments.inputs)?);
    table(&rows)
}

/// Builds what the attack needs beside the host and the tests.
pub(crate) fn build(repository: &Path) -> Result<()> {
    inputs::build(repository)
}

/// The short form, on what is built already: a little of each attack that no test makes.
pub(crate) fn short(repository: &Path, seed: u64) -> Result<u8> {
    let mut random = Random::new(seed);
    let job = Job::undisturbed(repository)?;
    let mut rows = vec![
        kills::of_the_job(&job, 2, &mut random)?,
        faults::of_streams(&job, 1)?,
        faults::of_the_disk(&job, 1)?,
        damage::of_artefacts(&job, 1, &mut random)?,
    ];
    rows.extend(inputs::damaged(repository, seed, 8_000)?);
    table(&rows)
}

/// Prints the table; 0 where everything held.
fn table(rows: &[Row]) -> Result<u8> {
    for row in rows {
        for finding in row.findings.iter().take(20) {
            eprintln!("{}: {finding}", row.attack);
        }
    }
    let mut lines = vec![format!("{:<44}  {:>9}  {:>9}  {:>8}", "attack", "tried", "held", "seconds")];
    for Row { attack, tried, held, seconds, .. } in rows {
        lines.push(format!("{attack:<44}  {tried:>9}  {held:>9}  {seconds:>8.1}"));
    }
    let (tried, held): (u64, u64) = rows.iter().fold((0, 0), |(t, h), row| (t + row.tried, h + row.held));
    lines.push(format!("{:<44}  {tried:>9}  {held:>9}\n", "in all"));
    io::stdout().write_all(lines.join("\n").as_bytes())?;
    Ok(u8::from(held != tried))
}
