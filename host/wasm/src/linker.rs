//! The linker: what a component can import at all.
//!
//! WASI is there because `std` guests and CPython import it, but it is empty: no folder is open, no address may be
//! reached, no variable is set. Its clocks are replaced by the virtual one. Nothing else is offered, except the
//! source files to a dataset loader.

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::{DynPollable, subscribe};

use super::bindings::dataset_loader::hilora::plugin::{source, types};
use super::clock::{Alarm, RESOLUTION_NANOSECONDS, START_SECONDS};
use super::guest::GuestState;

/// The WASI interfaces that the linker offers, without their versions.
pub(super) const WASI_INTERFACES: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The WASI release whose names the linker uses; a component may ask for any 0.2 up to it.
const WASI_VERSION: &str = "0.2.12";

/// Makes the linker. `with_sources` adds the interface that only loaders get.
pub(super) fn linker(engine: &Engine, with_sources: bool) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    replace_clocks(&mut linker)?;
    types::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
    if with_sources {
        source::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
    }
    Ok(linker)
}

fn now(store: &StoreContextMut<'_, GuestState>) -> u64 {
    let state = store.data();
    state.clock.look(state.limiter.allowance.used())
}

fn set_alarm(
    store: &mut StoreContextMut<'_, GuestState>,
    remaining_nanoseconds: u64,
) -> wasmtime::Result<Resource<DynPollable>> {
    let state = store.data_mut();
    let alarm = state.table.push(Alarm { clock: state.clock.clone(), remaining_nanoseconds })?;
    subscribe(&mut state.table, alarm)
}

fn replace_clocks(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let instant = |nanoseconds: u64| Datetime {
        seconds: nanoseconds / 1_000_000_000,
        nanoseconds: u32::try_from(nanoseconds % 1_000_000_000).expect("a remainder below 10⁹ fits"),
    };
    linker.allow_shadowing(true);
    let mut wall = linker.instance(&format!("wasi:clocks/wall-clock@{WASI_VERSION}"))?;
    wall.func_wrap("now", move |store: StoreContextMut<'_, GuestState>, (): ()| {
        let mut date = instant(now(&store));
        date.seconds += START_SECONDS;
        Ok((date,))
    })?;
    wall.func_wrap("resolution", move |_: StoreContextMut<'_, GuestState>, (): ()| {
        Ok((instant(RESOLUTION_NANOSECONDS),))
    })?;
    let mut monotonic = linker.instance(&format!("wasi:clocks/monotonic-clock@{WASI_VERSION}"))?;
    monotonic.func_wrap("now", |store: StoreContextMut<'_, GuestState>, (): ()| Ok((now(&store),)))?;
    monotonic.func_wrap("resolution", |_: StoreContextMut<'_, GuestState>, (): ()| Ok((RESOLUTION_NANOSECONDS,)))?;
    monotonic.func_wrap("subscribe-instant", |mut store: StoreContextMut<'_, GuestState>, (when,): (u64,)| {
        let remaining = when.saturating_sub(now(&store));
        Ok((set_alarm(&mut store, remaining)?,))
    })?;
    monotonic.func_wrap("subscribe-duration", |mut store: StoreContextMut<'_, GuestState>, (duration,): (u64,)| {
        Ok((set_alarm(&mut store, duration)?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}
