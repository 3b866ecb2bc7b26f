//! Owns the reading of what a campaign says: its template files, or a mail made elsewhere, with CSS put in its place.
//!
//! Invariant: everything that is stored with the revision is made here, once; nothing is read or inlined at sending.

use std::path::Path;

use crate::compose::{Content, Eml, Places, check_syntax, inline_css, read_eml};
use crate::config::campaign_file::CampaignFile;

/// What a campaign says.
pub(crate) struct Said {
    /// For the revision.
    pub(crate) content: Content,
    /// Where it was written.
    pub(crate) places: Places,
    /// Worth knowing.
    pub(crate) notes: Vec<String>,
}

/// Reads the files that a campaign names, but for its list.
///
/// # Errors
/// Every problem of them, in words.
pub(crate) fn read(campaign: &CampaignFile) -> Result<Said, Vec<String>> {
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    let mut template = |path: &Option<std::path::PathBuf>| {
        path.as_deref().map(template).transpose().map_err(|why| problems.push(why)).ok().flatten()
    };
    let (text, html) = (template(&campaign.text), template(&campaign.html));
    let name = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
    let mut places = Places {
        campaign: campaign.file.name.clone(),
        text: name(&campaign.text),
        html: name(&campaign.html),
        eml: name(&campaign.eml),
        html_as_written: None,
    };
    let eml = match campaign.eml.as_deref().map(eml).transpose() {
        Ok(eml) => eml,
        Err(found) => {
            problems.extend(found);
            None
        }
    };
    let mut content = Content {
        campaign: campaign.name.to_string(),
        from: campaign.from.clone().unwrap_or_default(),
        reply_to: campaign.reply_to.clone(),
        subject: campaign.subject.clone().unwrap_or_default(),
        text,
        html,
        parts: None,
        headers: campaign.headers.clone(),
        unsubscribe: campaign.unsubscribe.clone(),
        list: None,
    };
    if let Some(eml) = eml {
        problems.extend(take(&mut content, campaign, eml, &places.eml, &mut notes));
    }
    if campaign.inline_css {
        problems.extend(inline(&mut content, &mut places, &mut notes));
    }
    if problems.is_empty() { Ok(Said { content, places, notes }) } else { Err(problems) }
}

fn template(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        format!("{}:{line}: a template is UTF-8, and this is not; save it as UTF-8", path.display())
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn eml(path: &Path) -> Result<Eml, Vec<String>> {
    let bytes = std::fs::read(path).map_err(|e| vec![format!("{} cannot be read: {e}", path.display())])?;
    read_eml(&bytes, &path.display().to_string()).map_err(|found| found.into_iter().map(|e| e.0).collect())
}

/// Fills in what the campaign leaves to the mail made elsewhere; says what is missing in both.
fn take(content: &mut Content, campaign: &CampaignFile, eml: Eml, file: &str, notes: &mut Vec<String>) -> Vec<String> {
    let mut missing = Vec::new();
    let mut from_file = |own: &Option<String>, theirs: Option<String>, key: &str, header: &str| {
        own.clone().or(theirs.filter(|text| !text.trim().is_empty())).unwrap_or_else(|| {
            missing.push(format!(
                "{}: \"{key}\" is missing, and {file} does not say \"{header}\"; write one of them",
                campaign.file.name
            ));
            String::new()
        })
    };
    content.from = from_file(&campaign.from, eml.from, "from", "From");
    content.subject = from_file(&campaign.subject, eml.subject, "subject", "Subject");
    content.reply_to = content.reply_to.take().or(eml.reply_to);
    let own: Vec<String> = content.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    content.headers.extend(eml.headers.into_iter().filter(|(name, _)| !own.contains(&name.to_ascii_lowercase())));
    content.parts = Some(eml.body);
    if !eml.left_out.is_empty() {
        notes.push(format!("{file}: Hikagen writes its own, or none, of these headers: {}", eml.left_out.join(", ")));
    }
    if !eml.repeated.is_empty() {
        notes.push(format!("{file}: of several headers of one name, one goes out: {}", eml.repeated.join(", ")));
    }
    missing
}

/// Puts CSS into the elements, in the HTML template and in every HTML part of a mail made elsewhere.
fn inline(content: &mut Content, places: &mut Places, notes: &mut Vec<String>) -> Option<String> {
    let mut inlined = |html: &str, place: &str| {
        check_syntax(html, place).map_err(|e| e.0)?;
        let done = inline_css(html).map_err(|(line, why)| format!("{place}:{line}: {why}"))?;
        notes.extend(done.notes.into_iter().map(|(line, what)| format!("{place}:{line}: {what}")));
        Ok(done.html)
    };
    if let Some(parts) = &mut content.parts {
        let place = format!("{}, text/html part", places.eml);
        return parts.change_html(&mut |html| inlined(html, &place)).err();
    }
    let html = content.html.take()?;
    match inlined(&html, &places.html) {
        Ok(done) => {
            content.html = Some(done);
            places.html_as_written = Some(html);
            None
        }
        Err(why) => {
            content.html = Some(html);
            Some(why)
        }
    }
}
