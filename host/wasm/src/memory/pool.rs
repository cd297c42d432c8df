//! What is dear to make and used again: whoever is lent one has it alone, and dropping it puts it back for the next.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// What can be used again.
pub(super) trait Reusable {
    /// What it is, in a message.
    const NAME: &'static str;

    /// Makes it fit for the next use. What used it is gone.
    fn reset(&mut self) -> io::Result<()>;
}

/// What is idle.
pub(super) struct Pool<T> {
    idle: Arc<Mutex<Vec<T>>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { idle: Arc::default() }
    }
}

impl<T: Reusable> Pool<T> {
    /// Lends the idle one that fits and came back last, or else a new one.
    pub(super) fn lend(&self, fits: impl Fn(&T) -> bool, make: impl FnOnce() -> io::Result<T>) -> io::Result<Lent<T>> {
        let found = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.iter().rposition(fits).map(|place| idle.swap_remove(place))
        };
        let lent = match found {
            Some(found) => found,
            None => make()?,
        };
        Ok(Lent { lent: Some(lent), idle: self.idle.clone() })
    }
}

/// One that is in use, and goes back when it is dropped.
pub(super) struct Lent<T: Reusable> {
    /// Taken only when dropped.
    lent: Option<T>,
    idle: Arc<Mutex<Vec<T>>>,
}

const TAKEN: &str = "it is taken only when dropped";

impl<T: Reusable> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.lent.as_ref().expect(TAKEN)
    }
}

impl<T: Reusable> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.lent.as_mut().expect(TAKEN)
    }
}

impl<T: Reusable> Drop for Lent<T> {
    fn drop(&mut self) {
        let Some(mut lent) = self.lent.take() else { return };
        // What cannot be made fit again is let go.
        match lent.reset() {
            Ok(()) => self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lent),
            Err(error) => tracing::warn!("{} is not used again: {error}", T::NAME),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of its own, and how often it has been reset; the third time fails.
    struct Thing(u32, u32);

    impl Reusable for Thing {
        const NAME: &'static str = "a thing";

        fn reset(&mut self) -> io::Result<()> {
            self.1 += 1;
            if self.1 < 3 { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
        }
    }

    #[test]
    fn what_comes_back_is_lent_again_to_one_at_a_time_and_only_where_it_fits() -> io::Result<()> {
        let pool = Pool::default();
        let lend = |fits: fn(&Thing) -> bool, made| pool.lend(fits, move || Ok(Thing(made, 0)));
        let (first, second) = (lend(|_| true, 1)?, lend(|_| true, 2)?);
        assert_eq!((first.0, second.0), (1, 2), "one that is in use is lent to nobody else");
        drop(first);
        drop(second);
        assert_eq!(lend(|thing| thing.0 == 7, 3)?.0, 3, "none of them fits");
        assert_eq!(lend(|thing| thing.0 < 3, 4)?.0, 2, "the last that came back");
        let twice_reset = lend(|thing| thing.0 == 2, 5)?;
        assert_eq!((twice_reset.0, twice_reset.1), (2, 2));
        drop(twice_reset);
        assert_eq!(lend(|thing| thing.0 == 2, 6)?.0, 6, "what cannot be reset does not come back");
        Ok(())
    }

    #[test]
    fn what_cannot_be_made_is_an_error() {
        let pool = Pool::<Thing>::default();
        assert!(pool.lend(|_| true, || Err(io::ErrorKind::OutOfMemory.into())).is_err());
    }
}
