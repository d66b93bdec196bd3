//! Checks of assignment 8, *Audit a study*: test images counted from printed fractions, intervals of published accuracies, who is
//! clearly first, and a verdict on a claim. Each task has cases with the study's columns and cases with changed ones.

use super::on_data::{attempt, table_or};
use super::sheet::{Marks, Said, Sheet, near, same, seed};
use crate::display::Table;
use crate::error::Result as OurResult;
use crate::metrics::{self, SameImages};
use crate::project::Project;
use crate::published::PublishedTable::{self, GeneralFinetune, GeneralProbe};
use crate::published::audit::columns::Column as Published;
use crate::published::audit::{Audit, EFFICIENTNETS};
use crate::random::Random;

/// A column of a results table: the number of test images, and name and accuracy of each model.
pub type Column = (usize, Vec<(String, f64)>);
/// Printed fractions and the largest number that is asked about in; the numbers of images that fit all of them out.
pub type DenominatorsOf = fn(&[&str], usize) -> Option<Vec<usize>>;
/// An accuracy and a number of images in; both ends of its interval out.
pub type IntervalOf = fn(f64, usize) -> Option<(f64, f64)>;
/// Two accuracies on the same images in; whether they are apart if answers are independent, and whether in the kindest case, out.
pub type ClearOf = fn(f64, f64, usize) -> (bool, bool);
/// A column's models and the number of images in; the first and how clearly it is first out.
pub type FirstOf = fn(&[(String, f64)], usize) -> Option<(String, String)>;
/// Columns and two names in; the verdict on "the first of both is better" out.
pub type VerdictOf = fn(&[Column], &str, &str) -> Option<String>;

fn audit() -> Result<Audit, String> {
    let read = || -> OurResult<Audit> { Audit::read(Project::find()?.root()) };
    read().map_err(|error| error.to_string())
}

/// A group of tables, data set, method and budget.
type Place = (PublishedTable, &'static str, &'static str, usize);

/// The column at a place.
fn find(audit: &Audit, (table, dataset, method, budget): Place) -> Result<&Published, String> {
    let here = |column: &&Published| column.table == table && column.is(dataset, "test", method, budget);
    audit.all.iter().find(here).ok_or_else(|| format!("no column of {dataset}, {method}, {budget}"))
}

/// The digits of a column as they were printed.
fn printed<'a>(audit: &'a Audit, column: &Published) -> Vec<&'a str> {
    let of = audit.results.iter().filter(|result| {
        let key = &result.key;
        (key.table, &key.dataset, &key.split, &key.method, key.budget)
            == (column.table, &column.dataset, &column.split, &column.method, Some(column.budget))
    });
    of.map(|result| result.printed.as_str()).collect()
}

/// The largest number of images that the library asks about.
fn most(column: &Published) -> usize {
    (13 * column.n_table / 10).max(2000)
}

