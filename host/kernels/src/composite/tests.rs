//! Composites on the CPU, held against the bodies.

use candle_core::{DType, Device, Result, Tensor};
use half::bf16;

use super::widened;
use crate::adamw::{self, AdamwStep, Rounding};
use crate::adamw_8bit::{self, Moment8bit};
use crate::attention::{self, CachedSpan, Document, Heads, KeyValues};
use crate::cross_entropy::Trained;
use crate::element::Element;
use crate::float8::{Float8, Float8Matrix};
use crate::glu::Activation;
use crate::integer::{CodeWidth, Groups, IntegerCodes, IntegerMatrix, Zeros};
use crate::linear::{self, Onto, Weight};
use crate::lora::{self, Dropout, Factors, Inner, PreparedFactors};
use crate::neftune::{self, Noise};
use crate::nf4::{BlockFormat, BlockMaxima, FP4_CODES, Nf4Matrix, quantize};
use crate::philox::{Purpose, Sequence};
use crate::place::{composites_are_forced, place, with_composites_on};
use crate::rope::RopeTable;
use crate::scales::Scales;
use crate::scratch::Scratch;
use crate::{columns, cross_entropy, dora, embedding, residual, rms_norm};

/// Whether composites are to be held against the bodies on a CUDA device, too; there must be one then.
fn cuda_is_tested() -> bool {
    std::env::var_os("HILORA_TEST_CUDA").is_some()
}

/// Where composites are held against the bodies.
fn places() -> Result<Vec<Device>> {
    let cuda = if cuda_is_tested() { Some(Device::new_cuda(0)?) } else { None };
    Ok([Device::Cpu].into_iter().chain(cuda).collect())
}

/// A tensor of normal numbers in T.
fn normal<T: Element>(shape: &[usize], seed: u64) -> Result<Tensor> {
    let mut numbers = Sequence::new(seed, Purpose::Weights, 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| numbers.normal() as f32).collect();
    Tensor::from_vec(values, shape, &place())?.to_dtype(T::DTYPE)
}

/// |composite − body| / |body| in the Euclidean norm.
fn distance(composite: &Tensor, body: &Tensor) -> Result<f64> {
    assert_eq!((composite.dims(), composite.dtype()), (body.dims(), body.dtype()));
    let norm = |x: &Tensor| x.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>().map(f64::sqrt);
    Ok(norm(&(widened(composite)? - widened(body)?)?)? / norm(body)?.max(f64::MIN_POSITIVE))
}

/// Runs an operation as a body and as a composite, and compares each of its results.
fn compare<T: Element>(what: &str, run: impl Fn() -> Result<Vec<Tensor>> + Sync) -> Result<()> {
    let bodies = run()?;
    for place in places()? {
        held_against::<T>(what, &bodies, with_composites_on(&place, &run)?)?;
    }
    Ok(())
}

fn held_against<T: Element>(what: &str, bodies: &[Tensor], composites: Vec<Tensor>) -> Result<()> {
    assert_eq!(bodies.len(), composites.len());
    for (index, (composite, body)) in composites.iter().zip(bodies).enumerate() {
        let distance = distance(&composite.to_device(&Device::Cpu)?, body)?;
        let bound = if T::DTYPE == DType::F32 { 3e-6 } else { 1e-2 };
        eprintln!("{what}, {:?}, result {index}: {distance:.1e}", T::DTYPE);
        assert!(distance < bound, "{what}, {:?}, result {index}: {distance:e}", T::DTYPE);
    }
    Ok(())
}

/// A copy that owns its memory.
fn owned(tensor: &Tensor) -> Result<Tensor> {
    tensor.force_contiguous()
}

fn nf4(rows: usize, columns: usize) -> Result<Weight> {
    let values: Vec<f32> = (normal::<f32>(&[rows, columns], 77)? * 0.05)?.flatten_all()?.to_vec1()?;
    let bytes = quantize(values.len(), |start, target| target.copy_from_slice(&values[start..start + target.len()]));
    Ok(Weight::Nf4(Box::new(Nf4Matrix::new(bytes, rows, columns))))
}

