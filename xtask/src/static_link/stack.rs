//! The C stack of the linked modules: moved to the end of memory, where it may be as deep as is wanted.
//!
//! componentize-py gives CPython a stack of one MiB, and calls through C end on it after some hundred levels. Nothing
//! stands on the stack when the snapshot is taken, so another part of memory can take its place: the stack pointer
//! begins at the new end, and so do the three addresses that CPython holds it against. Memory that nothing
//! touched costs nothing.
//!
//! CPython looks at this stack alone to tell how deep it is. A function that keeps nothing on it can call itself for ever
//! there, and WebAssembly's own stack ends first. Where objects are freed is such a function, and CPython would put an
//! object off if it knew: so each call of it takes a part of the C stack here.

use anyhow::{Context, Result, ensure};
use wasm_encoder::{Function, MemArg};
use wasmparser::{ExternalKind, FuncType, ValType};

use super::constants::Constants;
use super::layout::{Layout, Target};

/// The Python runner's C stack, of which a program gets what its recursion limit asks for: a generator that sums another
/// takes 400 bytes of it, so 10⁵ levels have room. Such calls take two to four times as much of WebAssembly's own stack,
/// and the host has eight times as much.
pub(crate) const STACK_BYTES: u32 = 48 << 20;
/// The name of the stack pointer in the modules that wit-component links.
const STACK_POINTER: &str = "__stack_pointer";
/// CPython's function behind `sys.setrecursionlimit`.
const SETS_LIMIT: &str = "Py_SetRecursionLimit";
/// How much of the stack a level of the recursion limit is taken for, and for how many levels there is always room: a
/// program that asks for no more than CPython's 1,000 levels ends as early as it does there.
const BYTES_OF_LEVEL: u32 = 1 << 10;
const LEVELS_MIN: u32 = 1 << 10;
/// CPython's function that frees an object.
const FREES_OBJECT: &str = "_Py_Dealloc";
/// What each call of it takes: as many bytes as its frames and those of what it calls take of WebAssembly's stack.
const BYTES_OF_FREEING: i32 = 256;
/// What CPython keeps free below its limits: the first is so far above the second, and that so far above the end.
const MARGIN: u32 = 8 << 10;
/// Room for what libm has in memory beside its constants.
const OTHER_BYTES: usize = 32 << 10;
const PAGE: u32 = 64 << 10;

/// Where the stack is to be, and what has to know.
pub(super) struct Stack {
    pub(super) pointer: Target,
    /// The address that the pointer begins at: the end of memory.
    pub(super) top: i32,
    /// By how many pages memory is larger.
    pub(super) pages: u64,
    /// Where CPython keeps the three addresses, and what is to stand there.
    pub(super) limits: (i32, [u8; 12]),
    /// The function that takes a part of the stack, and the one that sets how much of it may be taken.
    pub(super) frees: Target,
    pub(super) sets_limit: Target,
    /// For how many levels there is room.
    levels_max: i32,
    /// The stack was below this address, and now the memory of this instance is.
    old_top: u32,
    tenant: u32,
}

impl Stack {
    /// A stack of `bytes` behind all that memory holds; what the instance `tenant` has in memory is where it was.
    pub(super) fn of(layout: &Layout<'_>, constants: &Constants, bytes: u32, tenant: u32) -> Result<Self> {
        let pointer = named(layout, ExternalKind::Global, STACK_POINTER)?;
        let frees = named(layout, ExternalKind::Func, FREES_OBJECT)?;
        let sets_limit = named(layout, ExternalKind::Func, SETS_LIMIT)?;
        ensure!(bytes >= LEVELS_MIN * BYTES_OF_LEVEL, "a stack of {bytes} bytes is smaller than CPython's own");
        let Target::Local { instance, index } = pointer else { anyhow::bail!("the stack pointer comes from outside") };
        let module = layout.module(instance).context("a module that is not linked")?;
        let old_top = constants.value(layout, instance, module.global_value(index))?;
        let old_top = old_top.context("the stack pointer does not begin with a number")?.cast_unsigned();
        let memory = layout.linked.iter().flat_map(|(_, module)| &module.memories).next().context("no memory")?;
        let end = u32::try_from(memory.initial)?.checked_mul(PAGE).context("the memory is too large")?;
        let top = end.checked_add(bytes).filter(|top| i32::try_from(*top).is_ok());
        let top = top.context("the stack ends where no address is")?;
        let place = find_limits(&image(layout, constants, tenant)?, old_top)?;
        for segment in layout.module(tenant).iter().flat_map(|module| &module.data) {
            let place = constants.place(layout, tenant, segment)?.cast_unsigned() as usize;
            ensure!(place + segment.data.len() + OTHER_BYTES <= old_top as usize, "libm is larger than the old stack");
        }
        let first = top - LEVELS_MIN * BYTES_OF_LEVEL;
        let mut limits = [0; 12];
        for (bytes, limit) in limits.chunks_exact_mut(4).zip([top, first + 2 * MARGIN, first + MARGIN]) {
            bytes.copy_from_slice(&limit.to_le_bytes());
        }
        let limits = (i32::try_from(place)?, limits);
        Ok(Self {
            pointer,
            top: top.cast_signed(),
            pages: u64::from(bytes.div_ceil(PAGE)),
            limits,
            frees,
            sets_limit,
            levels_max: (bytes / BYTES_OF_LEVEL).cast_signed(),
            old_top,
            tenant,
        })
    }