/// The numbers of images from 2 to `most` of which every printed fraction is a whole part, ascending: `n` fits a value where
/// round(value n) / n is at most 0.6 units of the value's last printed decimal off; of more than six decimals the sixth is the last.
/// `None` where nothing is printed, or something that is no number from 0 to 1.
pub fn denominators(f: DenominatorsOf) -> Marks {
    let ask = move |printed: &[&str], most: usize| {
        let library = metrics::denominators(printed, most).map_err(|error| error.to_string())?;
        same(f(printed, most), Some(library))
    };
    Sheet::new("test images from digits", 4.0)
        .visible("0.143 and 0.429: 1/7 and 3/7", move || same(f(&["0.143", "0.429"], 20), Some(vec![7, 14])))
        .hidden("columns of the study", 1.0, move || {
            let audit = audit()?;
            let asked: [Place; 4] = [
                (GeneralProbe, "dtd", "knn", 10),
                (GeneralProbe, "isic", "lr", 100),
                (GeneralFinetune, "flowers102", "knn", 10),
                (GeneralProbe, "ucmerced", "knn", 100),
            ];
            asked.into_iter().try_for_each(|of| {
                let column = find(&audit, of)?;
                ask(&printed(&audit, column), most(column))
            })
        })
        .hidden("columns of other studies", 1.5, move || {
            let mut random = Random::new("course, printed columns", seed(), 0);
            (0..5).try_for_each(|_| {
                let n = 150 + random.below(900);
                let texts: Vec<String> =
                    (0..8).map(|_| format!("{:.6}", (1 + random.below(n - 1)) as f64 / n as f64)).collect();
                ask(&texts.iter().map(String::as_str).collect::<Vec<&str>>(), 1600)
            })
        })
        .hidden("few decimals, none, and more than six", 1.0, move || {
            ask(&["0.5", "0.25"], 40)?;
            ask(&["0.33", "1", "0"], 60)?;
            ask(&["0.84", "0.2"], 200)?;
            // Binary fractions, printed to more digits than they are good for.
            ask(&["0.0784313769", "0.13071898"], 700)
        })
        .hidden("nothing printed, no number, no fraction", 0.5, move || {
            same(f(&[], 50), None)?;
            same(f(&["0.5", "n/a"], 50), None)?;
            same(f(&["0.5", "57.1"], 50), None)?;
            same(f(&["-0.1"], 50), None)
        })
        .marks()
}

/// Wilson's 95% interval of an accuracy on `n` images; `None` where there is no image, or the accuracy is no number from 0 to 1.
pub fn interval(f: IntervalOf) -> Marks {
    let ask = move |accuracy: f64, n: usize| {
        let (low, high) = metrics::wilson(accuracy, n as f64).map_err(|error| error.to_string())?;
        match f(accuracy, n) {
            Some(found) => near(found.0, low, 1e-4).and_then(|()| near(found.1, high, 1e-4)),
            None => same(None, Some((low, high))),
        }
    };
    Sheet::new("interval of an accuracy", 2.0)
        .visible("0.5 of 100", move || ask(0.5, 100))
        .hidden("accuracies of the study", 0.5, move || {
            let audit = audit()?;
            [("dtd", "lr", 100), ("isic", "knn", 10), ("flowers102", "lr", 10)].into_iter().try_for_each(
                |(set, by, labels)| {
                    let column = find(&audit, (GeneralProbe, set, by, labels))?;
                    column.accuracies.iter().try_for_each(|(_, accuracy)| ask(*accuracy, column.n))
                },
            )
        })
        .hidden("other accuracies", 0.5, move || {
            let mut random = Random::new("course, accuracies", seed(), 0);
            (0..100).try_for_each(|_| ask(random.unit(), 1 + random.below(4000)))
        })
        .hidden("0 and 1", 0.5, move || [3, 80].into_iter().try_for_each(|n| ask(0.0, n).and_then(|()| ask(1.0, n))))
        .hidden("no image; no fraction", 0.5, move || {
            same(f(0.5, 0), None)?;
            same(f(1.2, 50), None)?;
            same(f(-0.1, 50), None)?;
            same(f(f64::NAN, 50), None)
        })
        .marks()
}

/// Whether both are apart at 95% by the library; `None` where 1.96 or another digit of it would decide.
fn library_clear(a: f64, b: f64, n: usize) -> Result<Option<(bool, bool)>, String> {
    let p = SameImages::new(a, b, n).map_err(|error| error.to_string())?;
    let close = (0.0495..0.0505).contains(&p.independent);
    Ok((!close).then_some((p.independent < 0.05, p.nested < 0.05)))
}

