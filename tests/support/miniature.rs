//! Miniatures of the two archives of WILDS that the study uses, made by formula: the tables have the columns that the real
//! ones have, a few hundred images are 12 pixels wide, and the project's records are the shipped ones with other counts and
//! downloads.
//!
//! FMoW's columns are those of the owner's `process_metadata_fmow.py`. iWildCam's are those that the package reads and those of
//! the owner's `create_split.py`; the archive has them in an order of its own, which nothing here depends on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use wider_clip::image::{Rgb, RgbImage};
use wider_clip::images::encode_png;
use wider_clip::prelude::*;

/// FMoW's categories, in the order of their numbers in WILDS.
pub const CATEGORIES: &str = "airport airport_hangar airport_terminal amusement_park aquaculture archaeological_site barn \
border_checkpoint burial_site car_dealership construction_site crop_field dam debris_or_rubble educational_institution \
electric_substation factory_or_powerplant fire_station flooded_road fountain gas_station golf_course \
ground_transportation_station helipad hospital impoverished_settlement interchange lake_or_pond lighthouse military_facility \
multi-unit_residential nuclear_powerplant office_building oil_or_gas_facility park parking_lot_or_garage place_of_worship \
police_station port prison race_track railway_bridge recreational_facility road_bridge runway shipyard shopping_mall \
single-unit_residential smokestack solar_farm space_facility stadium storage_tank surface_mine swimming_pool toll_booth tower \
tunnel_opening waste_disposal water_treatment_facility wind_farm zoo";

/// Some rows of the table of countries; Antarctica has no region there.
const COUNTRIES: &str =
    "name,alpha-2,alpha-3,country-code,iso_3166-2,region,sub-region,intermediate-region,region-code,\
sub-region-code,intermediate-region-code
Antarctica,AQ,ATA,010,ISO 3166-2:AQ,\"\",\"\",\"\",\"\",\"\",\"\"
Australia,AU,AUS,036,ISO 3166-2:AU,Oceania,Australia and New Zealand,\"\",009,053,\"\"
Brazil,BR,BRA,076,ISO 3166-2:BR,Americas,Latin America and the Caribbean,South America,019,419,005
China,CN,CHN,156,ISO 3166-2:CN,Asia,Eastern Asia,\"\",142,030,\"\"
France,FR,FRA,250,ISO 3166-2:FR,Europe,Western Europe,\"\",150,155,\"\"
Germany,DE,DEU,276,ISO 3166-2:DE,Europe,Western Europe,\"\",150,155,\"\"
India,IN,IND,356,ISO 3166-2:IN,Asia,Southern Asia,\"\",142,034,\"\"
Japan,JP,JPN,392,ISO 3166-2:JP,Asia,Eastern Asia,\"\",142,030,\"\"
Namibia,NA,NAM,516,ISO 3166-2:NA,Africa,Sub-Saharan Africa,Southern Africa,002,202,018
Nigeria,NG,NGA,566,ISO 3166-2:NG,Africa,Sub-Saharan Africa,Western Africa,002,202,011
Russian Federation,RU,RUS,643,ISO 3166-2:RU,Europe,Eastern Europe,\"\",150,151,\"\"
South Africa,ZA,ZAF,710,ISO 3166-2:ZA,Africa,Sub-Saharan Africa,Southern Africa,002,202,018
\"United States of America\",US,USA,840,ISO 3166-2:US,Americas,Northern America,\"\",019,021,\"\"
";

/// Codes of the images: the last two are in no row of the table, Australia in no drifted test.
const CODES: [&str; 13] = ["CHN", "IND", "JPN", "FRA", "DEU", "RUS", "NAM", "NGA", "ZAF", "USA", "BRA", "XKX", "XSP"];

/// A number that looks drawn, the same on every machine.
pub fn mix(a: u32, b: u32) -> u32 {
    let mut x = a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca77);
    x = (x ^ (x >> 15)).wrapping_mul(0x2c1b_3c6d);
    (x ^ (x >> 12)).wrapping_mul(0x297a_2d39) >> 8
}