/// A matrix of integers with zero points; `mapped` spreads the inputs of a group.
fn integers(width: CodeWidth, rows: usize, columns: usize, group: usize, mapped: bool) -> Weight {
    let count = columns.div_ceil(group);
    let code =
        |seed: usize| move |row: usize, column: usize| (((row * 89 + column * 37 + seed) * 2_654_435_761) >> 7) as u8;
    let scales = (0..count * rows).map(|i| half::f16::from_f32(0.01 + (i % 7) as f32 * 0.003)).collect();
    let groups = match mapped {
        true => Groups::Map((0..columns).map(|column| (column * 5 % count) as u32).collect()),
        false => Groups::Even(group),
    };
    let matrix = IntegerMatrix::new(
        (rows, columns),
        IntegerCodes::new(width, rows, columns, |row, column| code(5)(row, column) >> (8 - width.bits())),
        Scales::F16(scales),
        Zeros::Each(IntegerCodes::new(width, rows, count, |row, column| code(6)(row, column) >> (8 - width.bits()))),
        groups,
    );
    Weight::Integer(Box::new(matrix))
}

/// A matrix of float8 with a scale for each block.
fn float8(rows: usize, columns: usize, block: (usize, usize)) -> Weight {
    let codes: Vec<u8> = (0..rows * columns).map(|at| (at * 89 % 120 + at % 2 * 128) as u8).collect();
    let scales = (0..rows.div_ceil(block.0) * columns.div_ceil(block.1)).map(|at| 1e-3 + at as f32 * 1e-4).collect();
    let matrix = Float8Matrix::new((rows, columns), Float8::E4m3, codes.into(), Scales::F32(scales), block);
    Weight::Float8(Box::new(matrix))
}

/// The weights in every form, [24, 64] each.
fn weights() -> Result<Vec<(&'static str, Weight)>> {
    let dense = (normal::<f32>(&[24, 64], 3)? * 0.1)?;
    Ok(vec![
        ("f32", Weight::F32(dense.clone())),
        ("bf16", Weight::Bf16(dense.to_dtype(DType::BF16)?)),
        ("f16", Weight::F16(dense.to_dtype(DType::F16)?)),
        ("nf4", nf4(24, 64)?),
        ("integers", integers(CodeWidth::Four, 24, 64, 16, false)),
        ("mapped integers", integers(CodeWidth::Four, 24, 64, 16, true)),
        ("float8", float8(24, 64, (16, 16))),
    ])
}

/// The weight as the path that runs on this thread reads it.
fn here(weight: &Weight) -> Result<Weight> {
    if composites_are_forced() { weight.uploaded(&place()) } else { Ok(weight.clone()) }
}

#[test]
fn coded_matrices_have_the_bits_of_the_bodies() -> Result<()> {
    let plain = {
        let packed: Vec<u8> = (0..95).map(|i| (i * 37 % 256) as u8).collect();
        // 190 elements: the last block is not whole.
        move |format: BlockFormat| {
            let maxima = (0..190usize.div_ceil(format.block)).map(|i| 0.5 + i as f32).collect();
            let packed = packed.clone().into();
            Weight::Nf4(Box::new(Nf4Matrix::from_parts(format, packed, BlockMaxima::Plain(maxima), 19, 10)))
        }
    };
    // More blocks than share a second-level maximum, and a byte 255.
    let four = |rows, columns, group, mapped| integers(CodeWidth::Four, rows, columns, group, mapped);
    for (name, weight) in [
        ("plain", plain(BlockFormat::default())),
        ("fp4", plain(BlockFormat { codes: FP4_CODES, block: 32 })),
        ("nested", nf4(160, 128)?),
        ("integers", four(40, 96, 32, false)),
        ("odd", four(8, 9, 3, false)),
        ("short group", four(5, 9, 4, false)),
        ("map", four(8, 48, 16, true)),
        ("8 bits", integers(CodeWidth::Eight, 7, 24, 8, false)),
        ("float8 of a tensor", float8(9, 20, (9, 20))),
        ("float8 of rows", float8(9, 20, (1, 20))),
        ("float8 of blocks", float8(9, 20, (4, 8))),
    ] {
        let (rows, columns) = weight.dims()?;
        let body = weight.with_rows(|source| {
            let mut values = vec![0.0; rows * columns];
            for (row, values) in values.chunks_exact_mut(columns).enumerate() {
                source.read(row, 0, values);
            }
            values
        })?;
        let Weight::Coded(coded) = weight.uploaded(&Device::Cpu)? else { panic!("{name}: not coded") };
        assert_eq!(coded.dims(), (rows, columns));
        let composite: Vec<f32> = coded.dequantized()?.flatten_all()?.to_vec1()?;
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&composite), bits(&body), "{name}");
    }
    Ok(())
}

