//! The checks of assignment 6: a right answer has all points, a typical wrong one exactly those of the cases that it passes.

#[path = "support/marks.rs"]
mod marks;

use marks::holds_unwritten;
use std::collections::BTreeSet;
use wider_clip::course::leakage;

fn plant(train: &[Vec<f64>], test: &[Vec<f64>], which: &[usize], shift: f64) -> Result<Vec<Vec<f64>>, String> {
    let mut all = train.to_vec();
    for &row in which {
        let copy = test.get(row).ok_or(format!("there is no test row {row}"))?;
        all.push(copy.iter().map(|x| x + shift).collect());
    }
    Ok(all)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn nearest(row: &[f64], train: &[Vec<f64>]) -> Option<(usize, f64)> {
    let mut best: Option<(usize, f64)> = None;
    for (i, other) in train.iter().enumerate() {
        let d = distance(row, other);
        if best.is_none_or(|(_, least)| d < least) {
            best = Some((i, d));
        }
    }
    best
}

fn suspects(train: &[Vec<f64>], test: &[Vec<f64>], most: f64) -> Vec<usize> {
    (0..test.len()).filter(|&i| nearest(&test[i], train).is_some_and(|(_, d)| d < most)).collect()
}

fn leaked(train: &[u32], test: &[u32]) -> Vec<usize> {
    (0..test.len()).filter(|&i| train.contains(&test[i])).collect()
}

fn one_nn(rows: &[Vec<f64>], labels: &[u32], (train, test): leakage::Parts) -> Option<f64> {
    if test.is_empty() {
        return None;
    }
    let known: Vec<Vec<f64>> = train.iter().map(|&i| rows[i].clone()).collect();
    let mut right = 0;
    for &i in test {
        right += usize::from(labels[train[nearest(&rows[i], &known)?.0]] == labels[i]);
    }
    Some(right as f64 / test.len() as f64)
}

fn gain(rows: &[Vec<f64>], labels: &[u32], leaky: leakage::Parts, grouped: leakage::Parts) -> Option<f64> {
    Some(one_nn(rows, labels, leaky)? - one_nn(rows, labels, grouped)?)
}

fn clean(train: &[(u32, u32)], test: &[(u32, u32)]) -> (Vec<usize>, Vec<usize>) {
    let tested = |group: u32| test.iter().any(|row| row.0 == group);
    let spare = |class: u32| train.iter().any(|row| row.1 == class && !tested(row.0));
    let kept: Vec<usize> = (0..train.len()).filter(|&i| !tested(train[i].0) || !spare(train[i].1)).collect();
    let trained = |group: u32| kept.iter().any(|&i| train[i].0 == group);
    let left = (0..test.len()).filter(|&i| !trained(test[i].0)).collect();
    (kept, left)
}

#[test]
fn planting_is_marked() {
    assert_eq!(leakage::plant(plant).points(), 3.0);
    // Panics at a row that is not there.
    let indexes: leakage::PlantOf = |train, test, which, shift| {
        let copies = which.iter().map(|&row| test[row].iter().map(|x| x + shift).collect());
        Ok(train.iter().cloned().chain(copies).collect())
    };
    assert_eq!(leakage::plant(indexes).points(), 2.0);
    // Copies come first.
    let first: leakage::PlantOf = |train, test, which, shift| {
        let mut all = plant(&[], test, which, shift)?;
        all.extend(train.iter().cloned());
        Ok(all)
    };
    assert_eq!(leakage::plant(first).points(), 1.0);
    // Forgets the shift.
    assert_eq!(leakage::plant(|train, test, which, _| plant(train, test, which, 0.0)).points(), 0.0);
    // Leaves the training rows as they are.
    assert_eq!(leakage::plant(|train, _, _, _| Ok(train.to_vec())).points(), 0.0);
    holds_unwritten(leakage::plant(|_, _, _, _| todo!()));
}

#[test]
fn the_nearest_row_is_marked() {
    assert_eq!(leakage::nearest(nearest).points(), 2.0);
    // The last of equals.
    let last: leakage::NearestOf = |row, train| {
        let all = train.iter().enumerate().map(|(i, other)| (i, distance(row, other)));
        all.min_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
    };
    assert_eq!(leakage::nearest(last).points(), 1.5);
    // Squared distances.
    assert_eq!(leakage::nearest(|row, train| nearest(row, train).map(|(i, d)| (i, d * d))).points(), 0.5);
    // Row 0 where there is none.
    assert_eq!(leakage::nearest(|row, train| nearest(row, train).or(Some((0, 0.0)))).points(), 1.5);
    assert_eq!(leakage::nearest(|_, _| Some((1, 1.0))).points(), 0.0);
}

#[test]
fn suspects_are_marked() {
    assert_eq!(leakage::suspects(suspects).points(), 3.0);
    let as_far_too: leakage::SuspectsOf = |train, test, most| {
        (0..test.len()).filter(|&i| nearest(&test[i], train).is_some_and(|(_, d)| d <= most)).collect()
    };
    assert_eq!(leakage::suspects(as_far_too).points(), 1.5);
    // Numbers of training rows.
    assert_eq!(leakage::suspects(|train, test, most| suspects(test, train, most)).points(), 0.5);
    // Panics without training rows.
    let unwraps: leakage::SuspectsOf =
        |train, test, most| (0..test.len()).filter(|&i| nearest(&test[i], train).unwrap().1 < most).collect();
    assert_eq!(leakage::suspects(unwraps).points(), 2.5);
    assert_eq!(leakage::suspects(|_, _, _| vec![0, 2]).points(), 0.0);
}

#[test]
fn shared_groups_are_marked() {
    assert_eq!(leakage::leaked(leaked).points(), 2.0);
    // Groups in place of rows.
    let groups: leakage::LeakedOf = |train, test| leaked(train, test).iter().map(|&i| test[i] as usize).collect();
    assert_eq!(leakage::leaked(groups).points(), 0.0);
    // Training rows in place of test rows.
    assert_eq!(leakage::leaked(|train, test| leaked(test, train)).points(), 0.0);
    assert_eq!(leakage::leaked(|_, _| vec![]).points(), 0.0);
    // Looks at the neighbour in the list alone.
    let by_place: leakage::LeakedOf =
        |train, test| (0..test.len()).filter(|&i| train.get(i) == Some(&test[i])).collect();
    assert_eq!(leakage::leaked(by_place).points(), 1.0);
}

#[test]
fn the_gain_is_marked() {
    assert_eq!(leakage::gain(gain).points(), 4.0);
    // Grouped minus leaky.
    assert_eq!(leakage::gain(|rows, labels, leaky, grouped| gain(rows, labels, grouped, leaky)).points(), 1.0);
    // Never below 0.
    assert_eq!(
        leakage::gain(|rows, labels, leaky, grouped| gain(rows, labels, leaky, grouped).map(f64::abs)).points(),
        3.5
    );
    // 0 for a part without rows.
    assert_eq!(
        leakage::gain(|rows, labels, leaky, grouped| gain(rows, labels, leaky, grouped).or(Some(0.0))).points(),
        3.0
    );
    // The place in the part taken for the row.
    let by_place: leakage::GainOf = |rows, labels, leaky, grouped| {
        let of = |(train, test): leakage::Parts| {
            let known: Vec<Vec<f64>> = train.iter().map(|&i| rows[i].clone()).collect();
            let right = |&&i: &&usize| nearest(&rows[i], &known).is_some_and(|(at, _)| labels[at] == labels[i]);
            (!train.is_empty() && !test.is_empty())
                .then(|| test.iter().filter(right).count() as f64 / test.len() as f64)
        };
        Some(of(leaky)? - of(grouped)?)
    };
    assert_eq!(leakage::gain(by_place).points(), 1.0);
    assert_eq!(leakage::gain(|_, _, _, _| Some(0.15)).points(), 0.0);
}

#[test]
fn a_clean_split_is_marked() {
    assert_eq!(leakage::clean(clean).points(), 4.0);
    // Training rows go whatever that costs.
    let loses: leakage::CleanOf = |train, test| {
        let kept = (0..train.len()).filter(|&i| test.iter().all(|row| row.0 != train[i].0)).collect();
        (kept, (0..test.len()).collect())
    };
    assert_eq!(leakage::clean(loses).points(), 2.5);
    // Test rows go, always.
    let shortens: leakage::CleanOf = |train, test| {
        let groups: BTreeSet<u32> = train.iter().map(|row| row.0).collect();
        ((0..train.len()).collect(), (0..test.len()).filter(|&i| !groups.contains(&test[i].0)).collect())
    };
    assert_eq!(leakage::clean(shortens).points(), 0.0);
    // Nothing goes.
    assert_eq!(leakage::clean(|train, test| ((0..train.len()).collect(), (0..test.len()).collect())).points(), 0.0);
    holds_unwritten(leakage::clean(|_, _| todo!()));
}

#[test]
fn the_table_on_emoji_is_there_whatever_is_written() {
    let table = leakage::on_emoji(leaked, suspects, gain);
    println!("{}", table.to_text());
    assert_eq!(table.rows.len(), 3);
    assert_eq!(table.rows[1][2].text, "0");
    let counts: Vec<usize> = table.rows[..2].iter().map(|row| row[3].text.parse().unwrap()).collect();
    assert!(counts[0] > counts[1]);
    let table = leakage::on_emoji(|_, _| todo!(), |_, _, _| panic!("no"), |_, _, _, _| todo!());
    assert_eq!(table.rows[0][2].text, "not written yet");
    assert_eq!(table.rows[0][3].text, "it panicked: no");
    assert_eq!(table.rows[2][4].text, "not written yet");
}
