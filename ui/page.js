// Keys and gestures of the whole page: Esc stops an answer, a click beside the open list (or on a line of it) closes
// it, Back goes to the conversation before, and the thread stays at its end until somebody scrolls up.

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
