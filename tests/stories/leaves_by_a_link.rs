//! Somebody leaves: by the button of their mail program, or on the page behind the link. Nobody leaves by looking.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hikagen::compose::Tokens;
use hikagen::core::campaign::MessageState;

use crate::support::program::Project;
use crate::support::scene::{RelayEntry, write_campaign, write_configuration, write_plan};
use crate::support::sink::Sink;
use crate::support::{chromium, free_port, insight, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// What an HTTP server answers to a request.
fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn look(port: u16, path: &str, language: &str) -> String {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Language: {language}\r\nConnection: close\r\n\r\n"))
}

fn post(port: u16, path: &str, body: &str) -> String {
    ask(
        port,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        ),
    )
}

#[test]
fn one_click_takes_off_what_waits_and_looking_takes_off_nobody() {
    let (sink, port, project) = (Sink::open(), free_port(), Project::empty());
    write_plan(&project, "plan.yaml", &[("docomo", 100, "50/s"), ("default", 10, "1/s")]);
    write_configuration(&project, &[RelayEntry::new("one", sink.port)]);
    let told = project.path("told");
    let more =
        format!("listen: {{ http: \"127.0.0.1:{port}\" }}\non_event: [/bin/sh, -c, 'cat >> {}']\n", told.display());
    let text = project.read("hikagen.yaml") + &more;
    project.write("hikagen.yaml", text);
    let list = ["hanako", "taro", "jiro"].map(|name| format!("{name}@docomo.ne.jp"));
    write_campaign(&project, "spring", list);
    project.hikagen(&["submit", "spring.yaml"]).expect(0);
    project.hikagen(&["pause", "--all", "--reason", "not yet"]).expect(0);
    let worker = project.start("run", &["run"]);
    worker.until_it_says("listening for unsubscribe links", PATIENCE);

    let store = project.path("hikagen.db");
    let tokens = Tokens::open(&Tokens::key_file(&store)).unwrap();
    let of = |address: &str| {
        let rows = insight::messages(&store, "spring", MessageState::Queued);
        let row = rows.iter().find(|row| row.address == address).unwrap();
        format!("/u/{}", tokens.token(row.id))
    };
    let (hanako, taro) = (of("hanako@docomo.ne.jp"), of("taro@docomo.ne.jp"));

    let shown = look(port, &hanako, "ja");
    assert!(shown.starts_with("HTTP/1.1 200") && shown.contains("ha***@docomo.ne.jp"), "{shown}");
    assert!(!shown.contains("hanako@") && shown.contains("配信を停止する"), "{shown}");
    for header in
        ["cache-control: no-store", "referrer-policy: no-referrer", "content-security-policy: default-src 'none'"]
    {
        assert!(shown.to_lowercase().contains(header), "{header}: {shown}");
    }
    assert!(look(port, &hanako.to_uppercase().replace("/U/", "/u/"), "en").contains("Unsubscribe"));
    project.hikagen(&["suppress", "list"]).expect(0).says("nothing is held back");
    let forged = format!("{}a", &hanako[..hanako.len() - 1]);
    assert!(post(port, &forged, "List-Unsubscribe=One-Click").starts_with("HTTP/1.1 404"));
    assert!(look(port, "/elsewhere", "en").starts_with("HTTP/1.1 404"));
    look_in_a_browser(&project, port, &hanako);

    assert!(post(port, &hanako, "List-Unsubscribe=One-Click").starts_with("HTTP/1.1 200"));
    assert!(
        post(port, &hanako, "List-Unsubscribe=One-Click").starts_with("HTTP/1.1 200"),
        "a second click is no fault"
    );
    let done = post(port, &taro, "");
    assert!(done.contains("ta***@docomo.ne.jp") && done.starts_with("HTTP/1.1 200"), "{done}");
    let held = project.hikagen(&["suppress", "export"]).expect(0).out;
    for address in ["hanako@docomo.ne.jp,unsubscribe,m.example.jp", "taro@docomo.ne.jp,unsubscribe,m.example.jp"] {
        assert!(held.contains(address), "{held}");
    }
    project.hikagen(&["resume", "--all"]).expect(0);
    until("the one that stayed gets it", PATIENCE, || (sink.count() == 1).then_some(()));
    until("who left is taken off", PATIENCE, || {
        (insight::count(&store, "spring", MessageState::Suppressed) == 2).then_some(())
    });
    assert_eq!(sink.arrivals()[0].to, ["jiro@docomo.ne.jp"]);
    project.hikagen(&["why", "hanako@docomo.ne.jp"]).expect(0).says("one-click");
    until("the program was told", PATIENCE, || {
        let told = std::fs::read_to_string(&told).unwrap_or_default();
        (told.contains("\"kind\":\"left\"") && told.contains("hanako@docomo.ne.jp")).then_some(())
    });
    worker.signal("TERM");
    worker.wait(PATIENCE).expect(0);
}

/// The page as a browser draws it: it must be drawn at all, in both languages.
fn look_in_a_browser(project: &Project, port: u16, path: &str) {
    for language in ["ja", "en"] {
        let picture = project.path(&format!("page-{language}.png"));
        chromium::draw(&format!("http://127.0.0.1:{port}{path}?lang={language}"), &picture, 480, 400);
        assert!(std::fs::metadata(&picture).unwrap().len() > 2_000, "{language}: nothing was drawn");
        if let Some(folder) = std::env::var_os("KEEP_PICTURES") {
            std::fs::copy(&picture, std::path::Path::new(&folder).join(format!("page-{language}.png"))).unwrap();
        }
    }
}
