//! AdamW with moments in 8 bits on another device: the moments stay in host memory wherever the parameter is. The
//! gradient and the parameter come down, the CPU's body runs, and the parameter goes up again. So the states are
//! bitsandbytes' bit for bit on every device.

use candle_core::{Device, Result, Tensor};

use super::cpu;
use super::moment::Moment8bit;
use crate::adamw::AdamwStep;
use crate::composite::write;

/// Updates a parameter whose two moments are in 8 bits.
pub(super) fn step(
    task: &AdamwStep,
    parameter: &Tensor,
    gradient: &Tensor,
    first: &mut Moment8bit,
    second: &mut Moment8bit,
) -> Result<()> {
    let copy = |tensor: &Tensor| tensor.copy()?.to_device(&Device::Cpu);
    let (on_host, gradient) = (copy(parameter)?, copy(gradient)?);
    cpu::step(task, &on_host, &gradient, first, second)?;
    write(parameter, &on_host.to_device(parameter.device())?)
}
