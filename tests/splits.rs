//! Splits: the study's counts, disjoint and complete parts, groups that never cross, and draws that never change.

#[path = "support/pools.rs"]
mod pools;

use std::collections::BTreeSet;

use pools::{assert_complete, counts, pool};
use wider_clip::error::Error;
use wider_clip::random::Random;
use wider_clip::splits::{
    ClassDraw, Shortage, Split, balanced_subset, draw_per_class, enough, grouped_split, leaky_split, stratified_subset,
    study_counts, study_split,
};

/// FNV-1a over the indices of train, val, test and unused, with a mark between the parts.
fn hash(split: &Split) -> u64 {
    let mark = [usize::MAX];
    let parts: [&[usize]; 7] = [&split.train, &mark, &split.val, &mark, &split.test, &mark, &split.unused];
    parts
        .concat()
        .iter()
        .flat_map(|index| (*index as u64).to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn counts_follow_the_rule_for_every_budget() {
    for smallest in 0..1300 {
        for budget in [0, 1, 2, 3, 4, 5, 10, 33, 100, 1000, usize::MAX] {
            let n = budget.min(smallest * 4 / 5);
            // ceil(3 n / 4) - 1, as the study's table has it.
            let train = (3 * n).div_ceil(4) as i64 - 1;
            match study_counts(budget, smallest) {
                Ok(counts) => {
                    assert_eq!((counts.drawn, counts.train as i64, counts.val), (n, train, n / 4));
                    assert!(counts.train + counts.val < smallest);
                }
                Err(_) => assert!(train < 1, "{budget} {smallest}"),
            }
        }
    }
    assert!(study_counts(10, usize::MAX).is_ok());
}

#[test]
fn plain_splits_are_complete_nested_and_differ_by_seed() {
    let labels = pool(500, 7, 40);
    let split = |budget, seed| study_split(&labels, 7, budget, seed, Shortage::Fail).unwrap();
    for seed in 0..20 {
        let (small, large) = (split(10, seed), split(100, seed));
        assert_complete(&small, 500);
        assert_complete(&large, 500);
        assert!(small.unused.is_empty() && small.capped().next().is_none());
        assert!(small.train.iter().all(|image| large.train.contains(image)));
        assert!(small.val.iter().all(|image| large.val.contains(image)));
        assert_eq!(small, split(10, seed));
        assert_ne!(small.train, split(10, seed + 1).train);
    }
}

#[test]
fn a_class_does_not_depend_on_the_others() {
    let labels = [vec![0; 40], vec![1; 40]].concat();
    let three = [labels.clone(), vec![2; 60]].concat();
    let first = |split: &Split| split.train.iter().copied().filter(|&image| image < 80).collect::<Vec<_>>();
    let (two, three) = (
        study_split(&labels, 2, 10, 3, Shortage::Fail).unwrap(),
        study_split(&three, 3, 10, 3, Shortage::Fail).unwrap(),
    );
    assert_eq!(first(&two), first(&three));
}

#[test]
fn capped_classes_give_what_they_have_and_say_so() {
    let labels = [vec![0; 100], vec![1; 8], vec![2; 3]].concat();
    let split = study_split(&labels, 4, 10, 0, Shortage::Cap).unwrap();
    assert_complete(&split, 111);
    let given: Vec<_> = split.report.iter().map(|draw| (draw.train, draw.val, draw.test)).collect();
    assert_eq!(given, [(7, 2, 91), (7, 1, 0), (3, 0, 0), (0, 0, 0)]);
    assert!(split.report.iter().all(|draw| (draw.wanted_train, draw.wanted_val) == (7, 2)));
    assert_eq!(split.capped().map(|draw| draw.class).collect::<Vec<_>>(), [1, 2, 3]);

    let drawn = draw_per_class(&labels, 4, 7, 0, Shortage::Cap).unwrap();
    assert_eq!(counts(&drawn, &labels, 4), [7, 7, 3, 0]);
}

/// Shares of 5.2, 3.0 and 1.8: the image that is missing goes to the largest remainder, not to the largest class.
#[test]
fn the_largest_remainder_gets_what_is_missing() {
    let labels = [vec![0; 52], vec![1; 30], vec![2; 18]].concat();
    let subset = stratified_subset(&labels, 3, 10, 0).unwrap();
    assert_eq!(counts(&subset, &labels, 3), [5, 3, 2]);
}

#[test]
fn a_class_is_capped_by_what_it_lacks_in_either_part() {
    let draw = |class, train, val| ClassDraw {
        class,
        wanted_train: 7,
        train,
        train_groups: train,
        wanted_val: 2,
        val,
        val_groups: val,
        test: 5,
        test_groups: 5,
    };
    // Whole groups may bring more than was wanted.
    let report =
        vec![draw(0, 7, 2), draw(1, 6, 2), draw(2, 7, 1), draw(3, 6, 1), draw(4, 8, 3), draw(5, 6, 3), draw(6, 8, 1)];
    let split = Split { train: vec![], val: vec![], test: vec![], unused: vec![], report };
    assert_eq!(split.capped().map(|draw| draw.class).collect::<Vec<_>>(), [1, 2, 3, 5, 6]);
}

#[test]
fn subsets_are_balanced_or_in_proportion() {
    let labels = pool(1000, 2, 90);
    let subset = balanced_subset(&labels, 2, 90, 5).unwrap();
    assert_eq!(counts(&subset, &labels, 2), [90, 90]);
    assert!(subset.is_sorted());
    assert!(balanced_subset(&labels, 2, 91, 5).unwrap_err().to_string().contains("at least 91, found 90 in class 0"));

    let labels = pool(997, 9, 20);
    for max_images in [0, 1, 9, 100, 500, 996, 997, 2000] {
        let subset = stratified_subset(&labels, 9, max_images, 1).unwrap();
        assert_eq!(subset.len(), max_images.min(997));
        let (all, some) = (counts(&(0..997).collect::<Vec<_>>(), &labels, 9), counts(&subset, &labels, 9));
        for (all, some) in all.into_iter().zip(some) {
            let share = all as f64 * subset.len() as f64 / 997.0;
            assert!((some as f64 - share).abs() < 1.0, "{some} of {share}");
        }
    }
}

/// A random problem: classes with 3 to 12 groups of 1 to 9 images, mixed; group keys are numbers.
fn problem(seed: u64) -> (Vec<u32>, Vec<u32>, usize) {
    let mut random = Random::new("test problem", seed, 0);
    let n_classes = 1 + random.below(6);
    let mut images = Vec::new();
    let mut group = 0;
    for class in 0..n_classes as u32 {
        for _ in 0..3 + random.below(10) {
            for _ in 0..1 + random.below(9) {
                images.push((class, group));
            }
            group += 1;
        }
    }
    random.shuffle(&mut images);
    let (labels, groups) = images.into_iter().unzip();
    (labels, groups, n_classes)
}

#[test]
fn no_group_crosses_a_split() {
    let mut n_done = 0;
    for seed in 0..250 {
        let (labels, groups, n_classes) = problem(seed);
        let budget = [4, 10, 100][seed as usize % 3];
        let Ok(split) = grouped_split(&labels, &groups, n_classes, budget, seed) else {
            // Only where the smallest class is too small for any training image.
            let smallest = counts(&(0..labels.len()).collect::<Vec<_>>(), &labels, n_classes).into_iter().min();
            assert!(study_counts(budget, smallest.unwrap()).is_err());
            continue;
        };
        assert_complete(&split, labels.len());
        let of = |part: &[usize]| part.iter().map(|&image| groups[image]).collect::<BTreeSet<_>>();
        let (train, val, test, unused) = (of(&split.train), of(&split.val), of(&split.test), of(&split.unused));
        assert!(train.is_disjoint(&val) && train.is_disjoint(&test) && val.is_disjoint(&test));
        assert!(test.is_disjoint(&unused));
        assert_eq!(split.leaked(&groups).unwrap(), 0);
        check_report(&split, &labels, &groups);

        // The deal does not move with the budget.
        let other = grouped_split(&labels, &groups, n_classes, budget + 1, seed).unwrap();
        assert_eq!(other.test, split.test);
        assert!(split.train.iter().all(|image| other.train.contains(image)));

        // The leaky arm has the same counts in every class.
        let leaky = leaky_split(&labels, &groups, &split, seed).unwrap();
        assert_complete(&leaky, labels.len());
        for (ours, theirs) in [(&leaky.train, &split.train), (&leaky.val, &split.val), (&leaky.test, &split.test)] {
            assert_eq!(counts(ours, &labels, n_classes), counts(theirs, &labels, n_classes));
        }
        for draw in &leaky.report {
            let distinct = |part: &[usize]| {
                let of_class = part.iter().filter(|&&image| labels[image] == draw.class);
                of_class.map(|&image| groups[image]).collect::<BTreeSet<_>>().len()
            };
            assert_eq!(
                (draw.train_groups, draw.val_groups, draw.test_groups),
                (distinct(&leaky.train), distinct(&leaky.val), distinct(&leaky.test)),
                "groups of the leaky arm"
            );
        }
        n_done += 1;
    }
    assert!(n_done >= 200, "{n_done}");
}

/// The report counts what is there; one image of each group comes before a second of any.
fn check_report(split: &Split, labels: &[u32], groups: &[u32]) {
    for draw in &split.report {
        let of_class = |part: &[usize]| {
            part.iter().filter(|&&image| labels[image] == draw.class).map(|&image| groups[image]).collect::<Vec<_>>()
        };
        let distinct = |groups: &[u32]| groups.iter().collect::<BTreeSet<_>>().len();
        let (train, val, test) = (of_class(&split.train), of_class(&split.val), of_class(&split.test));
        assert_eq!((draw.train, draw.train_groups), (train.len(), distinct(&train)));
        assert_eq!((draw.val, draw.val_groups), (val.len(), distinct(&val)));
        assert_eq!((draw.test, draw.test_groups), (test.len(), distinct(&test)));
        assert!(draw.train >= 1 && draw.test >= 1);
        assert!(draw.train <= draw.wanted_train && draw.val <= draw.wanted_val);

        let used: BTreeSet<u32> = train.iter().chain(&val).copied().collect();
        let unused = of_class(&split.unused);
        for part in [&train, &val] {
            let n_used = |group: u32| part.iter().filter(|&&other| other == group).count();
            let most = part.iter().map(|&group| n_used(group)).max().unwrap_or(0);
            // A group that is two rounds behind another has nothing left to give.
            let behind = part.iter().filter(|&&group| n_used(group) + 1 < most);
            assert!(behind.into_iter().all(|group| !unused.contains(group)));
        }
        // A group left out altogether means that nobody in its part gave two.
        for &group in unused.iter().filter(|group| !used.contains(group)) {
            let some_part = [&train, &val].into_iter().any(|part| distinct(part) == part.len());
            assert!(some_part, "group {group} was left out while others gave two");
        }
        // Images left over in a part that was capped would mean that the cap was not one.
        if draw.train < draw.wanted_train && draw.val < draw.wanted_val {
            assert!(unused.is_empty());
        }
    }
}

#[test]
fn groups_are_dealt_about_sixty_fifteen_twenty_five() {
    let labels = vec![0; 300];
    let groups: Vec<String> = (0..300).map(|image| format!("g{}", image / 3)).collect();
    let split = grouped_split(&labels, &groups, 1, 1000, 0).unwrap();
    let draw = split.report[0];
    assert_eq!((draw.train_groups, draw.val_groups, draw.test_groups), (60, 15, 25));
    // 240 may be drawn: 179 and 60 are wanted, 180 and 45 are there.
    assert_eq!((draw.wanted_train, draw.train, draw.wanted_val, draw.val), (179, 179, 60, 45));
    assert_eq!(split.capped().count(), 1);
    assert_eq!(split.unused.len(), 1);

    let mut tests = BTreeSet::new();
    for seed in 0..10 {
        tests.insert(grouped_split(&labels, &groups, 1, 10, seed).unwrap().test);
    }
    assert_eq!(tests.len(), 10);
}

#[test]
fn leakage_is_counted() {
    let labels: Vec<u32> = (0..400).map(|image| image / 200).collect();
    let groups: Vec<u32> = (0..400).map(|image| image / 8).collect();
    let grouped = grouped_split(&labels, &groups, 2, 100, 0).unwrap();
    let leaky = leaky_split(&labels, &groups, &grouped, 0).unwrap();
    assert_eq!(grouped.leaked(&groups).unwrap(), 0);
    // 74 of a class's 200 images are in train: a test image has none of its 7 twins there with chance 0.63^7 = 4%.
    let n_leaked = |seed| leaky_split(&labels, &groups, &grouped, seed).unwrap().leaked(&groups).unwrap();
    let share = (0..50).map(n_leaked).sum::<usize>() as f64 / (50 * leaky.test.len()) as f64;
    assert!((share - 0.96).abs() < 0.015, "{share}");
    assert!(leaky.leaked(&groups[1..]).is_err());
    assert!(leaky_split(&labels[..300], &groups[..300], &grouped, 0).is_err());
}

#[test]
fn draws_are_the_same_on_every_machine() {
    let labels: Vec<u32> = (0..600).map(|image| image % 6).collect();
    let groups: Vec<u32> = (0..600).map(|image| image % 6 * 1000 + image / 30).collect();
    let hashes = |seed| {
        let grouped = grouped_split(&labels, &groups, 6, 10, seed).unwrap();
        let plain = study_split(&labels, 6, 10, seed, Shortage::Fail).unwrap();
        [hash(&plain), hash(&grouped), hash(&leaky_split(&labels, &groups, &grouped, seed).unwrap())]
    };
    assert_eq!(hashes(0), [0xf3da_bb16_061a_83ed, 0x9c1e_a4eb_7f00_975d, 0xa9f1_1a9c_1e45_117d]);
    assert_eq!(hashes(1), [0x280b_44e6_0096_48fd, 0x4a67_34c2_333a_9a69, 0xe9fa_f058_7786_66b9]);
    assert_eq!(balanced_subset(&labels, 6, 1, 0).unwrap(), [93, 131, 140, 280, 396, 535]);
    assert_eq!(stratified_subset(&labels, 6, 6, 0).unwrap(), [59, 404, 453, 468, 481, 574]);
}

#[test]
fn below_is_fair_and_shuffles_are_permutations() {
    let mut random = Random::new("test fairness", 0, 0);
    let mut seen = [0usize; 7];
    (0..70_000).for_each(|_| seen[random.below(7)] += 1);
    // Six degrees of freedom: chi-squared passes 22.5 once in a thousand seeds, and the seed is fixed.
    let chi_squared: f64 = seen.iter().map(|&n| (n as f64 - 10_000.0).powi(2) / 10_000.0).sum();
    assert!(chi_squared < 22.5, "{chi_squared}");
    assert_eq!((random.below(0), random.below(1)), (0, 0));
    let mut orders = BTreeSet::new();
    for _ in 0..500 {
        let mut items = [0, 1, 2, 3];
        random.shuffle(&mut items);
        orders.insert(items);
    }
    assert_eq!(orders.len(), 24);
}

#[test]
fn bad_input_is_an_error_that_says_what() {
    let text = |result: wider_clip::error::Result<Split>| match result {
        Err(error @ Error::Argument { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let plain = |labels: &[u32], n_classes, budget| study_split(labels, n_classes, budget, 0, Shortage::Fail);
    assert!(text(plain(&[], 2, 10)).contains("at least one image"));
    assert!(text(plain(&[0, 5], 2, 10)).contains("below the number of classes, 2, found 5 for image 1"));
    assert!(text(plain(&[0; 20], 2, 10)).contains("none in class 1"));
    assert!(text(plain(&[0; 20], 0, 10)).contains("below the number of classes, 0"));
    assert!(text(plain(&[0, 0, 1, 1], 2, 10)).contains("with 2 images in the smallest class"));
    assert!(text(plain(&[[0; 20], [1; 20]].concat(), 2, 1)).contains("a budget of 1"));

    let labels = [[0; 20], [1; 20]].concat();
    let keys: Vec<String> = (0..40).map(|image| format!("key{}", image / 4)).collect();
    let grouped = |keys: &[String], budget| grouped_split(&labels, keys, 2, budget, 0);
    assert!(text(grouped(&keys[..39], 10)).contains("expected 40, one an image, found 39"));
    assert!(text(grouped(&keys, 0)).contains("a budget of 0"));
    let mut crossing = keys.clone();
    crossing[39] = "key0".into();
    assert!(text(grouped(&crossing, 10)).contains("labels 0 and 1 in group `key0`"));
    let few: Vec<String> = (0..40).map(|image| format!("key{}", image / 10)).collect();
    assert!(text(grouped(&few, 10)).contains("at least 3, for train, val and test, found 2 in class 0"));
}

#[test]
fn a_pool_has_what_a_split_needs() {
    let classes = ["ant", "bee", "cow"].map(String::from);
    let of = |counts: &[usize], budget, shortage| {
        let labels: Vec<u32> = (0..).zip(counts).flat_map(|(class, &n)| vec![class; n]).collect();
        enough("pets", &classes[..counts.len()], &labels, budget, shortage).map_err(|error| error.to_string())
    };
    for shortage in [Shortage::Fail, Shortage::Cap] {
        assert_eq!(of(&[3, 20], 10, shortage), Ok(()));
        assert_eq!(of(&[20, 3, 4], 2, shortage), Ok(()));
        for none in [&[0, 0][..], &[0; 3]] {
            let error = of(none, 10, shortage).unwrap_err();
            assert!(error.contains("at least 2 in the images that pets is split from, found no image"), "{error}");
        }
        let error = of(&[0, 20, 0], 10, shortage).unwrap_err();
        assert!(error.contains("add images of another class, found one, `bee`"), "{error}");
    }
    // Of a capped class there are as few as there are.
    assert_eq!(of(&[20, 1], 10, Shortage::Cap), Ok(()));
    assert_eq!(of(&[20, 1, 0], 1, Shortage::Cap), Ok(()));
    for (counts, budget, expected) in [
        (
            &[20, 2, 3][..],
            10,
            "at least 3 in every class of pets for a label budget of 10; add images, or leave the class \
                               out, found 2 in `bee`",
        ),
        (&[20, 2, 3], 2, "found 2 in `bee`"),
        (&[20, 20, 0], 10, "found 0 in `cow`"),
        (&[20, 20], 1, "at least 2 for pets, so that a class has a training image, found 1"),
        (&[20, 1], 1, "at least 2 for pets, so that a class has a training image, found 1"),
        (&[20, 20], 0, "found 0"),
    ] {
        let error = of(counts, budget, Shortage::Fail).unwrap_err();
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    }
}