/// A picture of a class; one in five looks like one of another class.
fn picture(class: u32, n_classes: u32, i: u32) -> Vec<u8> {
    let shown = if mix(i, 1).is_multiple_of(5) { mix(i, 2) % n_classes } else { class };
    let at = |x: u32, y: u32, band: u32| {
        let level = 30 + mix(shown * 64 + (x / 3) + 4 * (y / 3) + 16 * band, 3) % 40;
        (level + mix(i * 432 + x + 12 * y + 144 * band, 4) % 130) as u8
    };
    encode_png(&RgbImage::from_fn(12, 12, |x, y| Rgb([at(x, y, 0), at(x, y, 1), at(x, y, 2)]))).expect("encodes")
}

/// One archive: its folder's name, and its files by path.
pub struct Archive {
    pub name: &'static str,
    pub files: BTreeMap<String, Vec<u8>>,
}

/// FMoW version 1.1.
pub fn fmow() -> Archive {
    let categories: Vec<&str> = CATEGORIES.split_whitespace().collect();
    let n_classes = categories.len() as u32;
    let mut table = String::from(
        "split,img_filename,img_path,spatial_reference,epsg,category,visible,img_width,img_height,country_code,cloud_cover,\
         timestamp,lat,lon\n",
    );
    let mut files = BTreeMap::new();
    // Split, first year, years, and how many images.
    let blocks = [
        ("train", 2002, 11, 4 * n_classes),
        ("val", 2004, 9, 40),
        ("test", 2003, 10, 60),
        ("seq", 2010, 8, 5),
        ("val", 2013, 3, 45),
        ("train", 2013, 5, 6),
        ("test", 2016, 2, 90),
    ];
    let mut row = 0u32;
    for (split, first, years, n) in blocks {
        for i in 0..n {
            // Every class to learn from; later some, and in the drifted test not all.
            let class = if split == "train" { i % n_classes } else { mix(row, 5) % n_classes };
            let drifted = split == "test" && first == 2016;
            let country = match mix(row, 6) as usize % (CODES.len() + 1) {
                at if at < CODES.len() => CODES[at],
                _ if drifted => "USA",
                _ => "AUS",
            };
            let year = first + mix(row, 7) % years;
            // The first and the last second of a stretch belong to it.
            let when = match i {
                0 => format!("{first}-01-01T00:00:00Z"),
                1 => format!("{}-12-31T23:59:59Z", first + years - 1),
                _ => format!("{year}-{:02}-{:02}T10:{:02}:12Z", 1 + mix(row, 8) % 12, 1 + mix(row, 9) % 28, row % 60),
            };
            let (category, name) = (categories[class as usize], format!("{}_{row}_0", categories[class as usize]));
            table.push_str(&format!(
                "{split},{name}_rgb.jpg,{split}/{category}/{name}/{name}_rgb.jpg,\"GEOGCS[\"\"WGS 84\"\",AUTHORITY[\"\"EPSG\"\",\
                 \"\"4326\"\"]]\",4326,{category},True,512,480,{country},{},{when},{}.5,-{}.25\n",
                mix(row, 10) % 40,
                mix(row, 11) % 60,
                mix(row, 12) % 120
            ));
            // Images of the sequestered split are in the archive too.
            files.insert(format!("images/rgb_img_{row}.png"), picture(class, n_classes, row));
            row += 1;
        }
    }
    files.insert("rgb_metadata.csv".into(), table.into_bytes());
    files.insert("country_code_mapping.csv".into(), COUNTRIES.as_bytes().to_vec());
    files.insert("RELEASE_v1.1.txt".into(), b"A miniature.\n".to_vec());
    Archive { name: "fmow_v1.1", files }
}

/// Classes of the smaller iWildCam.
pub const SPECIES: u32 = 9;

