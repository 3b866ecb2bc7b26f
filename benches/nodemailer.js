// A contestant: nodemailer's pooled transport, sending personalised newsletters of 5 KB.
//   node nodemailer.js PORT MESSAGES CONNECTIONS
"use strict";
const nodemailer = require("nodemailer");

const [port, messages, connections] = process.argv.slice(2).map(Number);
const transport = nodemailer.createTransport({
    host: "127.0.0.1",
    port,
    secure: false,
    ignoreTLS: true,
    pool: true,
    maxConnections: connections,
    maxMessages: Infinity,
});
const line = "This is a line of the newsletter of about one hundred characters, which stands for the content of it.\n";
const [text, html] = [line.repeat(6), "<p>" + line.repeat(36) + "</p>\n"];
let [next, done] = [0, 0];

function answered(error) {
    if (error) throw error;
    done += 1;
    if (done === messages) transport.close();
}

function send() {
    while (transport.isIdle() && next < messages) {
        const i = next++;
        transport.sendMail({
            from: "News <news@m.example.jp>",
            to: `user${i}@example${i % 50}.jp`,
            subject: `To user ${i}`,
            headers: { "List-Unsubscribe": `<https://example.jp/u/${i}>` },
            text: `Dear user ${i}\n\n${text}`,
            html: `<p>Dear user ${i}</p>\n${html}`,
        }, answered);
    }
}

transport.on("idle", send);
send();
