//! Pairs to groups: whatever is joined by a chain of pairs is one group.

use crate::error::{Error, Result};

/// The connected groups of `n` things joined by `pairs`, those of two and more: members ascending, groups by their
/// first. A chain joins its ends: in a group, two members need not be a pair.
///
/// # Errors
/// A pair that names a thing of `n` or above.
///
/// ```
/// use wider_clip::soundness::groups_of;
///
/// assert_eq!(groups_of(6, [(4, 2), (2, 5), (0, 1)])?, [vec![0, 1], vec![2, 4, 5]]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn groups_of(n: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Result<Vec<Vec<usize>>> {
    let mut unions = Unions::new(n);
    for (a, b) in pairs {
        if a.max(b) >= n {
            return Err(Error::argument("pairs", format!("places below {n}"), format!("({a}, {b})")));
        }
        unions.join(a, b);
    }
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); n];
    for thing in 0..n {
        members[unions.first_with(thing)].push(thing);
    }
    members.retain(|group| group.len() > 1);
    Ok(members)
}

/// Things that are joined one after the other.
#[derive(Debug, Clone)]
pub struct Unions {
    /// Each thing points to one that is not above it; who points to itself is the first of its group.
    first: Vec<usize>,
}

impl Unions {
    /// `n` things, each alone.
    pub fn new(n: usize) -> Unions {
        Unions { first: (0..n).collect() }
    }

    /// Makes one group of two things' groups.
    ///
    /// # Panics
    /// A thing of `n` or above, here and below.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first_with(a), self.first_with(b));
        self.first[a.max(b)] = a.min(b);
    }

    /// The first of a thing's group; the way there is halved for who comes next.
    pub fn first_with(&mut self, thing: usize) -> usize {
        find(&mut self.first, thing)
    }
}

fn find(first: &mut [usize], mut thing: usize) -> usize {
    while first[thing] != thing {
        first[thing] = first[first[thing]];
        thing = first[thing];
    }
    thing
}
