//! Owns the Japanese public holidays, computed from the law rather than listed.
//!
//! Source of the rules: 国民の祝日に関する法律 (Act on National Holidays, 昭和23年法律第178号) with its amendments, the special
//! acts for 2019 (accession) and for 2020 and 2021 (Olympic moves), and 内閣府「国民の祝日について」. Equinoxes by the astronomical
//! formula for 1980 to 2099; the day itself is fixed by the gazette of the February before, hence `Holidays::except`.
//!
//! Invariant: [`holiday`] knows the years 2016 to 2099 and returns `None` for all others.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};

use crate::core::plan::Holidays;

/// Years for which [`holiday`] knows the rules.
pub const YEARS: std::ops::RangeInclusive<i16> = 2016..=2099;

/// Whether `date` counts as a holiday under `holidays`: `except` first, then `also`, then the law where `japan` is set.
#[must_use]
pub fn is_holiday(date: Date, holidays: &Holidays) -> bool {
    !holidays.except.contains(&date) && (holidays.also.contains(&date) || (holidays.japan && holiday(date).is_some()))
}

/// The English name of the Japanese public holiday on `date`; substitute and citizens' holidays included.
#[must_use]
pub fn holiday(date: Date) -> Option<&'static str> {
    if !YEARS.contains(&date.year()) {
        return None;
    }
    national(date)
        .or_else(|| is_substitute(date).then_some("Substitute Holiday"))
        .or_else(|| is_between_two(date).then_some("Citizens' Holiday"))
}

/// The days that article 2 of the act (or a special act) names.
fn national(date: Date) -> Option<&'static str> {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let nth_monday = |n: i8| date.weekday() == Weekday::Monday && (day - 1) / 7 + 1 == n;
    let olympic = matches!(year, 2020 | 2021);
    let name = match (month, day) {
        (1, 1) => "New Year's Day",
        (1, _) if nth_monday(2) => "Coming of Age Day",
        (2, 11) => "National Foundation Day",
        (2, 23) if year >= 2020 => "Emperor's Birthday",
        (3, d) if d == vernal_equinox(year) => "Vernal Equinox Day",
        (4, 29) => "Showa Day",
        (5, 1) if year == 2019 => "Day of Accession",
        (5, 3) => "Constitution Memorial Day",
        (5, 4) => "Greenery Day",
        (5, 5) => "Children's Day",
        (7, 23) if year == 2020 => "Marine Day",
        (7, 24) if year == 2020 => "Sports Day",
        (7, 22) if year == 2021 => "Marine Day",
        (7, 23) if year == 2021 => "Sports Day",
        (7, _) if !olympic && nth_monday(3) => "Marine Day",
        (8, 10) if year == 2020 => "Mountain Day",
        (8, 8) if year == 2021 => "Mountain Day",
        (8, 11) if !olympic => "Mountain Day",
        (9, _) if nth_monday(3) => "Respect for the Aged Day",
        (9, d) if d == autumnal_equinox(year) => "Autumnal Equinox Day",
        (10, 22) if year == 2019 => "Enthronement Ceremony Day",
        (10, _) if !olympic && nth_monday(2) && year >= 2022 => "Sports Day",
        (10, _) if !olympic && nth_monday(2) => "Health and Sports Day",
        (11, 3) => "Culture Day",
        (11, 23) => "Labor Thanksgiving Day",
        (12, 23) if year <= 2018 => "Emperor's Birthday",
        _ => return None,
    };
    Some(name)
}

/// Article 3-2: where a national holiday falls on a Sunday, the nearest later day that is not one.
fn is_substitute(date: Date) -> bool {
    let mut before = date;
    while let Ok(day) = before.yesterday() {
        if national(day).is_none() {
            return false;
        }
        if day.weekday() == Weekday::Sunday {
            return true;
        }
        before = day;
    }
    false
}

/// Article 3-3: the day between two national holidays.
fn is_between_two(date: Date) -> bool {
    let national_at = |days: i64| date.checked_add(days.days()).is_ok_and(|d| national(d).is_some());
    national_at(-1) && national_at(1)
}

/// March day of the equinox; years 1980 to 2099.
fn vernal_equinox(year: i16) -> i8 {
    equinox(20.8431, year)
}

/// September day of the equinox; years 1980 to 2099.
fn autumnal_equinox(year: i16) -> i8 {
    equinox(23.2488, year)
}

