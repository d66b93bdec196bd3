//! Where and when a row was computed.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where and when a row was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The processor by name, and threads; a GPU is named by the cell's device.
    pub machine: String,
    /// `YYYY-MM-DD`, UTC.
    pub date: String,
    /// Of this crate.
    pub version: String,
    /// Whether it came with the project; else it was computed on this machine.
    pub shipped: bool,
}

impl Made {
    /// Here and today.
    pub fn here() -> Made {
        static MACHINE: OnceLock<String> = OnceLock::new();
        let machine = || format!("{}, {} threads", processor(), rayon::current_num_threads());
        Made {
            machine: MACHINE.get_or_init(machine).clone(),
            date: Made::date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())),
            version: env!("CARGO_PKG_VERSION").into(),
            shipped: false,
        }
    }

    /// `YYYY-MM-DD`, UTC, of so many seconds since the beginning of 1970.
    pub fn date(seconds: u64) -> String {
        let (year, month, day) = civil((seconds / 86_400) as i64);
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// The processor's name and its widest vectors, which decide the last digits.
fn processor() -> String {
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        known.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    format!("{} ({})", name.unwrap_or(std::env::consts::ARCH), vectors())
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    match () {
        () if is_x86_feature_detected!("avx512f") => "AVX-512",
        () if is_x86_feature_detected!("avx2") => "AVX2",
        () => "SSE",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    "no x86 vectors"
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years that begin in March: the leap day is then the last of its year. 146,097 days are 400 years.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
