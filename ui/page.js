// Keys and gestures of the whole page: Esc stops an answer, a click beside the open list (or on a line of it) closes
// it, Back goes to the conversation before.
document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const stop = document.getElementById("stop");
    if (stop && stop.offsetParent !== null) stop.click();
    document.getElementById("frame")?.classList.remove("list-open");
});
document.addEventListener("click", (event) => {
    const staysOpen = event.target.closest("#list, #open-list") && !event.target.closest("#new, #conversations a");
    if (!staysOpen) document.getElementById("frame")?.classList.remove("list-open");
});
window.addEventListener("popstate", () => window.location.reload());