/// Two booleans: whether accuracies `a` and `b` of the same `n` images are apart if their right answers are independent of each other
/// (the difference is more than 1.96 times the root of (a (1 - a) + b (1 - b)) / n), and whether they are in the kindest case (what
/// one has right, the other has too: McNemar's test of d images against none, 2 / 2^d below 0.05, with d the nearest whole number to
/// n times the difference).
pub fn clear(f: ClearOf) -> Marks {
    let ask = move |a: f64, b: f64, n: usize| match library_clear(a, b, n)? {
        Some(expected) => same(f(a, b, n), expected),
        None => Ok(()),
    };
    Sheet::new("apart or not", 4.0)
        .visible("0.51 and 0.50 of 1,000 images", move || same(f(0.51, 0.50, 1000), (false, true)))
        .hidden("neighbours in columns of the study", 1.0, move || {
            let audit = audit()?;
            [("dtd", "lr", 10), ("isic", "knn", 100), ("fgvc_aircraft", "knn", 10)].into_iter().try_for_each(
                |(set, by, labels)| {
                    let column = find(&audit, (GeneralProbe, set, by, labels))?;
                    column.ranked().windows(2).try_for_each(|pair| ask(pair[0].1, pair[1].1, column.n))
                },
            )
        })
        .hidden("other pairs", 1.5, move || {
            let mut random = Random::new("course, two accuracies", seed(), 0);
            (0..300).try_for_each(|_| {
                let n = 30 + random.below(2000);
                let a = random.below(n);
                let b = (a + random.below(n / 8)).min(n);
                ask(a as f64 / n as f64, b as f64 / n as f64, n)
            })
        })
        .hidden("the same pair in the other order; equal accuracies", 1.0, move || {
            ask(0.9, 0.6, 200)?;
            ask(0.6, 0.9, 200)?;
            ask(0.50, 0.52, 1000)?;
            [0.0, 0.37, 1.0].into_iter().try_for_each(|a| same(f(a, a, 100), (false, false)))
        })
        .hidden("a few images more", 0.5, move || {
            (0..12).try_for_each(|more| ask(0.5, 0.5 + f64::from(more) / 1000.0, 1000))
        })
        .marks()
}

/// The first model of a column and one of three words; `None` where it could go either way for want of digits.
fn library_first(models: &[(String, f64)], n: usize) -> Result<Option<(String, String)>, String> {
    let mut ranked: Vec<&(String, f64)> = models.iter().collect();
    // Stable: of equals the one that is listed first.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let word = match library_clear(ranked[0].1, ranked[1].1, n)? {
        None => return Ok(None),
        Some((true, _)) => "clear",
        Some((false, true)) => "open",
        Some((false, false)) => "never",
    };
    Ok(Some((ranked[0].0.clone(), word.to_string())))
}

/// A column of the study with other accuracies: the old ones dealt to other models and moved, on another number of images.
fn changed(column: &Published, random: &mut Random) -> Column {
    let n = column.n / 2 + random.below(column.n);
    let mut values: Vec<f64> = column.accuracies.iter().map(|(_, accuracy)| *accuracy).collect();
    random.shuffle(&mut values);
    let moved = |value: f64, random: &mut Random| {
        let x = value + 0.06 * (random.unit() - 0.5);
        (x.clamp(0.0, 1.0) * n as f64).round() / n as f64
    };
    (n, column.accuracies.iter().zip(values).map(|((name, _), value)| (name.clone(), moved(value, random))).collect())
}

fn as_column(column: &Published) -> Column {
    (column.n, column.accuracies.clone())
}

