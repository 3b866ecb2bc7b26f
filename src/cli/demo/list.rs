//! Owns the demonstration's recipients: made up, the same every time, with the faults that real lists have.

use std::fmt::Write as _;

/// How many people each domain has. Kept in proportions of a Japanese consumer list.
const DOMAINS: [(&str, u32); 26] = [
    ("docomo.ne.jp", 1_400),
    ("ezweb.ne.jp", 640),
    ("au.com", 220),
    ("uqmobile.jp", 40),
    ("softbank.ne.jp", 430),
    ("i.softbank.jp", 270),
    ("ymobile.ne.jp", 150),
    ("rakuten.jp", 60),
    ("yahoo.co.jp", 560),
    ("ybb.ne.jp", 40),
    ("gmail.com", 900),
    ("icloud.com", 190),
    ("me.com", 10),
    ("outlook.jp", 70),
    ("hotmail.co.jp", 90),
    ("yahoo.com", 40),
    ("ocn.ne.jp", 80),
    ("crest.ocn.ne.jp", 40),
    ("nifty.com", 100),
    ("biglobe.ne.jp", 80),
    ("so-net.ne.jp", 60),
    ("jcom.zaq.ne.jp", 60),
    ("plala.or.jp", 40),
    ("eonet.ne.jp", 40),
    ("example.co.jp", 90),
    ("example.com", 40),
];

const FAMILIES: [(&str, &str); 12] = [
    ("佐藤", "sato"),
    ("鈴木", "suzuki"),
    ("高橋", "takahashi"),
    ("田中", "tanaka"),
    ("伊藤", "ito"),
    ("渡辺", "watanabe"),
    ("山本", "yamamoto"),
    ("中村", "nakamura"),
    ("小林", "kobayashi"),
    ("加藤", "kato"),
    ("吉田", "yoshida"),
    ("山田", "yamada"),
];

const GIVEN: [(&str, &str); 11] = [
    ("花子", "hanako"),
    ("太郎", "taro"),
    ("次郎", "jiro"),
    ("さくら", "sakura"),
    ("大輔", "daisuke"),
    ("美咲", "misaki"),
    ("健太", "kenta"),
    ("陽子", "yoko"),
    ("翔", "sho"),
    ("結衣", "yui"),
    ("誠", "makoto"),
];

const CITIES: [&str; 9] = ["札幌", "仙台", "横浜", "川崎", "名古屋", "大阪", "神戸", "広島", "福岡"];

/// Rows as real lists have them: refused at submit, or cleaned.
const FAULTY: [&str; 9] = [
    "hanako.docomo.ne.jp,山田 花子,横浜,50",
    "taro@,田中 太郎,川崎,50",
    "@gmail.com,佐藤 次郎,大阪,50",
    "jiro san@gmail.com,鈴木 次郎,神戸,50",
    "さくら@gmail.com,高橋 さくら,札幌,50",
    "kenta@gmail,加藤 健太,仙台,50",
    "ｍｉｓａｋｉ＠ｙａｈｏｏ．ｃｏ．ｊｐ,伊藤 美咲,広島,50",
    ",中村 翔,名古屋,50",
    "yui@docomo@ne.jp,小林 結衣,福岡,50",
];

/// Addresses of systems that were switched off years ago: suppressed at submit.
const DEAD: [&str; 6] =
    ["ido.ne.jp", "eza.ido.ne.jp", "sky.tkk.ne.jp", "dct.dion.ne.jp", "tct.dion.ne.jp", "hct.dion.ne.jp"];

/// One in so many docomo and au addresses has dots where the standard wants none.
const IRREGULAR_EVERY: u32 = 40;
/// One in so many rows comes twice, the second time in capitals.
const TWICE_EVERY: u32 = 150;

/// The list as CSV: email, name, city, score.
pub(super) fn csv() -> String {
    let mut rows = Vec::new();
    let mut n = 0_u32;
    for (domain, people) in DOMAINS {
        for _ in 0..people {
            n += 1;
            let local = local_part(n, domain);
            rows.push(row(n, &format!("{local}@{domain}")));
            if n.is_multiple_of(TWICE_EVERY) {
                rows.push(row(n, &format!("{}@{domain}", local.to_uppercase())));
            }
        }
    }
    for domain in DEAD {
        n += 1;
        rows.push(row(n, &format!("mukashi{n}@{domain}")));
    }
    rows.extend(FAULTY.iter().map(|r| (*r).to_owned()));
    // Lists are not sorted by domain. A stride without a factor in common visits every row once.
    let stride = (1_009..).find(|s| gcd(*s, rows.len()) == 1).unwrap_or(1);
    let mut text = "email,name,city,score\n".to_owned();
    for i in 0..rows.len() {
        text.push_str(&rows[(i * stride) % rows.len()]);
        text.push('\n');
    }
    text
}

fn row(n: u32, address: &str) -> String {
    let (family, given) = (pick(&FAMILIES, n).0, pick(&GIVEN, n / 12).0);
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write!(out, "{address},{family} {given},{},{}", pick(&CITIES, n), n * 37 % 100);
    out
}

fn local_part(n: u32, domain: &str) -> String {
    let (family, given) = (pick(&FAMILIES, n).1, pick(&GIVEN, n / 12).1);
    match (domain, n % IRREGULAR_EVERY, n % 2) {
        ("docomo.ne.jp", 0, 0) | ("ezweb.ne.jp", 0, _) => format!("{given}..{n}"),
        ("ezweb.ne.jp", 20, _) => format!("{family}{n}."),
        (_, _, 0) => format!("{given}.{family}{n}"),
        _ => format!("{given}-{n}"),
    }
}

fn pick<T: Copy, const N: usize>(from: &[T; N], n: u32) -> T {
    from[usize::try_from(n).unwrap_or(0) % N]
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_is_long_mixed_and_the_same_every_time() {
        let list = csv();
        assert_eq!(list, csv());
        let rows: Vec<&str> = list.lines().skip(1).collect();
        assert!((5_000..8_000).contains(&rows.len()));
        let addresses: Vec<String> = rows.iter().filter_map(|r| r.split(',').next()).map(str::to_lowercase).collect();
        let distinct: BTreeSet<&String> = addresses.iter().collect();
        assert!(addresses.len() - distinct.len() >= 30, "some come twice");
        assert!(addresses.iter().any(|a| a.contains("..") && a.ends_with("@docomo.ne.jp")));
        assert!(addresses.iter().any(|a| a.contains(".@ezweb.ne.jp")));
        for (domain, people) in DOMAINS {
            let end = format!("@{domain}");
            let found = distinct.iter().filter(|a| a.ends_with(&end)).count();
            assert!(found >= usize::try_from(people).expect("small"), "{domain}: {found}");
        }
        let first_docomo = addresses.iter().take(40).filter(|a| a.ends_with("@docomo.ne.jp")).count();
        assert!((3..20).contains(&first_docomo), "the domains are mixed");
    }
}