fn linear_layers<T: Element>() -> Result<()> {
    for (name, weight) in weights()? {
        compare::<T>(&format!("linear, {name}"), || {
            let weight = here(&weight)?;
            let (x, dy) = (normal::<T>(&[7, 64], 1)?, normal::<T>(&[7, 24], 2)?);
            let bias = normal::<f32>(&[24], 4)?;
            let (written, summed) = (normal::<T>(&[7, 24], 5)?, normal::<f32>(&[7, 24], 6)?);
            linear::forward::<T, T>(&x, &weight, None, Onto::Bias(&bias), &written)?;
            linear::forward::<T, f32>(&x, &weight, None, Onto::Existing, &summed)?;
            let (dx, dx_summed) = (normal::<T>(&[7, 64], 7)?, normal::<f32>(&[7, 64], 8)?);
            linear::backward::<T, T>(&dy, &weight, None, &dx, false)?;
            linear::backward::<T, f32>(&dy, &weight, None, &dx_summed, true)?;
            let (dw, db) = (normal::<f32>(&[24, 64], 9)?, normal::<f32>(&[24], 10)?);
            linear::backward_weight::<T>(&dy, &x, 0.5, &dw)?;
            linear::backward_bias::<T>(&dy, &db)?;
            Ok(vec![written, summed, dx, dx_summed, dw, db])
        })?;
    }
    Ok(())
}

#[test]
fn linear_layers_equal_the_bodies() -> Result<()> {
    linear_layers::<f32>()?;
    linear_layers::<bf16>()
}

fn lora_updates<T: Element>() -> Result<()> {
    let weight = nf4(24, 64)?;
    let dropout = Dropout { probability: 0.25, seed: 3, step: 2, layer: 1, module: 4 };
    for (rank, dropout) in [(4, None), (3, None), (5, Some(&dropout))] {
        compare::<T>(&format!("lora of rank {rank}"), || {
            let weight = here(&weight)?;
            let (a, b) = (normal::<f32>(&[rank, 64], 1)?, normal::<f32>(&[24, rank], 2)?);
            let factors = Factors { a: &a, b: &b, scale: 0.5 };
            let (x, dy) = (normal::<T>(&[9, 64], 3)?, normal::<T>(&[9, 24], 4)?);
            let t = lora::inner::<T>(&x, factors, dropout)?;
            let y = normal::<T>(&[9, 24], 5)?;
            linear::forward::<T, T>(&x, &weight, Some(&Inner::new(factors, &t)), Onto::Nothing, &y)?;
            let (da, db) = (normal::<f32>(&[rank, 64], 6)?, normal::<f32>(&[24, rank], 7)?);
            let dt = lora::backward::<T>(&dy, &x, &t, factors, dropout, (&da, &db))?;
            let dx = normal::<f32>(&[9, 64], 8)?;
            let update = Inner::new(factors, &dt);
            match dropout {
                None => linear::backward::<T, f32>(&dy, &weight, Some(&update), &dx, true)?,
                Some(dropout) => {
                    linear::backward::<T, f32>(&dy, &weight, None, &dx, true)?;
                    lora::backward_dropped::<T, f32>(&update, dropout, &dx)?;
                }
            }
            let decoded = normal::<f32>(&[9, 24], 9)?;
            PreparedFactors::<T>::new(factors)?.forward(&x, &decoded)?;
            Ok(vec![y, da, db, dx, decoded])
        })?;
    }
    Ok(())
}

