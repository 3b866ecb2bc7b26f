//! Owns the words of the daily report in English and Japanese.
//!
//! Invariant: every word that a reader meets has both forms, side by side.

use jiff::civil::Date;

use crate::core::lane::VerdictKind;
use crate::core::names::BucketName;
use crate::core::reply::{Action, Reason, Signal};

/// A language of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Japanese.
    Ja,
}

impl Lang {
    /// The language that a locale such as `ja_JP.UTF-8` asks for; English where it is neither.
    #[must_use]
    pub fn of_locale(locale: &str) -> Self {
        let language = locale.split(['_', '.', '@', '-']).next().unwrap_or("");
        if language.eq_ignore_ascii_case("ja") { Self::Ja } else { Self::En }
    }

    /// The tag of HTML's `lang`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        self.pick("en", "ja")
    }

    pub(super) fn pick<T>(self, en: T, ja: T) -> T {
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }

    /// `Wednesday, 25 November 2026`, `2026年11月25日（水）`
    pub(super) fn date(self, day: Date) -> String {
        match self {
            Self::En => day.strftime("%A, %-d %B %Y").to_string(),
            Self::Ja => {
                let weekday = ["月", "火", "水", "木", "金", "土", "日"];
                let n = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or(0);
                format!("{}年{}月{}日（{}）", day.year(), day.month(), day.day(), weekday[n % 7])
            }
        }
    }

    /// A bucket as its readers call it; its name in the plan where it has no other.
    pub(super) fn bucket(self, bucket: &BucketName) -> String {
        let name = bucket.as_str();
        let known = match name {
            "docomo" => "ドコモ",
            "softbank" => "ソフトバンク・ワイモバイル",
            "rakuten" => "楽天モバイル",
            "mvno" => "MVNO（mineo、IIJmio）",
            "yahoo-jp" => "Yahoo! JAPAN",
            "plala" => "ぷらら",
            "nifty" => "@nifty",
            "jp-isp-other" => "国内プロバイダー（その他）",
            "jp-freemail-other" => "国内フリーメール（その他）",
            "default" => "その他のドメイン",
            _ => return name.to_owned(),
        };
        match self {
            Self::En => name.to_owned(),
            Self::Ja => format!("{known} ({name})"),
        }
    }

    pub(super) fn verdict(self, kind: VerdictKind) -> &'static str {
        match kind {
            VerdictKind::Advance => self.pick("advance", "前進"),
            VerdictKind::Hold => self.pick("hold", "据え置き"),
            VerdictKind::StepBack => self.pick("step back", "一段後退"),
            VerdictKind::Stop => self.pick("stop", "停止"),
            VerdictKind::NoVerdict => self.pick("no verdict", "判定なし"),
        }
    }

    pub(super) fn action(self, action: Action) -> &'static str {
        match action {
            Action::Suppress => self.pick("bounced, address suppressed", "バウンス、宛先を配信停止リストへ"),
            Action::Fail => self.pick("bounced", "バウンス"),
            Action::Retry => self.pick("tried again later", "時間をおいて再送"),
            Action::Throttle => self.pick("slowed down, tried again later", "減速し、時間をおいて再送"),
            Action::Block => self.pick("lane paused, tried again later", "レーンを一時停止し、後で再送"),
            Action::StopCampaign => self.pick("campaign paused", "キャンペーンを一時停止"),
        }
    }

    pub(super) fn signal(self, signal: Signal) -> &'static str {
        match signal {
            Signal::Recipient => self.pick("recipient", "宛先"),
            Signal::Content => self.pick("content", "内容"),
            Signal::Volume => self.pick("volume", "通数・速度"),
            Signal::Reputation => self.pick("reputation", "評判"),
            Signal::SenderSetup => self.pick("sender set-up", "送信側の設定"),
            Signal::Relay => self.pick("relay", "リレー"),
            Signal::Unclassified => self.pick("unclassified", "未分類"),
        }
    }

    pub(super) fn campaign_state(self, state: &str) -> String {
        let ja = match state {
            "loading" => "取り込み中",
            "running" => "送信中",
            "paused" => "一時停止中",
            "cancelled" => "取り消し",
            "finished" => "終了",
            other => other,
        };
        self.pick(state, ja).to_owned()
    }

    /// A kind of decision.
    pub(super) fn decision(self, kind: &str) -> String {
        let ja = match kind {
            "amended" => "判定の訂正",
            "slowed" => "減速",
            "quickened" => "ペースの回復",
            "paused" => "一時停止",
            "resumed" => "再開",
            "held" => "据え置きの指示",
            "hold-lifted" => "据え置きの解除",
            "day-set" => "ウォームアップ日の指定",
            "lifted" => "減速の解除",
            "plan-applied" => "計画の適用",
            "campaign-stopped" => "キャンペーンの停止",
            other => other,
        };
        self.pick(kind, ja).to_owned()
    }

    /// What was or is in force, in a decision's words; whatever has no Japanese form stays as it was written.
    pub(super) fn state(self, words: &str) -> String {
        if self == Self::En {
            return words.to_owned();
        }
        if words == "mail flows" {
            return "送信中".to_owned();
        }
        if let Some(until) = words.strip_prefix("paused until ") {
            return format!("{}一時停止", until_ja(until));
        }
        if let Some(until) = words.strip_prefix("stopped until ") {
            return format!("{}停止", until_ja(until));
        }
        if words == "paused" {
            return "一時停止".to_owned();
        }
        if words == "follows its plan" {
            return "計画どおり".to_owned();
        }
        if words == "no plan" {
            return "計画なし".to_owned();
        }
        if let Some(share) = words.strip_suffix(" % of the plan's pace") {
            return format!("計画のペースの {share} %");
        }
        if let Some(day) = words.strip_prefix("warm-up day ") {
            return match day.split_once(", quota ") {
                Some((day, quota)) => format!("ウォームアップ {day} 日目、割当 {quota} 通"),
                None => format!("ウォームアップ {day} 日目"),
            };
        }
        match words.strip_prefix("plan ").map(|plan| plan.split_once(", from ").unwrap_or((plan, ""))) {
            Some((plan, "")) => format!("計画 {plan}"),
            Some((plan, source)) => format!("計画 {plan}（{source}）"),
            None => words.to_owned(),
        }
    }

    /// Why something was decided; what others said stays as it was written.
    pub(super) fn because(self, words: &str) -> String {
        if self == Self::En {
            return words.to_owned();
        }
        let deferrals =
            words.strip_prefix("more than ").and_then(|rest| rest.strip_suffix(" of the last answers were deferrals"));
        match words {
            "enough good answers" => "良好な応答が続いたため".to_owned(),
            "the first plan of this relay" => "このリレーの最初の計画".to_owned(),
            "the operator resumed" => "オペレーターによる再開".to_owned(),
            "no lane changed" => "レーンの変更なし".to_owned(),
            _ => deferrals.map_or_else(
                || words.to_owned(),
                |share| format!("直近の応答のうち一時拒否が {} を超えたため", share.replace('%', " %")),
            ),
        }
    }

    /// Who decided.
    pub(super) fn by(self, by: &str) -> String {
        let ja = match by {
            "gate" => "判定",
            "throttling" => "自動調整",
            "budget" => "宛先不明の上限",
            "block" => "ブロックの応答",
            "stop" => "停止の規則",
            "fault" => "障害",
            "rules" => "応答ルール",
            other => other,
        };
        self.pick(by, ja).to_owned()
    }

    pub(super) fn reason(self, reason: Reason) -> &'static str {
        if self == Self::En {
            return reason.as_str();
        }
        match reason {
            Reason::UserUnknown => "宛先不明",
            Reason::HostUnknown => "ドメイン不明、または受信していないドメイン",
            Reason::HasMoved => "宛先の移転",
            Reason::MailboxFull => "メールボックスが満杯",
            Reason::Suspended => "メールボックスが停止中",
            Reason::Filtered => "受信者の設定による拒否",
            Reason::MessageTooBig => "メールが大きすぎる",
            Reason::Content => "メールの形式または内容",
            Reason::Spam => "迷惑メールと判定",
            Reason::Virus => "ウイルスまたは許可されない添付",
            Reason::Blocked => "送信 IP のブロック",
            Reason::BadReputation => "送信 IP・ドメインの評判",
            Reason::RateLimited => "流量制限（多すぎる、速すぎる）",
            Reason::AuthFailure => "送信ドメイン認証（SPF・DKIM・DMARC）または逆引きの不備",
            Reason::SenderRejected => "差出人の拒否",
            Reason::PolicyViolation => "受信側のポリシー",
            Reason::NoRelaying => "リレーが中継を許可していない",
            Reason::SecurityError => "TLS または認証の失敗",
            Reason::Expired => "再送期限切れ",
            Reason::NetworkError => "経路なし・応答なし・接続断",
            Reason::SystemError => "受信側（またはリレー）の障害",
            Reason::SystemFull => "受信側のディスクが満杯",
            Reason::NotAccept => "メールを受け付けないホスト",
            Reason::SyntaxError => "コマンドまたは応答の順序の誤り",
            Reason::NotARefusal => "拒否ではない通知",
            Reason::Undefined => "理由の示されない拒否",
        }
    }
}

