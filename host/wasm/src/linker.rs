//! The linker: what a component can import at all.
//!
//! WASI is there because `std` guests and CPython import it, but it is empty: no folder is open, no address may be
//! reached, no variable is set. Its clocks are replaced by the virtual one. Nothing else is offered, except the
//! source files to a dataset loader.
//!
//! A host function runs without a meter, so none may be made to do much: random bytes are charged by their number, and a
//! name that is looked up is not even read. What else hands bytes to a guest first has it make room by its exported
//! `realloc`, which reports what was used when it returns, so that the clocks are looked at with each such call.

use wasmtime::component::{HasSelf, Linker, Resource, WasmStr};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::random::insecure::Host as _;
use wasmtime_wasi::p2::bindings::random::random::Host as _;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Network};
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
    linker.allow_shadowing(true);
    replace_clocks(&mut linker)?;
    charge_randomness(&mut linker)?;
    refuse_names(&mut linker)?;
    linker.allow_shadowing(false);
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
    Ok(())
}

/// Random bytes that one call gets for nothing: as many as `getentropy` gives, of which CPython asks for no more at once.
const RANDOM_BYTES_FREE: u64 = 256;

/// A call may ask for a mebibyte (`max_random_size`), which takes the host a millisecond: each byte is a unit of fuel.
fn charge_randomness(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    fn charge(state: &mut GuestState, bytes: u64) -> wasmtime::Result<()> {
        Ok(state.limiter.allowance.report(bytes.saturating_sub(RANDOM_BYTES_FREE))?)
    }
    let mut random = linker.instance(&format!("wasi:random/random@{WASI_VERSION}"))?;
    random.func_wrap("get-random-bytes", |mut store: StoreContextMut<'_, GuestState>, (bytes,): (u64,)| {
        charge(store.data_mut(), bytes)?;
        Ok((store.data_mut().ctx().ctx.random().get_random_bytes(bytes)?,))
    })?;
    let mut insecure = linker.instance(&format!("wasi:random/insecure@{WASI_VERSION}"))?;
    insecure.func_wrap("get-insecure-random-bytes", |mut store: StoreContextMut<'_, GuestState>, (bytes,): (u64,)| {
        charge(store.data_mut(), bytes)?;
        Ok((store.data_mut().ctx().ctx.random().get_insecure_random_bytes(bytes)?,))
    })
}

/// What WASI's own function answers where no lookup is allowed, but without taking over the name, which may be as long as
/// the guest's memory.
fn refuse_names(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    type Answer = Result<Resource<ResolveAddressStream>, ErrorCode>;
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI_VERSION}"))?;
    lookup.func_wrap("resolve-addresses", |_: StoreContextMut<'_, GuestState>, (_, _): (Resource<Network>, WasmStr)| {
        Ok((Answer::Err(ErrorCode::PermanentResolverFailure),))
    })
}

#[cfg(test)]
mod tests {
    use wasmtime::Store;
    use wasmtime::component::Component;

    use super::*;
    use crate::engine::engine;
    use crate::execution::Stopwatch;
    use crate::guest::{Guest, Stop};
    use crate::metering::metered;
    use hilora_contract::plugin::{LimitKind, RunLimits};

    /// Asks for random bytes without end, a mebibyte with each call, for which it spends some units of its own.
    const RANDOM_WITHOUT_END: &str = r#"(component
        (import "wasi:random/random@0.2.0" (instance $random
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
        (core module $memory
            (memory (export "memory") 32)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536))
        (core instance $memory (instantiate $memory))
        (core func $get (canon lower (func $random "get-random-bytes")
            (memory $memory "memory") (realloc (func $memory "realloc"))))
        (core module $loop
            (import "host" "get" (func $get (param i64 i32)))
            (func (export "run") (loop (call $get (i64.const 1048576) (i32.const 0)) (br 0))))
        (core instance $loop (instantiate $loop (with "host" (instance (export "get" (func $get))))))
        (func (export "run") (canon lift (core func $loop "run"))))"#;

    #[test]
    fn random_bytes_are_charged() -> Result<(), Box<dyn std::error::Error>> {
        let engine = engine(None)?;
        let component = Component::from_binary(&engine, &metered(&wat::parse_str(RANDOM_WITHOUT_END)?)?)?;
        let linked = linker(&engine, false)?.instantiate_pre(&component)?;
        // Without a clock, so that nothing but the bytes can end it: a hundred calls.
        let limits = RunLimits {
            fuel: 100 << 20,
            cpu_time_ms: 0,
            wall_time_ms: 0,
            memory_bytes_max: 64 << 20,
            output_bytes_max: 0,
            reproducible: true,
        };
        let mut guest = Guest::new(&engine, &limits, &[], &[]);
        let ended = guest.call(&Stopwatch::start(), 0, async |store: &mut Store<GuestState>| {
            let instance = linked.instantiate_async(&mut *store).await?;
            instance.get_typed_func::<(), ()>(&mut *store, "run")?.call_async(&mut *store, ()).await
        });
        assert!(matches!(ended, Err(Stop::Limit(LimitKind::Fuel))), "{ended:?}");
        Ok(())
    }
}