#[test]
fn lora_updates_equal_the_bodies() -> Result<()> {
    lora_updates::<f32>()?;
    lora_updates::<bf16>()
}

fn attention_passes<T: Element>() -> Result<()> {
    // A document of one row, one longer than a block, and one whose last rows are padding.
    let documents =
        [Document { rows: 0..1, seen: 1 }, Document { rows: 1..72, seen: 71 }, Document { rows: 72..90, seen: 11 }];
    let windowed = Heads { window: Some(9), ..Heads::new(4, 2, 8) };
    for heads in [Heads::new(4, 2, 8), windowed, Heads::new(3, 1, 6), Heads { scale: 0.3, ..Heads::new(2, 2, 4) }] {
        compare::<T>(&format!("attention of {heads:?}"), || {
            let (query, key) = (heads.queries * heads.dim, heads.keys * heads.dim);
            let (q, k, v) = (normal::<T>(&[90, query], 1)?, normal::<T>(&[90, key], 2)?, normal::<T>(&[90, key], 3)?);
            let d_o = normal::<T>(&[90, query], 4)?;
            let (o, lse) = attention::forward::<T>(&q, &k, &v, &documents, heads)?;
            let saved = attention::Backward { q: &q, k: &k, v: &v, o: &o, lse: &lse, d_o: &d_o };
            let (dq, dk, dv) = attention::backward::<T>(&saved, &documents, heads)?;
            [&o, &lse, &dq, &dk, &dv].into_iter().map(|tensor| owned(tensor)).collect()
        })?;
    }
    Ok(())
}

#[test]
fn attention_equals_the_bodies() -> Result<()> {
    attention_passes::<f32>()?;
    attention_passes::<bf16>()
}

/// Two sequences of 70 and 5 rows, of which the last come by themselves.
fn attention_over_blocks<T: Element>() -> Result<()> {
    let windowed = Heads { window: Some(6), ..Heads::new(4, 2, 8) };
    for heads in [Heads::new(4, 2, 8), windowed, Heads { scale: 0.3, ..Heads::new(2, 1, 40) }] {
        compare::<T>(&format!("attention over blocks of {heads:?}"), || {
            let (query, key) = (heads.queries * heads.dim, heads.keys * heads.dim);
            let (q, k, v) = (normal::<T>(&[75, query], 1)?, normal::<T>(&[75, key], 2)?, normal::<T>(&[75, key], 3)?);
            let mut cache = KeyValues::new::<T>(2, heads, &place())?;
            let span = |rows, start, blocks| CachedSpan { rows, start, blocks };
            let first = [span(0..40, 0, &[1, 0][..])];
            cache.store::<T>(&k, &v, &first, heads)?;
            let o = cache.attend::<T>(&q, &first, heads)?;
            let mut results = vec![owned(&o.narrow(0, 0, 40)?)?];
            cache.reserve(4)?;
            cache.copy_block(1, 3)?;
            for (spans, rows) in [
                ([span(40..69, 40, &[3, 0, 2][..]), span(70..74, 0, &[1])], [40..69, 70..74]),
                ([span(69..70, 69, &[3, 0, 2]), span(74..75, 4, &[1])], [69..70, 74..75]),
            ] {
                cache.store::<T>(&k, &v, &spans, heads)?;
                let o = cache.attend::<T>(&q, &spans, heads)?;
                for rows in rows {
                    results.push(owned(&o.narrow(0, rows.start, rows.len())?)?);
                }
            }
            Ok(results)
        })?;
    }
    Ok(())
}

#[test]
fn attention_over_blocks_equals_the_bodies() -> Result<()> {
    attention_over_blocks::<f32>()?;
    attention_over_blocks::<bf16>()
}

