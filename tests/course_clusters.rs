//! The checks of assignment 7: a right answer has all points, a typical wrong one exactly those of the cases that it passes.

#[path = "support/marks.rs"]
mod marks;

use marks::holds_unwritten;
use std::collections::BTreeSet;
use wider_clip::course::clusters;

fn names(list: &[u32]) -> Vec<u32> {
    list.iter().copied().collect::<BTreeSet<u32>>().into_iter().collect()
}

fn contingency(a: &[u32], b: &[u32]) -> Result<Vec<Vec<u64>>, String> {
    if a.len() != b.len() {
        return Err(format!("{} and {} images", a.len(), b.len()));
    }
    let (rows, columns) = (names(a), names(b));
    let mut table = vec![vec![0; columns.len()]; rows.len()];
    for (a, b) in a.iter().zip(b) {
        table[rows.binary_search(a).unwrap()][columns.binary_search(b).unwrap()] += 1;
    }
    Ok(table)
}

fn two(n: u64) -> u64 {
    n * n.saturating_sub(1) / 2
}

fn pairs(table: &[Vec<u64>]) -> [u64; 4] {
    let both: u64 = table.iter().flatten().map(|&n| two(n)).sum();
    let rows: u64 = table.iter().map(|row| two(row.iter().sum())).sum();
    let columns: u64 = (0..table.first().map_or(0, Vec::len)).map(|j| two(table.iter().map(|row| row[j]).sum())).sum();
    let all = two(table.iter().flatten().sum());
    [both, rows - both, columns - both, all + both - rows - columns]
}

/// Without a word on partitions that have no chance to differ.
fn formula(a: &[u32], b: &[u32]) -> Option<f64> {
    let [both, only_a, only_b, neither] = pairs(&contingency(a, b).ok()?).map(|n| n as f64);
    let chance = (both + only_a) * (only_a + neither) + (both + only_b) * (only_b + neither);
    Some(2.0 * (both * neither - only_a * only_b) / chance)
}

fn rand(a: &[u32], b: &[u32]) -> Option<f64> {
    let [_, only_a, only_b, _] = pairs(&contingency(a, b).ok()?);
    match only_a + only_b {
        _ if a.is_empty() => None,
        0 => Some(1.0),
        _ => formula(a, b),
    }
}

fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn assign(rows: &[Vec<f64>], centres: &[Vec<f64>]) -> Vec<usize> {
    let of = |row: &Vec<f64>| {
        let mut best = 0;
        for i in 1..centres.len() {
            if square(row, &centres[i]) < square(row, &centres[best]) {
                best = i;
            }
        }
        best
    };
    rows.iter().map(of).collect()
}

fn means(rows: &[Vec<f64>], labels: &[usize], centres: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut moved = centres.to_vec();
    for (c, centre) in moved.iter_mut().enumerate() {
        let own: Vec<usize> = (0..rows.len()).filter(|&i| labels[i] == c).collect();
        for (j, x) in centre.iter_mut().enumerate() {
            if !own.is_empty() {
                *x = own.iter().map(|&i| rows[i][j]).sum::<f64>() / own.len() as f64;
            }
        }
    }
    moved
}

/// Gives empty centres the farthest rows; where `spare`, not the last of a centre.
fn filled(rows: &[Vec<f64>], labels: &[usize], centres: &[Vec<f64>], spare: bool) -> Vec<usize> {
    let mut labels = labels.to_vec();
    let far = |i: usize, of: usize| square(&rows[i], &centres[of]);
    let first = labels.clone();
    let mut taken = BTreeSet::new();
    for c in 0..centres.len() {
        if first.contains(&c) {
            continue;
        }
        let mut best: Option<usize> = None;
        for i in 0..rows.len() {
            let alone = labels.iter().filter(|&&label| label == labels[i]).count() == 1;
            if taken.contains(&i) || far(i, first[i]) == 0.0 || (spare && alone) {
                continue;
            }
            if best.is_none_or(|best| far(i, first[i]) > far(best, first[best])) {
                best = Some(i);
            }
        }
        if let Some(best) = best {
            taken.insert(best);
            labels[best] = c;
        }
    }
    labels
}