    /// How many of `bytes` bytes at `offset` the snapshot left on the old stack.
    pub(super) fn left_over(&self, instance: u32, offset: i32, bytes: usize) -> usize {
        if instance == self.tenant {
            return 0;
        }
        (self.old_top.saturating_sub(offset.cast_unsigned()) as usize).min(bytes)
    }

    /// The bodies that go around the two functions. `pointer` is the number of the stack pointer, `frees` and `sets_limit`
    /// are those of the functions inside.
    pub(super) fn wrappers(&self, pointer: u32, frees: u32, sets_limit: u32) -> [Function; 2] {
        let mut freeing = Function::new([]);
        let mut instructions = freeing.instructions();
        instructions.global_get(pointer).i32_const(BYTES_OF_FREEING).i32_sub().global_set(pointer);
        instructions.local_get(0).call(frees);
        instructions.global_get(pointer).i32_const(BYTES_OF_FREEING).i32_add().global_set(pointer).end();

        let mut setting = Function::new([]);
        let mut instructions = setting.instructions();
        instructions.local_get(0).call(sets_limit);
        let least = LEVELS_MIN.cast_signed();
        for (bound, is_least) in [(least, true), (self.levels_max, false)] {
            instructions.local_get(0).i32_const(bound).local_get(0).i32_const(bound);
            if is_least {
                instructions.i32_gt_s()
            } else {
                instructions.i32_lt_s()
            };
            instructions.select().local_set(0);
        }
        let word = |offset| MemArg { offset, align: 2, memory_index: 0 };
        for (offset, margin) in [(4, 2 * MARGIN), (8, MARGIN)] {
            instructions.i32_const(self.limits.0).i32_const(self.top + margin.cast_signed());
            instructions.local_get(0).i32_const(BYTES_OF_LEVEL.cast_signed()).i32_mul().i32_sub();
            instructions.i32_store(word(offset));
        }
        instructions.end();
        [freeing, setting]
    }

    /// Refuses another function than those that take a number and return nothing.
    pub(super) fn check(kind: &FuncType) -> Result<()> {
        let is_known = matches!(kind.params(), [ValType::I32]) && kind.results().is_empty();
        ensure!(
            is_known,
            "`{FREES_OBJECT}` or `{SETS_LIMIT}` takes something else than a number, or returns something"
        );
        Ok(())
    }
}

/// What a linked module exports under `name`.
fn named(layout: &Layout<'_>, kind: ExternalKind, name: &str) -> Result<Target> {
    for (instance, module) in &layout.linked {
        if let Some((found, index)) = module.exports.get(name)
            && *found == kind
        {
            return layout.local(*instance, kind, *index);
        }
    }
    anyhow::bail!("no module exports `{name}`")
}

/// The memory of the snapshot.
fn image(layout: &Layout<'_>, constants: &Constants, tenant: u32) -> Result<Vec<u8>> {
    let mut image = Vec::new();
    for (instance, module) in layout.linked.iter().filter(|(instance, _)| *instance != tenant) {
        for segment in &module.data {
            let place = constants.place(layout, *instance, segment)?.cast_unsigned() as usize;
            let end = place + segment.data.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[place..end].copy_from_slice(segment.data);
        }
    }
    Ok(image)
}

/// The one place that holds CPython's three addresses: the stack's top and the two limits above its end, which is 0.
fn find_limits(image: &[u8], top: u32) -> Result<usize> {
    let mut wanted = Vec::new();
    for limit in [top, 2 * MARGIN, MARGIN] {
        wanted.extend_from_slice(&limit.to_le_bytes());
    }
    let mut found =
        (0..=image.len().saturating_sub(wanted.len())).step_by(4).filter(|place| image[*place..].starts_with(&wanted));
    let place = found.next().context("nothing holds the limits of a stack between 0 and its pointer")?;
    ensure!(found.next().is_none(), "more than one place holds what may be the limits of the stack");
    Ok(place)
}