fn until_ja(until: &str) -> String {
    let (until, block) = until.split_once(" (").map_or((until, ""), |(until, block)| (until, block));
    let times = block.strip_prefix("block number ").and_then(|rest| rest.split(' ').next());
    let times = times.map(|n| format!("（7 日間で {n} 回目のブロック）")).unwrap_or_default();
    match until {
        "the operator resumes it" => format!("再開の指示があるまで{times}"),
        until => format!("{until} まで{times}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_says_which_language() {
        for (locale, lang) in
            [("ja_JP.UTF-8", Lang::Ja), ("ja", Lang::Ja), ("C", Lang::En), ("", Lang::En), ("jam_JM", Lang::En)]
        {
            assert_eq!(Lang::of_locale(locale), lang, "{locale}");
        }
    }

    #[test]
    fn dates_and_states_read_in_both_languages() {
        let day = jiff::civil::date(2026, 11, 25);
        assert_eq!(Lang::En.date(day), "Wednesday, 25 November 2026");
        assert_eq!(Lang::Ja.date(day), "2026年11月25日（水）");
        assert_eq!(Lang::Ja.state("warm-up day 3, quota 100"), "ウォームアップ 3 日目、割当 100 通");
        assert_eq!(Lang::Ja.state("paused until the operator resumes it"), "再開の指示があるまで一時停止");
        let third = "stopped until the operator resumes it (block number 3 within 7 days)";
        assert_eq!(Lang::Ja.state(third), "再開の指示があるまで（7 日間で 3 回目のブロック）停止");
        assert_eq!(Lang::Ja.state("50 % of the plan's pace"), "計画のペースの 50 %");
        assert_eq!(Lang::En.state("mail flows"), "mail flows");
    }

    #[test]
    fn every_reason_has_a_japanese_form() {
        for reason in Reason::ALL {
            assert!(!Lang::Ja.reason(reason).is_ascii(), "{}", reason.as_str());
        }
    }
}