/// The model with the highest accuracy, the first of equals, and how clearly it is ahead of the second: `clear` where they are apart
/// if answers are independent, `never` where they are not apart in the kindest case either, `open` between. `None` for fewer than two
/// models. The two questions are those of [`clear`].
pub fn first(f: FirstOf) -> Marks {
    let ask = move |(n, models): &Column| match library_first(models, *n)? {
        Some(expected) => same(f(models, *n), Some(expected)),
        None => Ok(()),
    };
    let models = |of: &[(&str, f64)]| of.iter().map(|(name, x)| (name.to_string(), *x)).collect::<Vec<_>>();
    Sheet::new("who is first", 4.0)
        .visible("0.40, 0.90 and 0.60 of 200 images", move || {
            let expected = Some(("b".to_string(), "clear".to_string()));
            same(f(&models(&[("a", 0.4), ("b", 0.9), ("c", 0.6)]), 200), expected)
        })
        .hidden("columns of the study", 1.0, move || {
            audit()?.general_probes().try_for_each(|column| ask(&as_column(column)))
        })
        .hidden("changed columns", 1.5, move || {
            let mut random = Random::new("course, changed columns", seed(), 0);
            audit()?.general_probes().try_for_each(|column| ask(&changed(column, &mut random)))
        })
        .hidden("the same accuracies on more and more images", 0.5, move || {
            let column = models(&[("a", 0.70), ("b", 0.72), ("c", 0.10)]);
            [50, 100, 400, 1000, 5000, 20000].into_iter().try_for_each(|n| ask(&(n, column.clone())))
        })
        .hidden("two that are equal", 0.5, move || {
            ask(&(500, models(&[("z", 0.2), ("m", 0.8), ("a", 0.8)])))?;
            ask(&(500, models(&[("a", 1.0), ("z", 1.0)])))
        })
        .hidden("one model, none", 0.5, move || {
            same(f(&models(&[("a", 0.9)]), 100), None)?;
            same(f(&[], 100), None)
        })
        .marks()
}

/// The verdict by the library's test; `None` in the outer option where digits would decide.
fn library_verdict(columns: &[Column], a: &str, b: &str) -> Result<Option<Option<String>>, String> {
    let (mut both, mut ahead, mut behind) = (false, false, false);
    for (n, models) in columns {
        let of = |name: &str| models.iter().find(|(model, _)| model == name).map(|(_, accuracy)| *accuracy);
        let (Some(a), Some(b)) = (of(a), of(b)) else { continue };
        both = true;
        match library_clear(a, b, *n)? {
            None => return Ok(None),
            Some((clear, _)) => {
                ahead |= clear && a > b;
                behind |= clear && a < b;
            }
        }
    }
    let word = match (ahead, behind) {
        (true, true) => "mixed",
        (true, false) => "holds",
        (false, true) => "fails",
        (false, false) => "open",
    };
    Ok(Some(both.then(|| word.to_string())))
}

/// The verdict on the claim that model `a` is better than model `b`, over the columns that have both: `holds` where `a` is clearly
/// ahead (if answers are independent, as in [`clear`]) in one column or more and `b` in none, `fails` the other way round, `mixed`
/// where each is somewhere, `open` where none is anywhere. `None` where no column has both.
pub fn verdict(f: VerdictOf) -> Marks {
    let ask = move |columns: &[Column], a: &str, b: &str| match library_verdict(columns, a, b)? {
        Some(expected) => same(f(columns, a, b), expected),
        None => Ok(()),
    };
    fn pairs(columns: &[Column], ask: impl Fn(&[Column], &str, &str) -> Said) -> Said {
        let names = ["DINO", "CLIP", "convnext_base", "vit_b_16", "ViTMAE", "Beit"];
        names.iter().try_for_each(|a| names.iter().filter(|b| *b != a).try_for_each(|b| ask(columns, a, b)))
    }
    fn column(n: usize, models: &[(&str, f64)]) -> Column {
        (n, models.iter().map(|(name, x)| (name.to_string(), *x)).collect())
    }
    Sheet::new("verdict on a claim", 4.0)
        .visible("a is clearly ahead in one column of two", move || {
            let columns = [column(200, &[("a", 0.9), ("b", 0.6)]), column(200, &[("a", 0.50), ("b", 0.51)])];
            same(f(&columns, "a", "b"), Some("holds".to_string()))
        })
        .hidden("claims on the study's columns", 1.0, move || {
            let audit = audit()?;
            ["knn", "lr"].into_iter().try_for_each(|method| {
                let columns: Vec<Column> =
                    audit.general_probes().filter(|column| column.method == method).map(as_column).collect();
                pairs(&columns, ask)
            })
        })
        .hidden("claims on changed columns", 1.5, move || {
            let (audit, mut random) = (audit()?, Random::new("course, changed claims", seed(), 0));
            let all: Vec<Column> = audit.general_probes().map(|column| changed(column, &mut random)).collect();
            all.chunks(2).try_for_each(|columns| pairs(columns, ask))
        })
        .hidden("columns that lack one of the two; a small lead", 1.0, move || {
            let lacking = [
                column(900, &[("a", 0.9), ("c", 0.1)]),
                column(900, &[("c", 0.2), ("b", 0.8)]),
                column(900, &[("b", 0.52), ("a", 0.50)]),
            ];
            ask(&lacking, "a", "b")?;
            ask(&lacking, "b", "a")?;
            ask(&lacking, "c", "a")?;
            ask(&lacking, "b", "c")?;
            ask(&[column(60, &[("a", 0.5), ("b", 0.4)]), column(4000, &[("b", 0.5), ("a", 0.4)])], "a", "b")
        })
        .hidden("no column with both", 0.5, move || {
            same(f(&[], "a", "b"), None)?;
            same(f(&[column(50, &[("a", 0.5)]), column(50, &[("b", 0.1)])], "a", "b"), None)
        })
        .marks()
}

