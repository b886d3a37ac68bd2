// The Stop button of every page: ends Galen, after one question while jobs run; then says that this tab can be closed.

const ending = {
    lookMs: 300,
    async ask(jobs) {
        let answer;
        try {
            answer = await fetch(`/stop?jobs=${jobs}`, {method: "POST"});
        } catch {
            this.show("Galen has ended", "It had ended before. You can close this tab.");
            return;
        }
        if (answer.status === 409) this.question((await answer.json()).jobs);
        else if (answer.ok) this.wait(jobs === "stop");
        else this.show("This did not work", "Galen goes on. Reload the page, and try again.");
    },
    question(jobs) {
        const one = jobs.length === 1;
        const list = document.createElement("ul");
        for (const job of jobs) {
            const entry = document.createElement("li");
            entry.textContent = job.title + (job.state === "waiting" ? ", which waits" : job.words && `: ${job.words}`);
            list.append(entry);
        }
        this.show(one ? "Stop this as well?" : "Stop these as well?",
            `${one ? "It keeps what it has, and can" : "They keep what they have, and can"} be taken up later. ` +
            `Without Galen, what runs goes on by itself; what waits begins when Galen is started again.`,
            list, [["Stop all", () => this.ask("stop"), "stop-all"],
                [`Stop Galen only`, () => this.ask("keep"), "stop-only"], ["Go on", () => this.close(), "stop-not"]]);
    },
    async wait(withJobs) {
        this.show("Galen is ending", withJobs ? "What ran is given half a minute to keep what it has." : "");
        for (;;) {
            await new Promise((done) => setTimeout(done, this.lookMs));
            try {
                await fetch("/health", {cache: "no-store", signal: AbortSignal.timeout(5000)});
            } catch (error) {
                if (error.name !== "TimeoutError") break;
            }
        }
        const quiet = document.createElement("style");      // Gradio would say that the connection was lost
        quiet.textContent = ".toast-wrap { display: none; }";
        document.head.append(quiet);
        this.show("Galen has ended", "You can close this tab. To use Galen again, start it as you did.");
        document.getElementById("ended").dataset.done = "";
    },
    show(title, words, list, choices = []) {
        const dialog = document.getElementById("ended") ?? document.createElement("dialog");
        const [head, text, acts] = ["h2", "p", "div"].map((name) => document.createElement(name));
        dialog.id = "ended";
        head.textContent = title;
        text.textContent = words;
        for (const [word, act, id] of choices) {
            const button = document.createElement("button");
            Object.assign(button, {type: "button", textContent: word, onclick: act, id});
            acts.append(button);
        }
        dialog.replaceChildren(...[head, list, text, acts].filter(Boolean));
        dialog.oncancel = choices.length ? null : (event) => event.preventDefault();
        if (!dialog.isConnected) document.getElementById("frame").append(dialog);
        if (!dialog.open) dialog.showModal();
    },
    close() { document.getElementById("ended")?.close(); },
};
document.addEventListener("click", (event) => {
    if (event.target.closest("#stop-galen")) ending.ask("ask");
});