fn losses<T: Element>() -> Result<()> {
    // More rows than the smallest chunk of a vocabulary of this size would hold at once.
    let (rows, vocabulary) = (1_050, 38);
    compare::<T>("cross-entropy", || {
        let h = normal::<T>(&[rows, 16], 1)?;
        let weight = Weight::F32(normal::<f32>(&[vocabulary, 16], 2)?);
        let targets: Vec<u32> = (0..rows as u32).map(|row| row * 7 % vocabulary as u32).collect();
        let dw = normal::<f32>(&[vocabulary, 16], 3)?;
        let trained = Trained::Table(&dw);
        let (loss, dh) = cross_entropy::forward_backward::<T>(&h, &weight, None, &targets, 0.01, trained)?;
        let alone = cross_entropy::forward::<T>(&h, &weight, None, &targets)?;
        assert_eq!(alone.to_bits(), loss.to_bits());
        Ok(vec![Tensor::new(&[loss as f32], &place())?, owned(&dh)?, dw])
    })
}

/// A LoRA on the output layer; in bf16 an odd vocabulary and an odd rank are filled up.
fn updated_losses<T: Element>() -> Result<()> {
    let dropout = Dropout { probability: 0.25, seed: 3, step: 2, layer: 1, module: 4 };
    for (rank, vocabulary, dropout) in [(4, 38, None), (3, 39, Some(&dropout))] {
        let rows = 1_050;
        compare::<T>("cross-entropy with an update", || {
            let h = normal::<T>(&[rows, 16], 1)?;
            let weight = Weight::F32(normal::<f32>(&[vocabulary, 16], 2)?);
            let (a, b) = (normal::<f32>(&[rank, 16], 3)?, normal::<f32>(&[vocabulary, rank], 4)?);
            let factors = Factors { a: &a, b: &b, scale: 0.5 };
            let targets: Vec<u32> = (0..rows as u32).map(|row| row * 7 % vocabulary as u32).collect();
            let t = lora::inner::<T>(&h, factors, dropout)?;
            let update = Inner::new(factors, &t);
            let (da, db) = (normal::<f32>(&[rank, 16], 5)?, normal::<f32>(&[vocabulary, rank], 6)?);
            let dt = Scratch::zeros::<T>(t.shape(), t.device())?;
            let trained = Trained::Update { dt: &dt, db: &db };
            let (loss, dh) = cross_entropy::forward_backward::<T>(&h, &weight, Some(&update), &targets, 0.01, trained)?;
            let alone = cross_entropy::forward::<T>(&h, &weight, Some(&update), &targets)?;
            assert_eq!(alone.to_bits(), loss.to_bits());
            lora::backward_a::<T>(&dt, &h, factors, dropout, &da)?;
            lora::backward_x::<T, f32>(&Inner::new(factors, &dt), dropout, &dh)?;
            Ok(vec![Tensor::new(&[loss as f32], &place())?, owned(&dh)?, da, db])
        })?;
    }
    Ok(())
}

#[test]
fn losses_equal_the_bodies() -> Result<()> {
    losses::<f32>()?;
    losses::<bf16>()?;
    updated_losses::<f32>()?;
    updated_losses::<bf16>()
}

fn magnitudes<T: Element>() -> Result<()> {
    for (name, weight) in weights()? {
        compare::<T>(&format!("dora, {name}"), || {
            let weight = here(&weight)?;
            let (a, b) = (normal::<f32>(&[3, 64], 1)?, normal::<f32>(&[24, 3], 2)?);
            let norms = dora::norms(&weight, Factors { a: &a, b: &b, scale: 0.5 })?;
            let (u, dy) = (normal::<T>(&[70, 24], 3)?, normal::<T>(&[70, 24], 4)?);
            let (gain, bias) = (normal::<f32>(&[24], 5)?, normal::<f32>(&[24], 6)?);
            let (written, biased, added) =
                (normal::<T>(&[70, 24], 7)?, normal::<T>(&[70, 24], 8)?, normal::<T>(&[70, 24], 9)?);
            dora::forward::<T>(&u, &gain, Onto::Nothing, &written)?;
            dora::forward::<T>(&u, &gain, Onto::Bias(&bias), &biased)?;
            dora::forward::<T>(&u, &gain, Onto::Existing, &added)?;
            let dm = normal::<f32>(&[24], 10)?;
            let du = dora::backward::<T>(&dy, &u, &gain, &norms, &dm)?;
            let dropout = Dropout { probability: 0.25, seed: 3, step: 2, layer: 1, module: 4 };
            let dropped = lora::dropped::<T>(&u, &dropout)?;
            let passed = dora::difference::<T>(&u, &dropped)?;
            Ok(vec![owned(&norms)?, written, biased, added, dm, owned(&du)?, owned(&dropped)?, owned(&passed)?])
        })?;
    }
    Ok(())
}

