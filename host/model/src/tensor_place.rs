//! Where a tensor stands in a file, and how its elements are put in order if they are spread.

use safetensors::Dtype;

/// Where a tensor stands in a file.
#[derive(Debug)]
pub(crate) struct TensorPlace {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// The place of its first byte.
    pub(crate) start: u64,
    /// Bytes from its first element to its last.
    pub(crate) bytes: usize,
    /// Elements from one place of an axis to the next, if they do not follow one another.
    pub(crate) strides: Option<Vec<usize>>,
}

impl TensorPlace {
    /// Its elements in their order, out of the bytes that they are spread in.
    pub(crate) fn gathered(&self, spread: &[u8], strides: &[usize]) -> Vec<u8> {
        let element = self.dtype.bitsize() / 8;
        let count: usize = self.shape.iter().product();
        let mut bytes = Vec::with_capacity(count * element);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let at = index.iter().zip(strides).map(|(index, stride)| index * stride).sum::<usize>() * element;
            bytes.extend_from_slice(&spread[at..at + element]);
            for (index, size) in index.iter_mut().zip(&self.shape).rev() {
                *index += 1;
                if *index < *size {
                    break;
                }
                *index = 0;
            }
        }
        bytes
    }
}
