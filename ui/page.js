// Keys and gestures of the whole page: Esc stops an answer, a click beside the open list (or on a line of it) closes
// it, Back goes to the conversation before, the thread stays at its end until somebody scrolls up, what is typed after
// Enter belongs to the next message, and what is copied is what was written.

const closeList = () => document.getElementById("frame")?.classList.remove("list-open");

document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const stop = document.getElementById("stop");
    if (stop && stop.offsetParent !== null) stop.click();
    closeList();
});
document.addEventListener("click", (event) => {
    const staysOpen = event.target.closest("#list, #open-list") && !event.target.closest("#new, #conversations a");
    if (!staysOpen) closeList();
});
window.addEventListener("popstate", () => window.location.reload());

// Gradio's own following looks 300 ms late and gives up when an answer grows faster than 100 pixels in that time.
const follow = (thread) => {
    let isAtEnd = true, before = 0;
    const goToEnd = () => { if (isAtEnd) thread.scrollTop = thread.scrollHeight; };
    thread.addEventListener("scroll", () => {
        const isNearEnd = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 40;
        if (isNearEnd) isAtEnd = true;
        else if (thread.scrollTop < before - 2) isAtEnd = false;
        before = thread.scrollTop;
    });
    const startOver = (event) => {
        if (event.type === "click" || event.key === "Enter") { isAtEnd = true; goToEnd(); }
    };
    for (const id of ["composer", "list", "again"]) {
        document.getElementById(id)?.addEventListener("click", startOver);
        document.getElementById(id)?.addEventListener("keydown", startOver);
    }
    new MutationObserver(goToEnd).observe(thread, {childList: true, subtree: true, characterData: true});
    new ResizeObserver(goToEnd).observe(thread);
};
new MutationObserver((changes, observer) => {
    const thread = document.querySelector("#turns .panel-wrap");
    if (!thread) return;
    observer.disconnect();
    follow(thread);
}).observe(document, {childList: true, subtree: true});

// Gradio reads the box some moments after Enter, and would empty it only once the answer has begun. So the text is
// noted when the key or button goes down, and only it leaves the box; a message that is refused comes back.
const message = {
    noted: null, taken: "",
    box: () => document.querySelector("#box textarea"),
    write(text) {
        const box = this.box();
        box.value = text;
        box.dispatchEvent(new Event("input", {bubbles: true}));
    },
    note() { this.noted = this.box().value; },
    take(text) {
        this.taken = this.noted ?? text;
        this.noted = null;
        const now = this.box().value;
        if (now.startsWith(this.taken)) this.write(now.slice(this.taken.length));
        return this.taken;
    },
    putBack() {
        this.write(this.taken + this.box().value);
        this.taken = "";
    },
};
document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target === message.box()) message.note();
}, true);
document.addEventListener("click", (event) => {
    if (event.target.closest("#send")) message.note();
}, true);

// The page shows tags and pictures as text by a joiner of no width behind their first character (ui/show.py).
const asWritten = (text) => text.replace(/([<!])\u2060/g, "$1");
document.addEventListener("copy", (event) => {
    const text = String(window.getSelection());
    if (!text.includes("\u2060")) return;
    event.clipboardData.setData("text/plain", asWritten(text));
    event.preventDefault();
});
if (window.Clipboard) {
    const write = Clipboard.prototype.writeText;
    Clipboard.prototype.writeText = function (text) { return write.call(this, asWritten(text)); };
}