#[test]
fn magnitudes_equal_the_bodies() -> Result<()> {
    magnitudes::<f32>()?;
    magnitudes::<bf16>()
}

#[test]
fn columns_of_an_embeddings_update_equal_the_bodies() -> Result<()> {
    // A token that is there twice, and one whose column is not trained.
    let (tokens, padding) = ([3, 1, 4, 1, 5, 0], Some(0));
    compare::<f32>("columns", || {
        let (a, dt) = (normal::<f32>(&[3, 7], 1)?, normal::<f32>(&[6, 3], 2)?);
        let da = normal::<f32>(&[3, 7], 3)?;
        embedding::backward_columns(&tokens, padding, &dt, 0.5, &da)?;
        let before = normal::<f32>(&[3, 7], 3)?;
        let column = |of: &Tensor| of.narrow(1, 0, 1)?.flatten_all()?.to_vec1::<f32>();
        assert_eq!(column(&da)?, column(&before)?);
        Ok(vec![owned(&*embedding::columns(&tokens, &a, 0.5)?)?, da])
    })
}

fn elementwise<T: Element>() -> Result<()> {
    compare::<T>("norm", || {
        // Three heads in a row, each of the norm's width.
        let (x, dy) = (normal::<T>(&[67, 30], 1)?, normal::<T>(&[67, 30], 2)?);
        let weight = normal::<f32>(&[10], 3)?;
        let (y, rstd) = rms_norm::forward::<T, T>(&x, &weight, 1e-6)?;
        let (dx, dw) = (normal::<T>(&[67, 30], 4)?, normal::<f32>(&[10], 5)?);
        rms_norm::backward::<T>(&dy, &x, &weight, &rstd, &dx)?;
        rms_norm::backward_weight::<T>(&dy, &x, &rstd, &dw)?;
        Ok(vec![owned(&y)?, owned(&rstd)?, dx, dw])
    })?;
    compare::<T>("rope", || {
        let positions: Vec<u32> = (0..33).chain(0..5).collect();
        // Two heads of which all columns are rotary, and one of which two pairs of six are.
        let mut results = Vec::new();
        for (head_dim, frequencies) in [(6, &[1.0, 0.3, 0.01][..]), (12, &[1.0, 0.1])] {
            let table = RopeTable::new(40, head_dim, frequencies, 1.2, &place())?;
            let (x, dx) = (normal::<T>(&[38, 12], 1)?, normal::<T>(&[38, 12], 2)?);
            table.forward::<T>(&x, &positions)?;
            table.backward::<T>(&dx, &positions)?;
            results.extend([x, dx]);
        }
        Ok(results)
    })?;
    for activation in [Activation::Silu, Activation::GeluTanh] {
        compare::<T>(activation.name(), || {
            let (gate, up, ds) = (normal::<T>(&[5, 33], 1)?, normal::<T>(&[5, 33], 2)?, normal::<T>(&[5, 33], 3)?);
            let product = activation.forward::<T>(&gate, &up)?;
            activation.backward::<T>(&ds, &gate, &up)?;
            Ok(vec![owned(&product)?, gate, up])
        })?;
    }
    compare::<T>("columns", || {
        let [first, second] = columns::split::<T, 2>(&normal::<T>(&[67, 30], 1)?, [11, 19])?;
        let joined = columns::join::<T, 2>([&second, &first])?;
        Ok(vec![owned(&first)?, owned(&second)?, owned(&joined)?])
    })?;
    compare::<T>("residual", || {
        let (x, y) = (normal::<T>(&[5, 33], 1)?, normal::<f32>(&[5, 33], 2)?);
        residual::forward::<T>(&x, 0.7, &y)?;
        let dx = residual::backward::<T>(&y, 0.7)?;
        Ok(vec![y, owned(&dx)?])
    })?;
    compare::<T>("conversion", || {
        let x = normal::<T>(&[5, 33], 1)?;
        let (widened, copy) = (Scratch::converted::<T, f32>(&x)?, Scratch::converted::<T, T>(&x)?);
        x.zero_set()?;
        Ok(vec![owned(&widened)?, owned(&copy)?])
    })
}