/// iWildCam version 2.0. Class 8 is in the drifted test and in training, and not in `id_test`.
pub fn iwildcam() -> Archive {
    let mut table = String::from(
        "split,location_remapped,location,sequence_remapped,y,category_id,datetime,filename,image_id,seq_id,frame_num\n",
    );
    let mut files = BTreeMap::new();
    // Split, first camera, cameras, sequences.
    let blocks =
        [("train", 0, 6, 54), ("id_val", 0, 6, 12), ("val", 6, 3, 14), ("id_test", 0, 6, 14), ("test", 9, 4, 24)];
    let (mut row, mut sequence) = (0u32, 0u32);
    for (split, first, cameras, n) in blocks {
        for i in 0..n {
            let camera = first + i % cameras;
            let class = match split {
                "train" => i % SPECIES,
                // Half of all pictures are empty.
                _ if mix(sequence, 20).is_multiple_of(2) => 0,
                "id_test" => mix(sequence, 21) % (SPECIES - 1),
                _ => mix(sequence, 21) % SPECIES,
            };
            for frame in 0..1 + mix(sequence, 22) % 4 {
                let name = format!("{:08x}-21bc-11ea-a13a-137349068a90", mix(row, 23));
                table.push_str(&format!(
                    "{split},{camera},{},{sequence},{class},{},20{:02}-{:02}-{:02} {:02}:{:02}:{:02}.000,{name}.jpg,{name},\
                     {:08x}-7d4b-11ea-8d7c-137349068a90,{frame}\n",
                    camera * 7 + 3,
                    class * 11,
                    9 + sequence % 6,
                    1 + sequence % 12,
                    1 + sequence % 28,
                    sequence % 24,
                    sequence % 60,
                    10 + frame,
                    mix(sequence, 24)
                ));
                // PNG under the name of the real file: what a picture is stands in its bytes.
                files.insert(format!("train/{name}.jpg"), picture(class, SPECIES, 5000 + row));
                row += 1;
            }
            sequence += 1;
        }
    }
    files.insert("metadata.csv".into(), table.into_bytes());
    files.insert("RELEASE_v2.0.txt".into(), b"A miniature.\n".to_vec());
    Archive { name: "iwildcam_v2.0", files }
}

/// A project whose data sets are those archives, lying where downloads lie; its records are the shipped ones with counts of
/// their own.
pub fn project(root: &Path, archives: &[Archive]) -> Project {
    let manifests = root.join("data_manifests");
    for kind in ["datasets", "models", "suites"] {
        fs::create_dir_all(manifests.join(kind)).expect("makes a folder");
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests");
    let model = "models/pixels.raw.toml";
    fs::copy(shipped.join(model), manifests.join(model)).expect("copies");
    let mut ids = Vec::new();
    for archive in archives {
        let id = archive.name.split_once('_').expect("a version").0;
        let text = fs::read_to_string(shipped.join(format!("datasets/{id}.toml"))).expect("reads");
        let mut record: toml::Table = toml::from_str(&text).expect("TOML");
        let source = record["source"]["archive"].as_table_mut().expect("an archive");
        let download = source["downloads"][0].as_table_mut().expect("a download");
        download.insert("url".into(), "http://127.0.0.1:9/blob".into());
        download.remove("size");
        let file = download["file"].as_str().expect("a file").to_string();
        assert_eq!(file, format!("{}.tar.gz", archive.name));
        let split = record["split"].as_table_mut().expect("a split");
        for part in ["val", "id_test", "ood_test"] {
            split[part].as_table_mut().expect("a part").remove("total");
        }
        split.remove("total");
        if id == "iwildcam" {
            split.insert("classes".into(), i64::from(SPECIES).into());
        }
        let to = manifests.join(format!("datasets/{id}.toml"));
        fs::write(to, toml::to_string(&record).expect("TOML")).expect("writes");
        let folder = root.join("cache/archives").join(id);
        fs::create_dir_all(&folder).expect("makes a folder");
        fs::write(folder.join(file), packed(archive)).expect("writes");
        ids.push(format!("\"{id}\""));
    }
    let suite = format!(
        "id = \"default\"\ndescription = \"A test's.\"\ndatasets = [{}]\nmodels = [\"pixels.raw\"]\n\
         methods = [\"knn\", \"lr\"]\nbudgets = [10]\nseeds = [0]\n",
        ids.join(", ")
    );
    fs::write(manifests.join("suites/default.toml"), suite).expect("writes");
    Project::open(root, "default").expect("opens").with_cache(root.join("cache"))
}

/// As the owner packs it.
fn packed(archive: &Archive) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, bytes) in &archive.files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice()).expect("writes");
    }
    tar.into_inner().expect("ends").finish().expect("ends")
}
