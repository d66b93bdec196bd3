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
    // Each thing points to one that is not above it; who points to itself is the first of its group.
    let mut first: Vec<usize> = (0..n).collect();
    for (a, b) in pairs {
        if a.max(b) >= n {
            return Err(Error::argument("pairs", format!("places below {n}"), format!("({a}, {b})")));
        }
        let (a, b) = (find(&mut first, a), find(&mut first, b));
        first[a.max(b)] = a.min(b);
    }
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); n];
    for thing in 0..n {
        let root = find(&mut first, thing);
        members[root].push(thing);
    }
    members.retain(|group| group.len() > 1);
    Ok(members)
}

/// The first of a thing's group; the way there is halved for who comes next.
fn find(first: &mut [usize], mut thing: usize) -> usize {
    while first[thing] != thing {
        first[thing] = first[first[thing]];
        thing = first[thing];
    }
    thing
}