fn update(rows: &[Vec<f64>], labels: &[usize], centres: &[Vec<f64>]) -> Vec<Vec<f64>> {
    means(rows, &filled(rows, labels, centres, true), centres)
}

fn steps(
    rows: &[Vec<f64>],
    start: &[Vec<f64>],
    n: usize,
    update: fn(&[Vec<f64>], &[usize], &[Vec<f64>]) -> Vec<Vec<f64>>,
) -> Vec<f64> {
    let (mut centres, mut found) = (start.to_vec(), Vec::new());
    for _ in 0..n {
        let labels = assign(rows, &centres);
        found.push(rows.iter().zip(&labels).map(|(row, &c)| square(row, &centres[c])).sum());
        centres = update(rows, &labels, &centres);
    }
    found
}

fn inertias(rows: &[Vec<f64>], start: &[Vec<f64>], n: usize) -> Vec<f64> {
    steps(rows, start, n, update)
}

#[test]
fn the_table_is_marked() {
    assert_eq!(clusters::contingency(contingency).points(), 3.0);
    assert_eq!(clusters::contingency(|a, b| contingency(b, a)).points(), 1.0);
    // Takes names for places.
    let places: clusters::ContingencyOf = |a, b| {
        if a.len() != b.len() {
            return Err(format!("{} and {}", a.len(), b.len()));
        }
        let size = |list: &[u32]| list.iter().max().map_or(0, |&most| most as usize + 1);
        if size(a) > 1000 || size(b) > 1000 {
            panic!("too large");
        }
        let mut table = vec![vec![0; size(b)]; size(a)];
        a.iter().zip(b).for_each(|(&a, &b)| table[a as usize][b as usize] += 1);
        Ok(table)
    };
    assert_eq!(clusters::contingency(places).points(), 1.0);
    // Leaves out what is too long.
    let shortens: clusters::ContingencyOf = |a, b| {
        let n = a.len().min(b.len());
        contingency(&a[..n], &b[..n])
    };
    assert_eq!(clusters::contingency(shortens).points(), 2.0);
    holds_unwritten(clusters::contingency(|_, _| todo!()));
}

#[test]
fn pairs_are_marked() {
    assert_eq!(clusters::pairs(pairs).points(), 3.0);
    // Ordered pairs: each twice.
    assert_eq!(clusters::pairs(|table| pairs(table).map(|n| 2 * n)).points(), 0.5);
    // Rows and columns exchanged.
    let exchanged: clusters::PairsOf = |table| {
        let [both, a, b, neither] = pairs(table);
        [both, b, a, neither]
    };
    assert_eq!(clusters::pairs(exchanged).points(), 0.5);
    // Panics where there is no row.
    let indexes: clusters::PairsOf = |table| if table[0].is_empty() { [0; 4] } else { pairs(table) };
    assert_eq!(clusters::pairs(indexes).points(), 2.5);
    assert_eq!(clusters::pairs(|_| [1, 1, 2, 2]).points(), 0.0);
}

#[test]
fn the_index_is_marked() {
    assert_eq!(clusters::rand(rand).points(), 4.0);
    assert_eq!(clusters::rand(formula).points(), 3.0);
    // Never below 0.
    assert_eq!(clusters::rand(|a, b| rand(a, b).map(|x| x.max(0.0))).points(), 3.0);
    // Not adjusted.
    let plain: clusters::RandOf = |a, b| {
        let [both, only_a, only_b, neither] = pairs(&contingency(a, b).ok()?).map(|n| n as f64);
        (!a.is_empty()).then(|| (both + neither) / (both + only_a + only_b + neither))
    };
    assert_eq!(clusters::rand(plain).points(), 1.0);
    // The part of equal numbers, which new names change.
    let equal: clusters::RandOf = |a, b| {
        let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
        (a.len() == b.len() && !a.is_empty()).then(|| same as f64 / a.len() as f64)
    };
    assert_eq!(clusters::rand(equal).points(), 0.0);
    assert_eq!(clusters::rand(|_, _| Some(-0.5)).points(), 0.0);
}