/// The usual approximation (海上保安庁水路部 暦計算研究会編「新こよみ便利帳」).
fn equinox(at_1980: f64, year: i16) -> i8 {
    let years = year - 1980;
    #[expect(clippy::cast_possible_truncation, reason = "19 to 24 for every year of YEARS")]
    let day = (at_1980 + 0.242_194 * f64::from(years) - f64::from(years / 4)).floor() as i8;
    day
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn listed(year: i16) -> Vec<String> {
        date(year, 1, 1)
            .series(1.day())
            .take_while(|d| d.year() == year)
            .filter(|d| holiday(*d).is_some())
            .map(|d| d.strftime("%m-%d").to_string())
            .collect()
    }

    /// 内閣府「国民の祝日」一覧 (https://www8.cao.go.jp/chosei/shukujitsu/gaiyou.html), written out by hand.
    #[test]
    fn whole_years_equal_the_published_lists() {
        for (year, days) in [
            (
                2019,
                "01-01 01-14 02-11 03-21 04-29 04-30 05-01 05-02 05-03 05-04 05-05 05-06 07-15 08-11 08-12 09-16 09-23 10-14 10-22 11-03 11-04 11-23",
            ),
            (
                2020,
                "01-01 01-13 02-11 02-23 02-24 03-20 04-29 05-03 05-04 05-05 05-06 07-23 07-24 08-10 09-21 09-22 11-03 11-23",
            ),
            (
                2021,
                "01-01 01-11 02-11 02-23 03-20 04-29 05-03 05-04 05-05 07-22 07-23 08-08 08-09 09-20 09-23 11-03 11-23",
            ),
            (
                2024,
                "01-01 01-08 02-11 02-12 02-23 03-20 04-29 05-03 05-04 05-05 05-06 07-15 08-11 08-12 09-16 09-22 09-23 10-14 11-03 11-04 11-23",
            ),
            (
                2025,
                "01-01 01-13 02-11 02-23 02-24 03-20 04-29 05-03 05-04 05-05 05-06 07-21 08-11 09-15 09-23 10-13 11-03 11-23 11-24",
            ),
            (
                2026,
                "01-01 01-12 02-11 02-23 03-20 04-29 05-03 05-04 05-05 05-06 07-20 08-11 09-21 09-22 09-23 10-12 11-03 11-23",
            ),
            (
                2027,
                "01-01 01-11 02-11 02-23 03-21 03-22 04-29 05-03 05-04 05-05 07-19 08-11 09-20 09-23 10-11 11-03 11-23",
            ),
        ] {
            assert_eq!(listed(year).join(" "), days, "{year}");
        }
    }

    #[test]
    fn days_have_their_names() {
        assert_eq!(holiday(date(2026, 9, 22)), Some("Citizens' Holiday"));
        assert_eq!(holiday(date(2026, 5, 6)), Some("Substitute Holiday"));
        assert_eq!(holiday(date(2018, 12, 23)), Some("Emperor's Birthday"));
        assert_eq!(holiday(date(2019, 12, 23)), None);
        assert_eq!(holiday(date(2016, 8, 11)), Some("Mountain Day"));
        assert_eq!(holiday(date(2017, 1, 2)), Some("Substitute Holiday"));
        assert_eq!(holiday(date(2015, 1, 1)), None);
    }

    /// 国立天文台暦計算室 and the years in which the pattern changes.
    #[test]
    fn equinoxes_fall_where_the_astronomers_say() {
        for (year, march, september) in
            [(2016, 20, 22), (2023, 21, 23), (2028, 20, 22), (2030, 20, 23), (2045, 20, 22), (2050, 20, 23)]
        {
            assert_eq!((vernal_equinox(year), autumnal_equinox(year)), (march, september), "{year}");
        }
    }

    #[test]
    fn every_year_has_its_sixteen_national_holidays_but_2019() {
        for year in YEARS {
            let named = date(year, 1, 1).series(1.day()).take_while(|d| d.year() == year);
            let count = named.filter(|d| national(*d).is_some()).count();
            // 2019 had no Emperor's Birthday, and two days of its own.
            assert_eq!(count, if year == 2019 { 17 } else { 16 }, "{year}");
        }
    }

    #[test]
    fn the_operator_corrects_the_list() {
        let day = date(2026, 1, 1);
        let mut holidays = Holidays { japan: true, ..Holidays::default() };
        assert!(is_holiday(day, &holidays));
        holidays.except = vec![day];
        assert!(!is_holiday(day, &holidays));
        holidays.also = vec![date(2026, 8, 14)];
        assert!(is_holiday(date(2026, 8, 14), &holidays));
        assert!(!is_holiday(day, &Holidays::default()));
    }
}