/// Columns of the study as the functions read them, and a verdict on three claims. What is not written is said in its place.
pub fn on_the_study(denominators: DenominatorsOf, first: FirstOf, verdict: VerdictOf) -> Table {
    let rows = || -> OurResult<Vec<Vec<String>>> {
        let audit = Audit::read(Project::find()?.root())?;
        let said = |found: Result<String, String>| found.unwrap_or_else(|why| why);
        let asked: [Place; 7] = [
            (GeneralProbe, "dtd", "knn", 10),
            (GeneralProbe, "isic", "knn", 10),
            (GeneralProbe, "isic", "lr", 100),
            (GeneralProbe, "flowers102", "knn", 10),
            (GeneralFinetune, "flowers102", "knn", 10),
            (GeneralProbe, "fgvc_aircraft", "lr", 100),
            (GeneralProbe, "ucmerced", "lr", 100),
        ];
        let mut rows = Vec::new();
        for of in asked {
            let Ok(column) = find(&audit, of) else { continue };
            let texts: Vec<String> = printed(&audit, column).into_iter().map(String::from).collect();
            let most = most(column);
            let fits = attempt(move || {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                match denominators(&texts, most) {
                    Some(fits) if !fits.is_empty() => {
                        fits.iter().take(3).map(usize::to_string).collect::<Vec<_>>().join(", ")
                    }
                    _ => "none".to_string(),
                }
            });
            let (n, models) = as_column(column);
            let ahead =
                attempt(move || first(&models, n).map_or("none".to_string(), |(model, how)| format!("{model}, {how}")));
            let again = if of.0 == GeneralFinetune { ", printed again" } else { "" };
            let name = format!("{} {} {}{again}", of.1, of.2, of.3);
            rows.push(vec![name, column.n_table.to_string(), said(fits), said(ahead)]);
        }
        let columns: Vec<Column> = audit.general_probes().map(as_column).collect();
        for (a, b) in [("DINO", "CLIP"), ("convnext_base", "vit_b_16"), ("DINO", EFFICIENTNETS[0])] {
            let columns = columns.clone();
            let found = attempt(move || verdict(&columns, a, b).unwrap_or_else(|| "none".to_string()));
            let name = format!("{a} is better than {b}");
            rows.push(vec![name, String::new(), String::new(), said(found)]);
        }
        Ok(rows)
    };
    let header = ["column or claim", "images in the split table", "numbers that fit the digits", "verdict"];
    table_or("The study's columns of accuracies", &header, rows())
}