#[test]
fn rows_and_elements_equal_the_bodies() -> Result<()> {
    elementwise::<f32>()?;
    elementwise::<bf16>()
}

#[test]
fn embeddings_and_noise_equal_the_bodies() -> Result<()> {
    for (name, weight) in weights()?.into_iter().take(3) {
        compare::<f32>(&format!("embedding, {name}"), || {
            let weight = here(&weight)?;
            let tokens = [3, 0, 23, 3, 7];
            let y = embedding::forward(&tokens, &weight)?;
            let dw = normal::<f32>(&[24, 64], 4)?;
            embedding::backward(&tokens, &normal::<f32>(&[5, 64], 5)?, &dw)?;
            let gathered = embedding::gather(&y, &[4, 1])?;
            let scattered = embedding::scatter(&gathered, &[2, 0], 4)?;
            let noisy = owned(&y)?;
            let documents = [Document { rows: 0..2, seen: 2 }, Document { rows: 2..5, seen: 3 }];
            neftune::add(&Noise { seed: 1, micro_batch: 3, alpha: 5.0 }, &noisy, &documents)?;
            Ok(vec![owned(&y)?, dw, owned(&gathered)?, owned(&scattered)?, noisy])
        })?;
    }
    Ok(())
}

#[test]
fn optimizer_steps_equal_the_bodies() -> Result<()> {
    let task = |step| AdamwStep {
        step,
        learning_rate: 1e-2,
        weight_decay: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        gradient_scale: 0.7,
    };
    compare::<f32>("adamw", || {
        let elements = 5_000;
        let parameters = [1, 2, 3].map(|seed| normal::<f32>(&[elements], seed));
        let [torch, bits32, bits8] = parameters;
        let (torch, bits32, bits8) = (torch?, bits32?, bits8?);
        let zeros = || Tensor::zeros(elements, DType::F32, &place());
        let moments = [zeros()?, zeros()?, zeros()?, zeros()?];
        let (mut first, mut second) = (Moment8bit::zeros(elements), Moment8bit::zeros(elements));
        let mut norms = 0.0;
        for step in 1..=5 {
            let gradient = normal::<f32>(&[elements], 10 + step as u64)?;
            adamw::step(&task(step), Rounding::Torch, &torch, &gradient, (&moments[0], &moments[1]))?;
            adamw::step(&task(step), Rounding::Bitsandbytes, &bits32, &gradient, (&moments[2], &moments[3]))?;
            adamw_8bit::step(&task(step), &bits8, &gradient, &mut first, &mut second)?;
            norms += adamw::sum_of_squares(&gradient)?;
            adamw::zero(&gradient)?;
            assert_eq!(adamw::sum_of_squares(&gradient)?, 0.0);
        }
        let codes: Vec<f32> = first.codes.iter().chain(&second.codes).map(|code| f32::from(*code)).collect();
        let codes = Tensor::from_vec(codes, 2 * elements, &place())?;
        let norms = Tensor::new(&[norms as f32], &place())?;
        Ok([&[torch, bits32, bits8, codes, norms][..], &moments].concat())
    })
}
