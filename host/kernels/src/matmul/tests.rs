//! The product, held against sums in f64, and a row against itself in a batch.

use half::bf16;

use super::*;

fn values<E: Element>(count: usize, seed: u32) -> Vec<E> {
    let value = |i: u32| ((i.wrapping_mul(2_654_435_761) ^ seed) >> 8) as f32 / 8_388_608.0 - 1.0;
    (0..count as u32).map(|i| E::narrow(value(i))).collect()
}

/// Two products, one straight and one transposed, held against sums in f64.
fn equals_the_sum_of_products<E: Element>() {
    for (rows, depth, columns) in [(1, 2, 1), (3, 6, 7), (13, 600, 33), (25, 64, 16), (40, 514, 80), (300, 700, 130)] {
        let (a, w): (Vec<E>, Vec<E>) = (values(rows * depth, 1), values(columns * depth, 2));
        let (t, u): (Vec<E>, Vec<E>) = (values(4 * rows, 3), values(4 * columns, 4));
        let bias: Vec<f32> = values(columns, 5);
        let transposed_a = Columns::<E>::of(&t, 4, rows, rows);
        let (w_rows, u_rows) = (Dense::new(&w, columns, depth), Dense::new(&u, 4, columns));
        let products = [
            Product { a: Operand::rows_of(&a, depth), b: Factor::Transposed(&w_rows) },
            Product { a: transposed_a.operand(), b: Factor::Straight(&u_rows) },
        ];
        let shape = Shape::new(rows, columns);
        let (mut wide, mut narrow) = (vec![f32::NAN; rows * columns], vec![bf16::NAN; rows * columns]);
        multiply(&products, shape, &mut wide[..], 0.5, Start::Row(&bias));
        multiply(&products, shape, &mut narrow[..], 0.5, Start::Row(&bias));
        for row in 0..rows {
            for column in 0..columns {
                let of = |x: &E| f64::from(x.widen());
                let first: f64 = (0..depth).map(|k| of(&a[row * depth + k]) * of(&w[column * depth + k])).sum();
                let second: f64 = (0..4).map(|k| of(&t[k * rows + row]) * of(&u[k * columns + column])).sum();
                let expected = f64::from(bias[column]) + 0.5 * (first + second);
                let got = f64::from(wide[row * columns + column]);
                let place = format!("({rows}, {depth}, {columns}) at ({row}, {column}): {got} {expected}");
                assert!((got - expected).abs() < 1e-4, "{place}");
                assert_eq!(narrow[row * columns + column], bf16::narrow(got as f32), "{place}");
            }
        }
    }
}

#[test]
fn equals_the_sum_of_products_in_f32_and_in_bf16() {
    equals_the_sum_of_products::<f32>();
    equals_the_sum_of_products::<bf16>();
}

#[test]
fn existing_sums_are_added_to() {
    let (a, w): (Vec<bf16>, Vec<bf16>) = (values(5 * 8, 1), values(8 * 40, 2));
    let w = Dense::new(&w, 8, 40);
    let product = [Product { a: Operand::rows_of(&a, 8), b: Factor::Straight(&w) }];
    let (mut wide, mut narrow) = (vec![2.0f32; 200], vec![bf16::narrow(2.0); 200]);
    multiply(&product, Shape::new(5, 40), &mut wide[..], 1.0, Start::Existing);
    multiply(&product, Shape::new(5, 40), &mut narrow[..], 1.0, Start::Existing);
    let mut fresh = vec![0.0f32; 200];
    multiply(&product, Shape::new(5, 40), &mut fresh[..], 1.0, Start::Zero);
    for ((wide, narrow), fresh) in wide.iter().zip(&narrow).zip(&fresh) {
        assert_eq!(*wide, 1.0f32.mul_add(*fresh, 2.0));
        assert_eq!(*narrow, bf16::narrow(*wide));
    }
}

fn a_row_alone_has_the_bits_it_has_in_a_batch<E: Element>() {
    let (rows, depth, columns) = (301, 700, 130);
    let (a, w): (Vec<E>, Vec<E>) = (values(rows * depth, 4), values(columns * depth, 5));
    let w = Dense::new(&w, depth, columns);
    let packed = Packed::<E>::of(&w);
    let run = |a: &[E], rows: usize, b: Factor<'_, E>| {
        let mut c = vec![0.0f32; rows * columns];
        multiply(
            &[Product { a: Operand::rows_of(a, depth), b }],
            Shape::new(rows, columns),
            &mut c[..],
            1.0,
            Start::Zero,
        );
        c
    };
    let all = run(&a, rows, Factor::Straight(&w));
    for count in [1, 3, 32] {
        let tail = &a[(rows - count) * depth..];
        for b in [Factor::Straight(&w as &dyn RowSource), Factor::Packed(packed.all())] {
            assert_eq!(run(tail, count, b), all[(rows - count) * columns..]);
        }
    }
}

/// Few rows are multiplied by a source that is in memory or read, of another type or not, without panels. Those of many are
/// not.
fn few_rows_have_the_bits_of_many<E: Element>() {
    struct Read<'a>(&'a dyn RowSource);
    impl RowSource for Read<'_> {
        fn rows(&self) -> usize {
            self.0.rows()
        }

        fn columns(&self) -> usize {
            self.0.columns()
        }

        fn read(&self, row: usize, column: usize, target: &mut [f32]) {
            self.0.read(row, column, target);
        }
    }
    for (depth, columns) in [(2, 1), (22, 33), (700, 130), (1_200, 64)] {
        let rows = 70;
        let (a, w): (Vec<E>, Vec<E>) = (values(rows * depth, 6), values(columns * depth, 7));
        let other: Vec<bf16> = w.iter().map(|w| bf16::narrow(w.widen())).collect();
        let (same, other) = (Dense::new(&w, columns, depth), Dense::new(&other, columns, depth));
        for source in [&same as &dyn RowSource, &other, &Read(&same)] {
            let run = |a: &[E], rows: usize, narrow: bool| {
                let products = [Product { a: Operand::rows_of(a, depth), b: Factor::Transposed(source) }];
                let (mut wide, mut rounded) = (vec![0.25f32; rows * columns], vec![bf16::narrow(0.25); rows * columns]);
                let shape = Shape::new(rows, columns);
                if narrow {
                    multiply(&products, shape, &mut rounded[..], 0.5, Start::Existing);
                    return rounded.iter().map(|c| u32::from(c.to_bits())).collect::<Vec<_>>();
                }
                multiply(&products, shape, &mut wide[..], 0.5, Start::Existing);
                wide.iter().map(|c| c.to_bits()).collect()
            };
            for narrow in [false, true] {
                let all = run(&a, rows, narrow);
                for count in (1..=9).chain([17, 64]) {
                    assert_eq!(run(&a[..count * depth], count, narrow), all[..count * columns], "{count} of {depth}");
                }
            }
        }
    }
}

#[test]
fn few_rows_have_the_bits_of_many_in_f32_and_in_bf16() {
    few_rows_have_the_bits_of_many::<f32>();
    few_rows_have_the_bits_of_many::<bf16>();
}

#[test]
fn a_row_alone_has_the_bits_it_has_in_a_batch_in_f32_and_in_bf16() {
    a_row_alone_has_the_bits_it_has_in_a_batch::<f32>();
    a_row_alone_has_the_bits_it_has_in_a_batch::<bf16>();
}
