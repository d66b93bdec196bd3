//! Checks of assignment 3: a right answer has all points, a half-right one exactly those of what it does right.

#[path = "support/marks.rs"]
mod marks;

use marks::holds_unwritten;
use std::collections::BTreeMap;
use wider_clip::course::neighbours as check;

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn distances(query: &[f64], references: &[Vec<f64>]) -> Vec<f64> {
    references.iter().map(|row| squared(query, row)).collect()
}

#[test]
fn distances_are_marked() {
    fn not_squared(query: &[f64], references: &[Vec<f64>]) -> Vec<f64> {
        references.iter().map(|row| squared(query, row).sqrt()).collect()
    }
    fn by_products(query: &[f64], references: &[Vec<f64>]) -> Vec<f64> {
        references.iter().map(|row| dot(query, query) - 2.0 * dot(query, row) + dot(row, row)).collect()
    }
    assert_eq!(check::distances(distances).points(), 2.0);
    holds_unwritten(check::distances(|_, _| todo!()));
    assert_eq!(check::distances(|_, _| vec![25.0, 1.0]).points(), 0.0);
    assert_eq!(check::distances(not_squared).points(), 0.5);
    assert_eq!(check::distances(by_products).points(), 1.5);
}

fn nearest(distances: &[f64], k: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..distances.len()).collect();
    places.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    places.truncate(k);
    places
}

#[test]
fn the_nearest_are_marked() {
    fn later_first(distances: &[f64], k: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..distances.len()).rev().collect();
        places.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        places.truncate(k);
        places
    }
    fn farthest(distances: &[f64], k: usize) -> Vec<usize> {
        nearest(&distances.iter().map(|distance| -distance).collect::<Vec<_>>(), k)
    }
    assert_eq!(check::nearest(nearest).points(), 3.0);
    holds_unwritten(check::nearest(|_, _| todo!()));
    assert_eq!(check::nearest(farthest).points(), 0.0);
    assert_eq!(check::nearest(later_first).points(), 2.0);
    assert_eq!(check::nearest(|distances, k| nearest(distances, distances.len())[..k].to_vec()).points(), 2.0);
}

fn vote(labels: &[u32]) -> Option<u32> {
    weighted(labels, &vec![0.0; labels.len()], 1.0)
}

#[test]
fn votes_are_marked() {
    fn highest(labels: &[u32]) -> Option<u32> {
        let mut votes = BTreeMap::new();
        labels.iter().for_each(|label| *votes.entry(*label).or_insert(0) += 1);
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(label, _)| label)
    }
    fn by_places(labels: &[u32]) -> Option<u32> {
        let mut votes = [0; 64];
        labels.iter().for_each(|&label| votes[label as usize] += 1);
        vote(labels)
    }
    assert_eq!(check::vote(vote).points(), 3.0);
    holds_unwritten(check::vote(|_| todo!()));
    assert_eq!(check::vote(|labels| Some(labels[0])).points(), 0.0);
    assert_eq!(check::vote(highest).points(), 2.0);
    assert_eq!(check::vote(by_places).points(), 2.5);
    assert_eq!(check::vote(|labels| Some(vote(labels).unwrap_or(0))).points(), 2.5);
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

#[test]
fn similarities_are_marked() {
    fn not_zero(a: &[f64], b: &[f64]) -> f64 {
        dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
    }
    fn a_little_more(a: &[f64], b: &[f64]) -> f64 {
        dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt() + 1e-12)
    }
    assert_eq!(check::cosine(cosine).points(), 3.0);
    holds_unwritten(check::cosine(|_, _| todo!()));
    assert_eq!(check::cosine(|_, _| 0.0).points(), 0.0);
    assert_eq!(check::cosine(dot).points(), 0.0);
    assert_eq!(check::cosine(not_zero).points(), 2.0);
    assert_eq!(check::cosine(a_little_more).points(), 2.0);
}

fn weighted(labels: &[u32], similarities: &[f64], temperature: f64) -> Option<u32> {
    let most = similarities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    by_weights(labels, similarities, |s| ((s - most) / temperature).exp())
}

