//! Two versions of a value: what is, and what was before or will be in a moment.

/// A value and the first epoch in which it counts.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Version<T> {
    pub(super) since: u32,
    pub(super) value: T,
}

/// The younger one counts, if its epoch has come. A default value is none: it says that there is
/// nobody, or that nothing is allowed.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Versions<T>([Version<T>; 2]);

impl<T: Copy + Default + PartialEq> Versions<T> {
    /// This value since this epoch, and none before.
    pub fn new(since: u32, value: T) -> Self {
        Self([Version { since, value }, Version::default()])
    }

    /// What counts in this epoch.
    pub fn at(&self, epoch: u32) -> Option<T> {
        let value = self.0[self.index_at(epoch)?].value;
        (value != T::default()).then_some(value)
    }

    /// What counts in this epoch, or is about to in the next one.
    pub fn counting(&self, epoch: u32) -> impl Iterator<Item = T> {
        [epoch, epoch.saturating_add(1)].into_iter().filter_map(|epoch| self.at(epoch))
    }

    /// The same, and from this epoch on another value, or none. The version before it stays:
    /// programs are still reading it.
    pub fn from(mut self, since: u32, value: T) -> Self {
        let other = self.index_at(since - 1).map_or(0, |before| 1 - before);
        self.0[other] = Version { since, value };
        self
    }

    /// The latest epoch that it speaks of.
    pub fn newest(&self) -> u32 {
        self.0[0].since.max(self.0[1].since)
    }

    /// All that may be read, in whatever epoch.
    pub fn values(&self) -> impl Iterator<Item = T> {
        self.0.iter().map(|version| version.value)
    }

    fn index_at(&self, epoch: u32) -> Option<usize> {
        let counts = |index: &usize| self.0[*index].since <= epoch;
        [1, 0].into_iter().filter(counts).max_by_key(|&index| self.0[index].since)
    }
}