#[test]
fn the_first_step_is_marked() {
    assert_eq!(clusters::assign(assign).points(), 2.0);
    // The last of equals.
    let last: clusters::AssignOf = |rows, centres| {
        let turned: Vec<Vec<f64>> = centres.iter().rev().cloned().collect();
        assign(rows, &turned).into_iter().map(|c| centres.len() - 1 - c).collect()
    };
    assert_eq!(clusters::assign(last).points(), 1.5);
    // The sum of the differences, without squares: others cancel.
    let sums: clusters::AssignOf = |rows, centres| {
        let of = |row: &Vec<f64>| {
            let far = |c: &Vec<f64>| row.iter().zip(c).map(|(a, b)| a - b).sum::<f64>().abs();
            (0..centres.len()).min_by(|&a, &b| far(&centres[a]).total_cmp(&far(&centres[b]))).unwrap()
        };
        rows.iter().map(of).collect()
    };
    assert_eq!(clusters::assign(sums).points(), 0.5);
    assert_eq!(clusters::assign(|rows, _| vec![0; rows.len()]).points(), 0.0);
}

#[test]
fn the_second_step_is_marked() {
    assert_eq!(clusters::update(update).points(), 4.0);
    // A centre without rows stays.
    assert_eq!(clusters::update(means).points(), 2.0);
    // 0 / 0.
    let divides: clusters::UpdateOf = |rows, labels, centres| {
        let mut moved = means(rows, labels, centres);
        for (_, centre) in moved.iter_mut().enumerate().filter(|(c, _)| !labels.contains(c)) {
            centre.iter_mut().for_each(|x| *x = f64::NAN);
        }
        moved
    };
    assert_eq!(clusters::update(divides).points(), 1.5);
    // Takes the last row of a centre too.
    let takes: clusters::UpdateOf = |rows, labels, centres| means(rows, &filled(rows, labels, centres, false), centres);
    assert_eq!(clusters::update(takes).points(), 3.0);
    // The centres stay.
    assert_eq!(clusters::update(|_, _, centres| centres.to_vec()).points(), 0.5);
    holds_unwritten(clusters::update(|_, _, _| todo!()));
}

#[test]
fn inertia_is_marked() {
    assert_eq!(clusters::inertias(inertias).points(), 2.0);
    // Empty centres stay empty.
    assert_eq!(clusters::inertias(|rows, start, n| steps(rows, start, n, means)).points(), 1.5);
    // The centres do not move.
    let still: clusters::InertiasOf = |rows, start, n| steps(rows, start, n, |_, _, centres| centres.to_vec());
    assert_eq!(clusters::inertias(still).points(), 0.5);
    // After the move.
    let after: clusters::InertiasOf = |rows, start, n| inertias(rows, start, n + 1)[1..].to_vec();
    assert_eq!(clusters::inertias(after).points(), 0.5);
    // Ends early where nothing moves any more.
    let early: clusters::InertiasOf = |rows, start, n| {
        let mut found = inertias(rows, start, n);
        found.dedup();
        found
    };
    assert!(clusters::inertias(early).points() < 2.0);
    assert_eq!(clusters::inertias(|_, _, _| vec![5.0, 2.0]).points(), 0.0);
}

#[test]
fn the_table_on_emoji_is_there_whatever_is_written() {
    let table = clusters::on_emoji(assign, update, inertias, rand);
    println!("{}", table.to_text());
    assert_eq!(table.rows.len(), 5);
    assert!(table.rows[2..].iter().all(|row| row[1].text.parse::<f64>().is_ok()));
    let table = clusters::on_emoji(|_, _| todo!(), |_, _, _| todo!(), |_, _, _| panic!("no"), |_, _| todo!());
    let said: Vec<&str> = table.rows.iter().map(|row| row[1].text.as_str()).collect();
    assert_eq!((said[0], said[2], said[3]), ("it panicked: no", "not written yet", "not written yet"));
}