fn by_weights(labels: &[u32], similarities: &[f64], weight: impl Fn(f64) -> f64) -> Option<u32> {
    let mut votes: BTreeMap<u32, f64> = BTreeMap::new();
    labels.iter().zip(similarities).for_each(|(label, s)| *votes.entry(*label).or_default() += weight(*s));
    let first = votes.iter().next().map(|(label, weight)| (*label, *weight))?;
    Some(votes.into_iter().fold(first, |best, next| if next.1 > best.1 { next } else { best }).0)
}

#[test]
fn weighted_votes_are_marked() {
    assert_eq!(check::weighted_vote(weighted).points(), 3.0);
    holds_unwritten(check::weighted_vote(|_, _, _| todo!()));
    assert_eq!(check::weighted_vote(|_, _, _| Some(3)).points(), 0.0);
    // exp(s / T) as it stands.
    assert_eq!(check::weighted_vote(|labels, s, t| by_weights(labels, s, |s| (s / t).exp())).points(), 2.0);
    // The temperature is ignored; all weights are ignored.
    assert_eq!(check::weighted_vote(|labels, s, _| by_weights(labels, s, f64::exp)).points(), 1.0);
    assert_eq!(check::weighted_vote(|labels, _, _| vote(labels)).points(), 1.0);
}

fn classifier(train: &[Vec<f64>], labels: &[u32], queries: &[Vec<f64>], k: usize, t: Option<f64>) -> Vec<u32> {
    let class = |query: &Vec<f64>| {
        let far: Vec<f64> = match t {
            None => distances(query, train),
            Some(_) => train.iter().map(|row| 1.0 - cosine(query, row)).collect(),
        };
        let near = nearest(&far, k);
        let own: Vec<u32> = near.iter().map(|&row| labels[row]).collect();
        match t {
            None => vote(&own),
            Some(t) => weighted(&own, &near.iter().map(|&row| 1.0 - far[row]).collect::<Vec<_>>(), t),
        }
    };
    queries.iter().map(|query| class(query).expect("a neighbour")).collect()
}

#[test]
fn classifiers_are_marked() {
    type Rows<'a> = &'a [Vec<f64>];
    fn of_enough(train: Rows, labels: &[u32], queries: Rows, k: usize, t: Option<f64>) -> Vec<u32> {
        assert!(k <= train.len());
        classifier(train, labels, queries, k, t)
    }
    fn one_vote_each(train: Rows, labels: &[u32], queries: Rows, k: usize, _: Option<f64>) -> Vec<u32> {
        classifier(train, labels, queries, k, None)
    }
    fn highest_of_ties(train: Rows, labels: &[u32], queries: Rows, k: usize, t: Option<f64>) -> Vec<u32> {
        let turned: Vec<u32> = labels.iter().map(|label| 100 - label).collect();
        classifier(train, &turned, queries, k, t).into_iter().map(|label| 100 - label).collect()
    }
    assert_eq!(check::classifier(classifier).points(), 4.0);
    holds_unwritten(check::classifier(|_, _, _, _, _| todo!()));
    assert_eq!(check::classifier(|_, _, queries, _, _| vec![0; queries.len()]).points(), 0.0);
    assert_eq!(check::classifier(of_enough).points(), 3.0);
    assert_eq!(check::classifier(one_vote_each).points(), 2.0);
    assert_eq!(check::classifier(highest_of_ties).points(), 3.0);
}

#[test]
fn a_table_is_made_of_any_answer() {
    let table = check::emoji_table(classifier);
    assert_eq!(table.rows.len(), 3);
    for row in &table.rows {
        assert_eq!(row[1].text, row[2].text);
        assert!(row[1].text.ends_with('%'), "{row:?}");
    }
    assert!(check::emoji_table(|_, _, _, _, _| todo!()).rows.iter().all(|row| row[1].text == "not written yet"));
    let short = check::emoji_table(|_, _, _, _, _| vec![]);
    assert!(short.rows.iter().all(|row| row[1].text == "one class per query is missing"));
}
