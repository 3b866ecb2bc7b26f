//! Owns looking at pictures with a real browser: Chromium without a window.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What is measured of a picture: every text and line that leaves it, texts that lie over each other, and the contrast of each
/// colour against the ground (WCAG 2: 1 to 21).
const MEASURE: &str = r#"
const svg = document.querySelector("svg"), ground = svg.getBoundingClientRect();
const texts = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
const drawn = [...svg.querySelectorAll("text, path, line, rect")];
const light = c => { const [r, g, b] = c.match(/[0-9.]+/g).map(n => n / 255)
    .map(n => n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
const paper = light(getComputedStyle(svg.querySelector(".paper")).fill);
const contrast = c => { const l = light(c); return (Math.max(l, paper) + 0.05) / (Math.min(l, paper) + 0.05) };
const least = (all, of) => Math.min(...[...svg.querySelectorAll(all)].map(e => contrast(getComputedStyle(e)[of])));
const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4;
document.body.textContent = "MEASURED" + JSON.stringify({
    texts: texts.map(([text]) => text),
    outside: drawn.filter(e => { const r = e.getBoundingClientRect();
        return r.left < ground.left || r.right > ground.right || r.top < ground.top || r.bottom > ground.bottom })
        .map(e => e.outerHTML),
    over: texts.flatMap(([a, x], i) => texts.slice(i + 1).filter(([b, y]) => meet(x, y)).map(([b]) => a + " / " + b)),
    ground: getComputedStyle(svg.querySelector(".paper")).fill,
    letters: least("text", "fill"),
    lines: least(".curve, .sum", "stroke"),
    bars: least("rect[style]", "fill"),
}) + "MEASURED";
"#;

/// Draws `svg` in the browser, set to light or dark, and measures it.
pub fn measure(svg: &str, folder: &Path, dark: bool) -> Value {
    let page = folder.join("picture.html");
    let text = format!(
        "<!doctype html><meta charset=\"utf-8\"><body style=\"margin:0\">{svg}<script>addEventListener(\"load\", () => {{{MEASURE}}})</script>"
    );
    std::fs::write(&page, text).unwrap();
    let scheme = if dark { 0 } else { 1 };
    let output = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,2000"])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .args(["--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .env("HOME", folder)
        .output()
        .expect("chromium is missing: ./tests/run installs it, or apt-get install chromium");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let measured = out.split("MEASURED").nth(1).unwrap_or_else(|| panic!("nothing measured:\n{out}\n{err}"));
    let plain = measured.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
    serde_json::from_str(&plain).unwrap_or_else(|error| panic!("{error}:\n{plain}"))
}

/// Draws a page into a picture.
pub fn draw(address: &str, picture: &Path, width: u32, height: u32) {
    let folder = picture.parent().unwrap();
    let output = Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--hide-scrollbars",
        ])
        .args(["--disable-component-update", "--disable-sync", "--no-first-run", "--virtual-time-budget=3000"])
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(address)
        .env("HOME", folder)
        .output()
        .expect("chromium is missing: ./tests/run installs it, or apt-get install chromium");
    assert!(picture.exists(), "nothing was drawn:\n{}", String::from_utf8_lossy(&output.stderr));
}
