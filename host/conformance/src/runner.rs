//! What a runner is asked. What a program means only its cases tell; of the languages that the host ships runners for the
//! kit knows programs that never end.

use hilora_contract::plugin::{FUEL_PER_SECOND, LimitKind, RunLimits, RunReport, SolutionRunner, Termination};

use super::inputs::hostile_texts;
use super::{Check, Meter, Report, Usage};

/// The limits of a program of the kit, and of a case: a second of fuel, and a quarter of a gibibyte.
pub(crate) const LIMITS: RunLimits = RunLimits {
    fuel: FUEL_PER_SECOND,
    cpu_time_ms: 30_000,
    wall_time_ms: 120_000,
    memory_bytes_max: 256 << 20,
    output_bytes_max: 1 << 20,
    reproducible: false,
};

/// What no program of the kit may take longer than.
const SHORT: RunLimits = RunLimits { fuel: FUEL_PER_SECOND / 10, ..LIMITS };

pub(crate) fn examine(runner: &dyn SolutionRunner, meter: &dyn Meter, report: &mut Report) {
    let mut described = Check::new("it describes itself");
    let info = runner.describe();
    described.ask("describe", info.as_ref().map(drop).map_err(ToString::to_string));
    report.add(described);

    let mut costs = Vec::new();
    let mut ran = Check::new("hostile programs run to an end or a limit");
    let mut again = Check::new("the same program has the same output and uses the same fuel");
    for (name, code) in hostile_texts() {
        let first = run(runner, &code, &SHORT);
        if let Ok(first) = &first {
            let RunReport { fuel, cpu_time_us, memory_bytes, .. } = *first;
            costs.push(Usage { fuel, cpu_time_us, memory_bytes });
        }
        let second = run(runner, &code, &SHORT);
        again.ask(
            name,
            match (&first, &second) {
                (Ok(first), Ok(second)) => same(first, second),
                _ => Ok(()),
            },
        );
        ran.ask(name, first.map(drop));
    }
    report.add(ran);
    report.add(again);

    let mut limits = Check::new("limits end programs that do not end");
    let language = info.map(|info| info.language.to_string()).unwrap_or_default();
    let endless = match language.as_str() {
        "python3" => Some(("while True:\n    pass", "kept = []\nwhile True:\n    kept.append(bytes(1 << 20))")),
        "javascript" => Some(("for (;;);", "const kept = []; for (;;) kept.push(new Uint8Array(1 << 20).fill(1));")),
        _ => None,
    };
    if let Some((computing, allocating)) = endless {
        for (code, expected) in [(computing, LimitKind::Fuel), (allocating, LimitKind::Memory)] {
            limits.ask(
                code,
                match run(runner, code, &LIMITS) {
                    Ok(RunReport { termination: Termination::LimitExceeded(limit), .. }) if limit == expected => Ok(()),
                    Ok(report) => Err(format!("expected the limit of {expected}, got {:?}", report.termination)),
                    Err(why) => Err(why),
                },
            );
        }
        report.add(limits);
    } else {
        report.add(Check::skipped(limits.name, format!("the kit knows no programs in `{language}`")));
    }
    meter.take();
    report.measured(&costs);
}

/// One run; an error where the program's end is the runner's fault.
fn run(runner: &dyn SolutionRunner, code: &str, limits: &RunLimits) -> Result<RunReport, String> {
    let report = runner.run(code, None, b"1 2 3\n", limits).map_err(|error| error.to_string())?;
    match &report.termination {
        Termination::Trapped { message } => Err(format!("it trapped: {message}")),
        Termination::Unfinished { message } => Err(format!("it was not finished: {message}")),
        _ => Ok(report),
    }
}

fn same(first: &RunReport, second: &RunReport) -> Result<(), String> {
    if first.termination != second.termination {
        return Err(format!("{:?} and {:?}", first.termination, second.termination));
    }
    if first.stdout != second.stdout || first.stderr != second.stderr {
        return Err("other bytes".to_owned());
    }
    match first.fuel == second.fuel {
        true => Ok(()),
        false => Err(format!("{} and {} units of fuel", first.fuel, second.fuel)),
    }
}
