//! Owns a contestant: lettre's pooled transport, as a program that sends personalised mail by itself would use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The sink's port
    #[arg(long)]
    port: u16,
    /// Connections
    #[arg(long)]
    connections: u32,
    /// Messages
    #[arg(long)]
    messages: u64,
}

fn message(i: u64) -> Result<Message> {
    let line =
        "This is a line of the newsletter of about one hundred characters, which stands for the content of it.\n";
    let to: Mailbox = format!("user{i}@example{}.jp", i % 50).parse()?;
    let text = format!("Dear user {i}\n\n{}", line.repeat(6));
    let html = format!("<p>Dear user {i}</p>\n<p>{}</p>\n", line.repeat(36));
    Ok(Message::builder()
        .from("News <news@m.example.jp>".parse()?)
        .to(to)
        .subject(format!("To user {i}"))
        .multipart(MultiPart::alternative_plain_html(text, html))?)
}

#[tokio::main]
pub(crate) async fn run(args: &Args) -> Result<()> {
    let pool = PoolConfig::new().max_size(args.connections);
    let transport: AsyncSmtpTransport<Tokio1Executor> =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(args.port).pool_config(pool).build();
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..args.connections {
        let (transport, next, messages) = (transport.clone(), next.clone(), args.messages);
        senders.spawn(async move {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= messages {
                    return anyhow::Ok(());
                }
                transport.send(message(i)?).await?;
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(())
}
